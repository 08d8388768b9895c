"""A stretch of raw samples as arrays: what plausibility and likeness to the survey are judged on."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from mail_localization.preprocess.stamps import StampGate, Step
from mail_localization.types import FloatArray, ImuSample, MagneticSample, Sample, WifiScan

RATE_HZ = 25.0
"""Samples of one stream kept per second at most: enough for gait and turns, and what a faster sensor adds is noise."""
_STEP_NS = round(0.95e9 / RATE_HZ)
_LARGEST = 1e12
_SCANS, _READINGS = 40, 512
"""Scans, and results of each, kept at most of a live stream: no radio hears more, hostile messages hold any number."""
_GAP_NS = 60_000_000_000
"""A stamp further than this from the newest needs a second one to be believed."""


def _none(width: int) -> FloatArray:
    return np.empty((0, width))


@dataclass(frozen=True, eq=False)
class Excerpt:
    """Samples of some seconds, each stream with its own stamps (int64 ns, ascending)."""

    mag_ns: npt.NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    mag: FloatArray = field(default_factory=lambda: _none(3))
    """(n, 3) field in the sensor frame, tesla."""
    imu_ns: npt.NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    imu: FloatArray = field(default_factory=lambda: _none(6))
    """(m, 6) specific force (m/s^2) and angular rate (rad/s) in the sensor frame."""
    scans: tuple[WifiScan, ...] = ()

    @property
    def seconds(self) -> float:
        """Time between the first and the last sample of the longest stream, s."""
        scan_ns = np.array([scan.t_ns for scan in self.scans], dtype=np.int64)
        return max((float(t[-1] - t[0]) * 1e-9 for t in (self.mag_ns, self.imu_ns, scan_ns) if len(t)), default=0.0)

    def last(self, seconds: float) -> Excerpt:
        """Return of each stream the seconds before its newest sample."""
        mag, imu = (
            slice(int(np.searchsorted(t, t[-1] - round(seconds * 1e9))) if len(t) else 0, None)
            for t in (self.mag_ns, self.imu_ns)
        )
        scans = tuple(scan for scan in self.scans if self.scans[-1].t_ns - scan.t_ns <= seconds * 1e9)
        return Excerpt(self.mag_ns[mag], self.mag[mag], self.imu_ns[imu], self.imu[imu], scans)

    def pieces(self, seconds: float) -> Iterator[Excerpt]:
        """Yield consecutive pieces of equal length, as near as may be to the length asked for; no empty ones."""
        scan_ns = np.array([scan.t_ns for scan in self.scans], dtype=np.int64)
        stamps = np.concatenate([self.mag_ns, self.imu_ns, scan_ns])
        if not len(stamps):
            return
        start, span = int(stamps.min()), int(stamps.max() - stamps.min()) + 1
        length = span // max(1, round(span * 1e-9 / seconds)) + 1
        for number in np.unique((stamps - start) // length):
            edges = (start + number * length, start + (number + 1) * length)
            mag, imu, scans = (slice(*np.searchsorted(t, edges)) for t in (self.mag_ns, self.imu_ns, scan_ns))
            yield Excerpt(self.mag_ns[mag], self.mag[mag], self.imu_ns[imu], self.imu[imu], self.scans[scans])


class Excerpts:
    """Keep the newest samples, thinned to RATE_HZ by their stamps; what is late or not finite is not kept.

    Most samples cost a fraction of a microsecond: arrays are made when they are asked for.
    """

    def __init__(self, seconds: float | None = None) -> None:
        """Keep the newest `seconds` of samples; all where it is None."""
        rows = None if seconds is None else round(seconds * RATE_HZ)
        scans = None if seconds is None else _SCANS
        self._streams = {MagneticSample: _Stream(rows), ImuSample: _Stream(rows), WifiScan: _Stream(scans, 0)}

    def add(self, sample: Sample) -> None:
        """Take a sample in; odometry is left out."""
        stream = self._streams.get(type(sample))
        if stream is not None:
            stream.add(sample)

    def forget(self, kind: type) -> None:
        """Forget the samples of one kind, as when its unit changes."""
        self._streams[kind].forget()

    def excerpt(self) -> Excerpt:
        """Return what is kept."""
        mag, imu = self._streams[MagneticSample], self._streams[ImuSample]
        scans = tuple(self._streams[WifiScan].kept)
        return Excerpt(mag.stamps, mag.rows(3), imu.stamps, imu.rows(6), scans)


class _Stream:
    """The newest samples of one kind: numbers, or scans whole."""

    def __init__(self, most: int | None, step_ns: int = _STEP_NS) -> None:
        self._gate: StampGate[Sample] = StampGate(_GAP_NS)
        self._step_ns = step_ns
        self._next_ns: int | None = None
        self._stamps: deque[int] = deque(maxlen=most)
        self.kept: deque[Any] = deque(maxlen=most)

    @property
    def stamps(self) -> npt.NDArray[np.int64]:
        return np.array(self._stamps, dtype=np.int64)

    def rows(self, width: int) -> FloatArray:
        # A stranger's 1e308 is finite; its square is not.
        return np.clip(np.array(self.kept, dtype=np.float64).reshape(-1, width), -_LARGEST, _LARGEST)

    def forget(self) -> None:
        self._gate.reset()
        self._next_ns = None
        self._stamps.clear()
        self.kept.clear()

    def add(self, sample: Sample) -> None:
        if self._next_ns is not None and 0 < self._next_ns - sample.t_ns <= self._step_ns:
            return
        for step, t_ns, item in self._gate.admit(sample.t_ns, sample):
            if step is Step.BACK:
                self._stamps.clear()
                self.kept.clear()
            self._next_ns = t_ns + self._step_ns
            content = _content(item)
            if isinstance(content, WifiScan) or math.isfinite(sum(content)):
                self._stamps.append(t_ns)
                self.kept.append(content)


def _content(sample: Sample) -> tuple[float, ...] | WifiScan:
    """Return a sample's numbers, or a scan's first results."""
    if isinstance(sample, MagneticSample):
        return sample.field
    if isinstance(sample, ImuSample):
        return sample.acceleration + sample.angular_velocity
    if isinstance(sample, WifiScan):
        return sample if len(sample.readings) <= _READINGS else WifiScan(sample.t_ns, sample.readings[:_READINGS])
    return ()
