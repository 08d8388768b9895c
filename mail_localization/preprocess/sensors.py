"""Samples in, rows of the uniform clock out: the front end of every windowed method, live, offline and in training."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Iterator

from mail_localization.preprocess.clock import Row, UniformClock
from mail_localization.preprocess.gravity import GravityEstimator
from mail_localization.preprocess.magnetic import SATURATION
from mail_localization.preprocess.windows import WindowSettings
from mail_localization.types import ImuSample, MagneticSample, Sample

WIDTHS = {"mag": 3, "up": 3, "imu": 6}
"""Stream -> columns: the field (tesla), the up direction (unit vector), acceleration (m/s^2) and angular rate (rad/s),
all in the sensor frame."""
_SOURCE = {"mag": "mag", "up": "imu", "imu": "imu"}


class SensorRows:
    """Feed samples of any kind; take rows of the streams asked for, side by side in that order."""

    def __init__(self, window: WindowSettings, streams: Collection[str], saturation: float = SATURATION) -> None:
        self._saturation = saturation
        self._streams = frozenset(streams)
        self._gravity = GravityEstimator()
        # One window of backlog: a stream that runs further ahead of a silent one could never be used.
        widths = {name: WIDTHS[name] for name in streams}
        self._clock = UniformClock(window.period_ns, window.max_gap_ns, widths, window.length)
        self.width = sum(widths.values())
        self.inputs = frozenset(_SOURCE[name] for name in streams)
        """The kinds of samples that are used."""

    @property
    def counters(self) -> Counter[str]:
        """What was refused, by `STREAM.REASON`."""
        return self._clock.counters

    def reset(self) -> None:
        """Forget all samples; the counters stay."""
        self._clock.reset()
        self._gravity.reset()

    def add(self, sample: Sample) -> list[Row]:
        """Feed one sample and return the rows it completes."""
        if isinstance(sample, MagneticSample) and "mag" in self._streams:
            return self._magnetic(sample)
        if isinstance(sample, ImuSample):
            rows = self._up(sample) if "up" in self._streams else []
            if "imu" in self._streams:
                rows += self._clock.add("imu", sample.t_ns, (*sample.acceleration, *sample.angular_velocity))
            return rows
        return []

    def _magnetic(self, sample: MagneticSample) -> list[Row]:
        if any(self._saturation <= abs(axis) < math.inf for axis in sample.field):
            self.counters["mag.saturated"] += 1
            return []
        return self._clock.add("mag", sample.t_ns, sample.field)

    def _up(self, sample: ImuSample) -> list[Row]:
        up = self._gravity.update(sample)
        if up is None:
            self.counters["up.non_finite"] += 1
            return []
        return self._clock.add("up", sample.t_ns, up)

    def all(self, samples: Iterable[Sample]) -> Iterator[Row]:
        """Yield the rows of many samples, as `add` gives them one by one."""
        for sample in samples:
            yield from self.add(sample)
