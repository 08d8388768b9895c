"""Sliding windows over rows of the uniform clock, and whole traces as segments of such rows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mail_localization.config import Settings, setting
from mail_localization.preprocess.clock import Row
from mail_localization.types import FloatArray


class WindowSettings(Settings):
    """The window every windowed method looks at."""

    rate_hz: float = setting(50.0, "rate of the uniform clock, Hz (MAIL section 4)", minimum=1.0, maximum=1000.0)
    length: int = setting(500, "samples in a window (N of MAIL)", minimum=2, maximum=100_000)
    hop: int = setting(25, "samples between the ends of consecutive windows", minimum=1)
    max_gap: float = setting(0.5, "longest gap bridged by interpolation, s; a longer one starts anew", minimum=0.0)

    @property
    def period_ns(self) -> int:
        """Period of the clock, ns."""
        return round(1e9 / self.rate_hz)

    @property
    def max_gap_ns(self) -> int:
        """Longest gap bridged, ns."""
        return round(self.max_gap * 1e9)


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """Consecutive rows, the newest last."""

    t_ns: int
    """Stamp of the newest sample used."""
    rows: FloatArray
    """(length, C)."""
    end: int = 0
    """Number of the last row, of all that its maker was given: windows share the rows whose numbers agree."""


class SlidingWindow:
    """Keep the newest rows; a window is due where the clock's index is a multiple of the hop."""

    def __init__(self, length: int, hop: int, width: int) -> None:
        self._length, self._hop = length, hop
        # Every row is stored twice, `length` apart, so that the newest rows always lie in one piece.
        self._buffer = np.empty((2 * length, width))
        self._given = 0
        self.reset()

    def reset(self) -> None:
        """Forget all rows."""
        self._count = 0
        self._index: int | None = None

    @property
    def fill(self) -> float:
        """Share of the window that is filled, 0 to 1."""
        return min(self._count, self._length) / self._length

    def push(self, row: Row) -> Window | None:
        """Append a row and return the window that ends there, if one is due; a missing row starts anew."""
        if self._index is not None and row.index != self._index + 1:
            self._count = 0
        slot = self._count % self._length
        self._buffer[slot] = self._buffer[slot + self._length] = row.values
        self._count += 1
        self._given += 1
        self._index = row.index
        if self._count < self._length or row.index % self._hop:
            return None
        return Window(row.t_ns, self._buffer[slot + 1 : slot + 1 + self._length].copy(), self._given)


@dataclass(frozen=True, eq=False)
class Segment:
    """An unbroken run of rows of one trace; every window of it is a slice."""

    first_index: int
    """Clock index of the first row."""
    t_ns: npt.NDArray[np.int64]
    """(n,) stamps of the newest samples used."""
    rows: FloatArray
    """(n, C)."""

    def window_ends(self, length: int, hop: int) -> npt.NDArray[np.int64]:
        """Return the row after each window's last (a slice's stop), for the windows a SlidingWindow gives."""
        stops = np.arange(length, len(self.rows) + 1)
        due: npt.NDArray[np.int64] = stops[(self.first_index + stops - 1) % hop == 0]
        return due


def segments(rows: Iterable[Row]) -> list[Segment]:
    """Cut rows into runs of consecutive indices."""
    runs: list[list[Row]] = []
    for row in rows:
        if not runs or row.index != runs[-1][-1].index + 1:
            runs.append([])
        runs[-1].append(row)
    return [_segment(run) for run in runs]


def _segment(run: list[Row]) -> Segment:
    stamps = np.array([row.t_ns for row in run], dtype=np.int64)
    return Segment(run[0].index, stamps, np.array([row.values for row in run], dtype=np.float64))
