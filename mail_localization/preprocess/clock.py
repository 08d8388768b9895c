"""Resampling of several sensor streams onto one uniform clock."""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass

from mail_localization.preprocess.stamps import StampGate, Step

Values = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """The values of all streams at one instant of the clock."""

    index: int
    """Instant in periods since the epoch."""
    t_ns: int
    """Stamp of the newest sample used, at or just after the instant."""
    values: Values
    """Streams side by side, in the order they were declared."""


class UniformClock:
    """Interpolate streams linearly at the instants that are multiples of the period.

    The clock is absolute, so a row does not depend on when listening began: live, offline and training
    rows are the same numbers. A row appears once every stream has reached its instant.
    """

    def __init__(self, period_ns: int, max_gap_ns: int, streams: Mapping[str, int], backlog: int) -> None:
        self._streams = {name: _Stream(period_ns, max_gap_ns, width, backlog) for name, width in streams.items()}
        self.counters: Counter[str] = Counter()
        """`STREAM.REASON` -> number of samples refused or jumps seen."""

    def reset(self) -> None:
        """Forget all samples; the counters stay."""
        for stream in self._streams.values():
            stream.reset()

    def add(self, name: str, t_ns: int, values: Values) -> list[Row]:
        """Feed one sample of a stream and return the rows it completes, in order."""
        stream = self._streams[name]
        if len(values) != stream.width or not all(map(math.isfinite, values)):
            self.counters[f"{name}.non_finite"] += 1
            return []
        admitted = stream.gate.admit(t_ns, values)
        if stream.gate.verdict:
            self.counters[f"{name}.{stream.gate.verdict}"] += 1
        for step, stamp, item in admitted:
            if step is Step.BACK:
                self.counters[f"{name}.clock_set_back"] += 1
                self._set_back(stream)
            elif step is Step.GAP and stream.previous is not None:
                self.counters[f"{name}.gap"] += 1
            unpaired = stream.extend(stamp, item, joined=step is Step.CONTINUOUS)
            if unpaired:
                self.counters[f"{name}.unpaired"] += unpaired
        return self._completed()

    def _set_back(self, cause: _Stream) -> None:
        """Drop what all streams hold: the others will follow to the new time."""
        for stream in self._streams.values():
            stream.rows.clear()
            stream.previous = None
            if stream is not cause:
                stream.gate.reset()

    def _completed(self) -> list[Row]:
        queues = [stream.rows for stream in self._streams.values()]
        rows: list[Row] = []
        while all(queues):
            index = max(queue[0][0] for queue in queues)
            for queue in queues:
                while queue and queue[0][0] < index:
                    queue.popleft()
            if not all(queue and queue[0][0] == index for queue in queues):
                continue
            parts = [queue.popleft() for queue in queues]
            values = parts[0][2] if len(parts) == 1 else tuple(v for part in parts for v in part[2])
            rows.append(Row(index, max(part[1] for part in parts), values))
        return rows


class _Stream:
    """One stream on its way to the clock: a gate, the last sample, and rows that wait for the other streams."""

    def __init__(self, period_ns: int, max_gap_ns: int, width: int, backlog: int) -> None:
        self.width = width
        self.gate: StampGate[Values] = StampGate(max_gap_ns)
        self.rows: deque[tuple[int, int, Values]] = deque(maxlen=backlog)
        self.previous: tuple[int, Values] | None = None
        self._period_ns = period_ns

    def reset(self) -> None:
        self.gate.reset()
        self.rows.clear()
        self.previous = None

    def extend(self, t_ns: int, values: Values, joined: bool) -> int:
        """Append a row for each instant after the previous sample, up to and including this one.

        Returns how many rows were lost, because they waited for another stream until the backlog was full.
        """
        period, before = self._period_ns, len(self.rows)
        last, appended = t_ns // period, 0
        if joined and self.previous is not None:
            t0, start = self.previous
            span = t_ns - t0
            for index in range(t0 // period + 1, last + 1):
                part = (index * period - t0) / span
                at = tuple([a + (b - a) * part for a, b in zip(start, values, strict=True)])
                self.rows.append((index, t_ns, at))
                appended += 1
        elif last * period == t_ns:
            self.rows.append((last, t_ns, values))
            appended = 1
        self.previous = (t_ns, values)
        return before + appended - len(self.rows)
