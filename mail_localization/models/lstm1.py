"""LSTM1 of MMLoc+: what the inertial window says of the motion, learned apart from any site.

The pretext task is the displacement over the window, in a frame that inertial sensors can know: x along the direction
of travel at the window's start, y to its left (as IONet, Chen et al. 2018, regresses distance and change of heading;
RoNIN, Herath et al. 2020, likewise needs no absolute heading). The authors' earlier MM-Loc regressed the position.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from mail_localization.config import Settings, group, setting
from mail_localization.errors import ConfigError
from mail_localization.models.regressor import PositionRegressor
from mail_localization.preprocess.modalities import InertialSettings

METHOD = "lstm1"
"""What the card of a pretrained LSTM1 says in the place of a localization method."""
CHANNELS = 6


class Lstm1Settings(Settings):
    """LSTM1 and the windows it looks at."""

    inertial: InertialSettings = group(InertialSettings)
    rate_hz: float = setting(10.0, "rate of the inertial window's clock, Hz", minimum=1.0, maximum=1000.0)
    hidden: int = setting(128, "units of the LSTM (MM-Loc: 128)", minimum=1, maximum=4096)
    step: int = setting(5, "samples that enter the LSTM together as one time step (MM-Loc: 1)", minimum=1)

    def check(self) -> None:
        """Refuse a step that leaves less than two time steps."""
        if self.step * 2 > self.inertial.length:
            raise ConfigError(f"step: {self.step} is over half of inertial.length {self.inertial.length}")


class LastState(nn.Module):
    """Map sequences (B, N, C) to the last state (B, H) of an LSTM; inputs are normalised by stored statistics."""

    mean: Tensor
    std: Tensor

    def __init__(self, channels: int, hidden: int, step: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("std", torch.ones(channels))
        self.step = step
        self.lstm = nn.LSTM(channels * step, hidden, batch_first=True)

    def set_inputs(self, sequences: Tensor) -> None:
        """Store mean and deviation of training sequences (n, N, C)."""
        flat = sequences.double().flatten(0, 1)
        self.mean.copy_(flat.mean(dim=0))
        self.std.copy_(flat.std(dim=0).clamp(min=1e-6))

    def forward(self, sequences: Tensor) -> Tensor:
        """Return the state after the newest sample (B, H)."""
        x = (sequences - self.mean) / self.std
        steps = x.shape[1] // self.step
        x = x[:, x.shape[1] - steps * self.step :].reshape(len(x), steps, -1)  # (B, T, step * C)
        _, (last, _) = self.lstm(x)
        state: Tensor = last[-1]
        return state


class Lstm1Pretext(PositionRegressor):
    """LSTM1 with a linear head for its pretext task: inertial windows (B, N, 6) to (B, 2), m."""

    def __init__(self, settings: Lstm1Settings) -> None:
        super().__init__()
        self.settings = settings
        self.lstm1 = LastState(CHANNELS, settings.hidden, settings.step)
        self.head = nn.Linear(settings.hidden, 2)

    def forward(self, imu: Tensor) -> Tensor:
        """Return what the pretext task asks for, m."""
        return self.metres(self.head(self.lstm1(imu)))


def lstm1_part(tensors: Mapping[str, Any]) -> dict[str, Any]:
    """Return the tensors of LSTM1 alone."""
    return {name.removeprefix("lstm1."): value for name, value in tensors.items() if name.startswith("lstm1.")}
