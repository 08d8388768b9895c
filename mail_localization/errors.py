"""Errors a user can act on: one root, a subclass for each part of the package.

A message names the file, topic or setting, the value found, and the remedy.
The command line prints it as one line and exits with 1; anything else is a bug and keeps its traceback.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

EXTRAS = {
    "distributed": "distributed",
    "dtaidistance": "matching",
    "jeepney": "wifi",
    "onnx": "models",
    "onnxruntime": "runtime",
    "rosbags": "bags",
    "safetensors": "runtime",
    "torch": "models",
    "vqf": "matching",
}
"""Libraries that rosdep does not install -> the extra of setup.py that brings them."""


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


class ClusterError(MailLocalizationError):
    """The scheduler of a cluster cannot be reached, or its workers cannot do our work."""


class RadioError(MailLocalizationError):
    """The machine has no Wi-Fi radio, or it cannot be used."""


class MissingDependencyError(MailLocalizationError):
    """A library of one of the package's extras is not installed."""

    def __init__(self, library: str, purpose: str) -> None:
        extra = EXTRAS[library]
        super().__init__(f"{purpose} needs {library}: pip install 'mail_localization[{extra}]'")


class MissingRosError(MailLocalizationError):
    """ROS 2 is not there."""

    def __init__(self, purpose: str) -> None:
        super().__init__(f"{purpose} needs ROS 2 (rclpy): source a ROS 2 installation, or use the .venv of `make venv`")


@contextmanager
def importing(purpose: str) -> Iterator[None]:
    """Turn the failed import of an optional library into a MissingDependencyError."""
    try:
        yield
    except ModuleNotFoundError as err:
        library = (err.name or "").partition(".")[0]
        if library in EXTRAS:
            raise MissingDependencyError(library, purpose) from err
        raise
