"""Training the method jang."""

from __future__ import annotations

from pathlib import Path

from mail_localization.config import group
from mail_localization.errors import ConfigError
from mail_localization.models.jang import Jang, JangSettings
from mail_localization.training.options import TrainOptions
from mail_localization.training.windowed import NetworkConfig, train_windowed


class JangConfig(NetworkConfig):
    """Configuration of method jang."""

    network: JangSettings = group(JangSettings)

    def check(self) -> None:
        """Refuse a stride that leaves less than two time steps."""
        if self.network.stride * 2 > self.window.length:
            raise ConfigError(
                f"network.stride: {self.network.stride} is over half of window.length {self.window.length}"
            )


CONFIG = JangConfig


def train(config: JangConfig, recordings: list[Path], out: Path, options: TrainOptions) -> None:
    """Train on recordings and write the model folder; the covariance is that of the errors on held-out recordings.

    Raises:
        TrainingError: too few recordings, none long enough, or `out` holds the checkpoint of another run.
    """
    train_windowed("jang", lambda: Jang(config.network), config, recordings, out, options)
