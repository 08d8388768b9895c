"""Samples in, rows of the uniform clock out: the front end of every windowed method, live, offline and in training."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator

from mail_localization.preprocess.clock import Row, UniformClock
from mail_localization.preprocess.gravity import GravityEstimator
from mail_localization.preprocess.magnetic import MagneticSettings
from mail_localization.preprocess.windows import WindowSettings
from mail_localization.types import ImuSample, MagneticSample, Sample


class SensorRows:
    """Feed samples of any kind; take rows of the streams the settings ask for.

    Streams: `mag` (3, tesla, sensor frame), `up` (3, unit vector, sensor frame).
    """

    def __init__(self, window: WindowSettings, magnetic: MagneticSettings) -> None:
        self._saturation = magnetic.saturation
        self._gravity = GravityEstimator() if "up" in magnetic.streams else None
        # One window of backlog: a stream that runs further ahead of a silent one could never be used.
        self._clock = UniformClock(window.period_ns, window.max_gap_ns, magnetic.streams, window.length)
        self.width = sum(magnetic.streams.values())

    @property
    def inputs(self) -> frozenset[str]:
        """The kinds of samples that are used."""
        return frozenset({"mag"} if self._gravity is None else {"mag", "imu"})

    @property
    def counters(self) -> Counter[str]:
        """What was refused, by `STREAM.REASON`."""
        return self._clock.counters

    def reset(self) -> None:
        """Forget all samples; the counters stay."""
        self._clock.reset()
        if self._gravity is not None:
            self._gravity.reset()

    def add(self, sample: Sample) -> list[Row]:
        """Feed one sample and return the rows it completes."""
        if isinstance(sample, MagneticSample):
            if any(self._saturation <= abs(axis) < math.inf for axis in sample.field):
                self.counters["mag.saturated"] += 1
                return []
            return self._clock.add("mag", sample.t_ns, sample.field)
        if isinstance(sample, ImuSample) and self._gravity is not None:
            up = self._gravity.update(sample)
            if up is None:
                self.counters["up.non_finite"] += 1
                return []
            return self._clock.add("up", sample.t_ns, up)
        return []

    def all(self, samples: Iterable[Sample]) -> Iterator[Row]:
        """Yield the rows of many samples, as `add` gives them one by one."""
        for sample in samples:
            yield from self.add(sample)
