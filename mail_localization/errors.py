"""Errors a user can act on: one root, a subclass for each part of the package.

A message names the file, topic or setting, the value found, and the remedy.
The command line prints it as one line and exits with 1; anything else is a bug and keeps its traceback.
"""


class MailLocalizationError(Exception):
    """Root of every error that a user can act on."""


class ConfigError(MailLocalizationError):
    """A setting is unknown, of the wrong type, or out of range."""


class RecordingError(MailLocalizationError):
    """A bag or a source file cannot be read or written, or lacks what is asked of it."""


class ModelError(MailLocalizationError):
    """A model folder is missing, damaged, of a newer schema, or not a model."""


class TrainingError(MailLocalizationError):
    """The recordings given cannot train the method."""


class EvaluationError(MailLocalizationError):
    """The recordings or estimates given cannot be evaluated."""


class MissingDependencyError(MailLocalizationError):
    """An optional library is not installed."""

    def __init__(self, library: str, extra: str, purpose: str) -> None:
        super().__init__(f"{purpose} needs {library}: pip install 'mail_localization[{extra}]'")


class MissingRosError(MailLocalizationError):
    """ROS 2 is not there."""

    def __init__(self, purpose: str) -> None:
        super().__init__(f"{purpose} needs ROS 2 (rclpy): source a ROS 2 installation, or use the .venv of `make venv`")
