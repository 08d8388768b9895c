"""From magnetometer rows to the sequence a method looks at (MAIL section 4.1)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mail_localization.config import Settings, setting
from mail_localization.types import FloatArray

MICROTESLA = 1e6
SATURATION = 4.9e-3
"""Full scale of usual magnetometers, tesla."""


class MagneticSettings(Settings):
    """How a magnetic sequence is made."""

    components: str = setting(
        "sensor",
        "sensor: the three axes as measured; gravity_aligned: horizontal, vertical and total field (needs the IMU)",
        choices=("sensor", "gravity_aligned"),
    )
    transform: str = setting(
        "gradient",
        "gradient: change per second (the paper's); mean_removed: less the window's mean (its figure 4b); raw",
        choices=("gradient", "mean_removed", "raw"),
    )
    smoothing: float = setting(
        0.0, "standard deviation of a Gaussian applied first, s; 0 = none", minimum=0.0, maximum=5.0
    )
    saturation: float = setting(
        SATURATION, "readings with an axis at or beyond this are refused as saturated, tesla", minimum=1e-6
    )

    @property
    def streams(self) -> tuple[str, ...]:
        """Streams needed on the clock: columns of a raw row, in this order."""
        return ("mag",) if self.components == "sensor" else ("mag", "up")


class MagneticFeatures:
    """Turn raw windows into feature sequences, one or many at a time, to the same numbers.

    Every feature row depends only on rows at or before its own raw row, `margin` further back, except for
    mean removal, which looks at the whole window.
    """

    channels = 3
    """Channels of a feature row."""

    def __init__(self, settings: MagneticSettings, rate_hz: float) -> None:
        self.settings = settings
        self._rate_hz = rate_hz
        self.width = 3 * len(settings.streams)
        """Columns of a raw row."""
        self._kernel = _gaussian(settings.smoothing * rate_hz)
        gradient = settings.transform == "gradient"
        self.margin = len(self._kernel) - 1 + int(gradient)
        """Rows needed before the window's own, so that the sequence is as long as the window."""

    def __call__(self, rows: FloatArray) -> npt.NDArray[np.float32]:
        """Convert raw rows (..., N + margin, C) in tesla to features (..., N, 3) in microtesla (per second)."""
        field = self._components(rows) * MICROTESLA
        sequence = _smoothed(field, self._kernel)
        match self.settings.transform:
            case "gradient":
                sequence = (sequence[..., 1:, :] - sequence[..., :-1, :]) * self._rate_hz
            case "mean_removed":
                sequence = sequence - sequence.mean(axis=-2, keepdims=True)
        return sequence.astype(np.float32)

    def _components(self, rows: FloatArray) -> FloatArray:
        field = rows[..., :3]
        if self.settings.components == "sensor":
            return field
        up = rows[..., 3:6]
        # Interpolation between unit vectors shortens them a little.
        up = up / np.linalg.norm(up, axis=-1, keepdims=True)
        vertical = (field * up).sum(axis=-1)
        horizontal = np.linalg.norm(field - vertical[..., None] * up, axis=-1)
        return np.stack([horizontal, vertical, np.linalg.norm(field, axis=-1)], axis=-1)


def _gaussian(sigma: float) -> FloatArray:
    """Return a Gaussian cut at three standard deviations (in samples), of sum 1; [1] where sigma is 0."""
    if sigma == 0:
        return np.ones(1)
    reach = max(1, round(3 * sigma))
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    return np.asarray(weights / weights.sum())


def _smoothed(sequence: FloatArray, kernel: FloatArray) -> FloatArray:
    if len(kernel) == 1:
        return sequence
    n = sequence.shape[-2] - len(kernel) + 1
    # Tap by tap: the same additions in the same order for one window and for a batch.
    return np.asarray(sum(weight * sequence[..., k : k + n, :] for k, weight in enumerate(kernel)))
