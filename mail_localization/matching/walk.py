"""The magnetic field along the way walked, as the samples come in."""

from __future__ import annotations

import math
from collections import Counter, deque
from dataclasses import dataclass

import numpy as np

from mail_localization.config import Settings, setting
from mail_localization.errors import ConfigError
from mail_localization.matching.polylines import cells
from mail_localization.motion.tracker import Motion, MotionTracker
from mail_localization.preprocess.clock import Row
from mail_localization.preprocess.magnetic import MagneticFeatures, MagneticSettings
from mail_localization.preprocess.sensors import SensorRows
from mail_localization.preprocess.windows import WindowSettings
from mail_localization.types import FloatArray, Sample

_STEP = 2.0
"""Longest time that one motion takes, s: before it, the target stood."""
_CARRIED = 1.2
"""Share of a motion that is taken for the beginning of the next; after it, the target has stopped."""
_MARGIN = 2.0
"""Way beyond a sequence whose rows still matter to its ends, m."""


class FieldSettings(Settings):
    """The magnetometer's rows."""

    rate_hz: float = setting(25.0, "rate of the uniform clock, Hz", minimum=1.0, maximum=1000.0)
    components: str = setting(
        "sensor",
        "sensor: the three axes as measured; gravity_aligned: horizontal, vertical and total field (needs the IMU)",
        choices=("sensor", "gravity_aligned"),
    )
    weights: tuple[float, ...] = setting((1.0, 1.0, 1.0), "weight of each component", minimum=0.0)
    max_gap: float = setting(0.5, "longest gap bridged, s; a longer one ends the sequence", minimum=0.0)
    lost_after: float = setting(5.0, "gap after which the target may be anywhere, s", minimum=0.1)
    interval: float = setting(
        0.25, "time between estimates on the way, s; between two motions the newest is carried on", minimum=0.02
    )
    heartbeat: float = setting(0.9, "time after which a standing target is told again, s", minimum=0.05)

    @property
    def window(self) -> WindowSettings:
        """The clock's part as windowed methods have it."""
        return WindowSettings(rate_hz=self.rate_hz, length=max(2, round(self.rate_hz * _STEP)), max_gap=self.max_gap)

    @property
    def magnetic(self) -> MagneticSettings:
        """The components as windowed methods have them."""
        return MagneticSettings(components=self.components, transform="raw")

    def features(self, rows: FloatArray) -> FloatArray:
        """Return the weighted components (n, 3) of raw rows (n, C), microtesla."""
        features = MagneticFeatures(self.magnetic, self.rate_hz)(rows)
        return np.asarray(features * np.array(self.weights), dtype=np.float64)

    def check(self) -> None:
        """Refuse anything but one weight per component."""
        if len(self.weights) != 3 or not any(self.weights):
            raise ConfigError(f"weights: expected one for each of 3 components, not all 0, found {list(self.weights)}")


@dataclass(frozen=True, slots=True)
class Event:
    """Something the filter must know."""

    t_ns: int
    """Stamp of the newest sample used."""
    motion: Motion | None
    """None: time passed, or all starts anew."""
    restart: bool = False
    """The past is of another time or too long ago."""
    ahead: float = 0.0
    """Share of the newest motion by which the target has probably gone on since."""


class Way:
    """The field by distance walked, unbroken and growing at its end."""

    def __init__(self, settings: FieldSettings, kept: float, start: float) -> None:
        self._settings = settings
        self._kept = kept
        self.start = self.end = start
        """Distance walked where it begins and ends, m."""
        self._parts: deque[tuple[FloatArray, FloatArray]] = deque()

    def extend(self, arc: FloatArray, rows: FloatArray, end: float) -> None:
        """Append raw rows (n, C) at distances (n,), m, and go on to `end`."""
        if len(rows):
            self._parts.append((arc, self._settings.features(rows)))
        self.end = end
        while self._parts and self._parts[0][0][-1] < end - self._kept:
            self._parts.popleft()

    def cells(self, edges: FloatArray) -> FloatArray:
        """Return the mean field (m, C) between m + 1 distances, m, ascending."""
        low, high = edges[0] - _MARGIN, edges[-1] + _MARGIN
        parts = [part for part in self._parts if part[0][-1] >= low and part[0][0] <= high]
        if not parts:
            return np.zeros((len(edges) - 1, 3))
        arc, features = (np.concatenate(columns) for columns in zip(*parts, strict=True))
        return cells(arc, features, edges)


