"""Training the method mail."""

from __future__ import annotations

from pathlib import Path

import torch

from mail_localization.config import group
from mail_localization.errors import ConfigError
from mail_localization.models.mail import Mail
from mail_localization.models.mail_settings import MailSettings
from mail_localization.training.options import TrainOptions
from mail_localization.training.windowed import NetworkConfig, train_windowed


class MailConfig(NetworkConfig):
    """Configuration of method mail."""

    network: MailSettings = group(MailSettings)

    def check(self) -> None:
        """Refuse scales that do not fit the window."""
        if max(self.network.scales) > self.window.length:
            raise ConfigError(f"network.scales: {max(self.network.scales)} exceeds window.length {self.window.length}")


CONFIG = MailConfig


def train(config: MailConfig, recordings: list[Path], out: Path, options: TrainOptions) -> None:
    """Train on recordings and write the model folder; the covariance is that of the errors on held-out recordings.

    Raises:
        TrainingError: too few recordings, none long enough, or `out` holds the checkpoint of another run.
    """

    def make() -> Mail:
        model = Mail(config.network, config.window.length)
        # Its cells share the cores out; an operation that did so too would wait for each that other work has taken.
        model.grus.threads = options.threads
        torch.set_num_threads(1)
        return model

    train_windowed("mail", make, config, recordings, out, options)
