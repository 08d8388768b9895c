"""Training windows, made on demand from each trace's rows: they overlap, and are never stored."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mail_localization.config import Settings, setting
from mail_localization.data.traces import Trace
from mail_localization.errors import ConfigError
from mail_localization.preprocess.magnetic import MICROTESLA, MagneticFeatures
from mail_localization.preprocess.windows import WindowSettings
from mail_localization.types import FloatArray

Features = npt.NDArray[np.float32]
Indices = npt.NDArray[np.int64]

STANDING = 0.2
"""Speed below which a walker is taken to stand, m/s."""


class AugmentationSettings(Settings):
    """What is changed at random in a training window."""

    share: float = setting(0.5, "share of the windows that get another walking speed", minimum=0.0, maximum=1.0)
    speed_min: float = setting(1.0, "slowest walking speed made, m/s (section 5.2)", minimum=0.01)
    speed_max: float = setting(1.5, "fastest walking speed made, m/s (section 5.2)", minimum=0.01)
    noise: float = setting(0.0, "standard deviation of noise on every reading, microtesla", minimum=0.0)
    offset: float = setting(
        0.0, "standard deviation of an offset of each axis, constant in a window (hard iron), microtesla", minimum=0.0
    )

    def check(self) -> None:
        """Raise ConfigError where the speeds are the wrong way round."""
        if self.speed_min > self.speed_max:
            raise ConfigError(f"speed_min: {self.speed_min} exceeds speed_max: {self.speed_max}")


class WindowSet:
    """The labelled windows of traces; each is read from the shared rows when it is asked for."""

    def __init__(
        self, traces: list[Trace], features: MagneticFeatures, window: WindowSettings, hop: int | None = None
    ) -> None:
        self.features = features
        self._need = window.length + features.margin
        rows, ends, reach, positions, speeds = [], [], [], [], []
        offset = 0
        for trace in traces:
            speed = walking_speed(trace, window.period_ns * 1e-9)
            for segment, labels in zip(trace.segments, trace.positions, strict=True):
                last = segment.window_ends(self._need, hop or window.hop) - 1
                last = last[np.isfinite(labels[last]).all(axis=1)]
                rows.append(segment.rows)
                ends.append(offset + last)
                reach.append(last)
                positions.append(labels[last])
                speeds.append(np.full(len(last), speed))
                offset += len(segment.rows)
        self._rows = np.concatenate([np.empty((0, features.width)), *rows])
        self._ends: Indices = np.concatenate([np.empty(0, dtype=np.int64), *ends])
        self._reach: Indices = np.concatenate([np.empty(0, dtype=np.int64), *reach])
        self._speeds: FloatArray = np.concatenate([np.empty(0), *speeds])
        self.positions: FloatArray = np.concatenate([np.empty((0, 2)), *positions])
        """(n, 2) reference at each window's last sample, m."""

    def __len__(self) -> int:
        return len(self._ends)

    def batch(self, which: Indices) -> Features:
        """Return the features (b, N, 3) of some windows, the same numbers as a Localizer sees."""
        raw = self._rows[self._ends[which, None] + np.arange(1 - self._need, 1)]
        return self.features(raw)

    def augmented(self, which: Indices, settings: AugmentationSettings, rng: np.random.Generator) -> Features:
        """Return the features (b, N, 3) of some windows, as walked at other speeds and measured anew."""
        steps = self.stretches(which, settings, rng)[:, None] * np.arange(1 - self._need, 1)  # (b, N + margin) <= 0
        # Rounding must not reach over the segment's first row.
        before = np.maximum(np.floor(steps).astype(np.int64), -self._reach[which, None])
        weight = np.maximum(steps - before, 0.0)[..., None]
        first = self._ends[which, None] + before
        after = first + (weight[..., 0] > 0)
        raw = (1 - weight) * self._rows[first] + weight * self._rows[after]
        if settings.noise > 0:
            raw[..., :3] += rng.normal(0, settings.noise / MICROTESLA, raw[..., :3].shape)
        if settings.offset > 0:
            raw[..., :3] += rng.normal(0, settings.offset / MICROTESLA, (len(which), 1, 3))
        return self.features(raw)

    def stretches(self, which: Indices, settings: AugmentationSettings, rng: np.random.Generator) -> FloatArray:
        """Draw for each window how many own rows lie between two of its samples (b,): above 1 is a faster walk."""
        own = self._speeds[which]
        drawn = rng.uniform(settings.speed_min, settings.speed_max, len(which)) / np.where(own > 0, own, 1.0)
        keep = (rng.random(len(which)) >= settings.share) | (own == 0)
        # A trace gives no more rows than it has before the window's end.
        return np.minimum(np.where(keep, 1.0, drawn), self._reach[which] / (self._need - 1))


@dataclass(frozen=True, eq=False)
class WindowExamples:
    """Windows as the training loop takes them."""

    windows: WindowSet
    augmentation: AugmentationSettings

    @property
    def positions(self) -> FloatArray:
        """(n, 2) reference at each window's last sample, m."""
        return self.windows.positions

    def __len__(self) -> int:
        return len(self.windows)

    def plain(self, which: Indices) -> tuple[Features]:
        """Return the features (b, N, 3) of some windows."""
        return (self.windows.batch(which),)

    def augmented(self, which: Indices, rng: np.random.Generator) -> tuple[Features]:
        """Return the features (b, N, 3) of some windows, as walked at other speeds and measured anew."""
        return (self.windows.augmented(which, self.augmentation, rng),)


def walking_speed(trace: Trace, period: float) -> float:
    """Return the median speed of a trace while it moves, m/s, from its references; 0 if it never does.

    Args:
        trace: a surveyed trace.
        period: of its rows, s.
    """
    # Over two seconds: some references are rounded in time or space and jump from row to row.
    lag = max(1, round(2.0 / period))
    chords = [labels[lag:] - labels[:-lag] for labels in trace.positions if len(labels) > lag]
    speeds = np.concatenate([np.empty(0), *(np.hypot(*chord.T) / (lag * period) for chord in chords)])
    moving = speeds[speeds > STANDING]  # a comparison with NaN, outside the references, is false
    return float(np.median(moving)) if len(moving) else 0.0