class Walk:
    """Samples in, events out; `way` holds the field up to the newest motion."""

    def __init__(self, settings: FieldSettings, tracker: MotionTracker, longest: float) -> None:
        self._settings = settings
        self._tracker = tracker
        self._longest = longest
        self._sensors = SensorRows(settings.window, settings.magnetic.streams)
        self.inputs = self._sensors.inputs | tracker.inputs
        self.reset()

    @property
    def counters(self) -> Counter[str]:
        """What was refused, by `STREAM.REASON`; a sample that both users refuse counts once."""
        return self._sensors.counters | self._tracker.counters

    def reset(self, keep_all: bool = False) -> None:
        """Forget all samples, and from now on nothing of the way if so wished; the counters stay."""
        self._sensors.reset()
        self._tracker.reset()
        self._kept = math.inf if keep_all else self._longest
        self._begin()

    def _begin(self) -> None:
        self.way = Way(self._settings, self._kept, 0.0)
        # Rows since the last motion; one that takes longer began with standing.
        self._pending: deque[Row] = deque(maxlen=self._settings.window.length)
        self._index: int | None = None
        self._moved_ns: int | None = None
        self._lasted_ns = round(_STEP * 1e9)
        self._told_ns: int | None = None

    def add(self, sample: Sample) -> list[Event]:
        """Feed one sample of any kind and return what it brings about, in order."""
        events = [event for row in self._sensors.add(sample) if (event := self._row(row)) is not None]
        for motion in self._tracker.add(sample):
            self._walked(motion)
            self._told_ns = max(motion.t_ns, self._told_ns or 0)
            events.append(Event(motion.t_ns, motion))
        return events

    def _row(self, row: Row) -> Event | None:
        missing = 0 if self._index is None else row.index - self._index - 1
        restart = missing < 0 or missing > self._settings.lost_after * self._settings.rate_hz
        if restart:
            self._tracker.reset()
            self._begin()
        elif missing:
            self.way = Way(self._settings, self._kept, self.way.end)
            self._pending.clear()
        self._index = row.index
        self._pending.append(row)
        if self._told_ns is None:
            self._told_ns = row.t_ns
        ahead = 0.0 if self._moved_ns is None else (row.t_ns - self._moved_ns) / self._lasted_ns
        walking = 0.0 < ahead <= _CARRIED
        due = self._settings.interval if walking else self._settings.heartbeat
        if not restart and row.t_ns - self._told_ns < due * 1e9:
            return None
        self._told_ns = row.t_ns
        return Event(row.t_ns, None, restart, ahead if walking else 0.0)

    def _walked(self, motion: Motion) -> None:
        """Lay the rows since the last motion out along its way."""
        start = self.way.end
        end = start + max(motion.distance, 0.0)
        began = motion.t_ns - round(_STEP * 1e9)
        if self._moved_ns is not None:
            began = max(began, self._moved_ns)
        rows = []
        while self._pending and self._pending[0].t_ns <= motion.t_ns:
            rows.append(self._pending.popleft())
        # Where the target stood, nothing was walked: the last row of it is enough.
        rows = [row for row in rows if row.t_ns >= began] or rows[-1:]
        self._moved_ns = motion.t_ns
        self._lasted_ns = span = max(motion.t_ns - began, 1)
        share = np.array([max(row.t_ns - began, 0) / span for row in rows])
        self.way.extend(start + share * (end - start), np.array([row.values for row in rows]), end)
