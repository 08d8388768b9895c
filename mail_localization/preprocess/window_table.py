"""Windows of several modalities that share the rows in which they overlap."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from mail_localization.preprocess.modalities import ModalWindow
from mail_localization.preprocess.wifi import Levels

Indices = npt.NDArray[np.int64]
Number = TypeVar("Number", bound=np.floating[Any])


@dataclass(frozen=True, eq=False)
class RowWindows(Generic[Number]):
    """Windows (n, length, C) that are runs of rows."""

    rows: npt.NDArray[Number]
    """(R, C)"""
    stops: Indices
    """(n,) the row after each window's last; 0: there is no window."""
    length: int

    def __len__(self) -> int:
        return len(self.stops)

    def __getitem__(self, which: Indices) -> npt.NDArray[Number]:
        """Return a copy of some windows (b, length, C)."""
        windows: npt.NDArray[Number] = self.rows[self.stops[which, None] + np.arange(-self.length, 0)]
        return windows

    def view(self, number: int) -> npt.NDArray[Number] | None:
        """Return the rows of one window, not a copy; None where there is none."""
        stop = int(self.stops[number])
        return self.rows[stop - self.length : stop] if stop else None

    def holding(self, marked: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """Tell which windows (n,) hold a marked row (R,)."""
        before = np.concatenate([[0], np.cumsum(marked)])
        return (self.stops > 0) & (before[self.stops] > before[np.maximum(self.stops - self.length, 0)])

    def select(self, which: Any) -> RowWindows[Number]:
        """Return some of the windows, of the same rows."""
        return replace(self, stops=self.stops[which])


def joined(parts: Sequence[RowWindows[Number]], blank: npt.NDArray[Number]) -> RowWindows[Number]:
    """Return windows of several sets of rows as those of one; a missing one holds the blank rows (length, C)."""
    if not len(blank):
        return RowWindows(blank, np.zeros(sum(map(len, parts)), dtype=np.int64), 0)
    stops, offset = [np.empty(0, dtype=np.int64)], len(blank)
    for part in parts:
        stops.append(np.where(part.stops > 0, part.stops + offset, len(blank)))
        offset += len(part.rows)
    return RowWindows(np.concatenate([blank, *(part.rows for part in parts)]), np.concatenate(stops), len(blank))


class LevelsByNumber(Protocol):
    """Wi-Fi results, kept in whatever form."""

    def __len__(self) -> int:
        """Return how many there are."""

    def __getitem__(self, number: int, /) -> Levels:
        """Return one of them."""


@dataclass(frozen=True, eq=False)
class WindowTable:
    """Windows in order; iterating makes a ModalWindow of each, which holds views."""

    t_ns: Indices
    """(n,) stamps of the newest samples used."""
    imu: RowWindows[np.float64]
    mag: RowWindows[np.float64]
    levels: LevelsByNumber
    """What Wi-Fi told, each once."""
    heard: Indices
    """(n,) which of the levels."""

    def __len__(self) -> int:
        return len(self.t_ns)

    def __getitem__(self, number: int) -> ModalWindow:
        t_ns, levels = int(self.t_ns[number]), self.levels[int(self.heard[number])]
        return ModalWindow(t_ns, self.imu.view(number), self.mag.view(number), levels)

    def __iter__(self) -> Iterator[ModalWindow]:
        return map(self.__getitem__, range(len(self)))

    def select(self, which: Any) -> WindowTable:
        """Return some of the windows, by their numbers or by a mask."""
        return WindowTable(
            self.t_ns[which], self.imu.select(which), self.mag.select(which), self.levels, self.heard[which]
        )

    @classmethod
    def of(cls, windows: Iterable[ModalWindow], shapes: Sequence[tuple[int, int]]) -> WindowTable:
        """Take windows as ModalWindows makes them, one after the other, and keep each row of theirs once.

        Args:
            windows: in the order in which they were made.
            shapes: (length, C) of inertial and of magnetic windows.
        """
        logs = [_RowLog(*shape) for shape in shapes]
        stamps, heard = [], []
        levels: list[Levels] = []
        for window in windows:
            stamps.append(window.t_ns)
            for log, rows, end in zip(logs, (window.imu, window.mag), window.ends, strict=True):
                log.add(rows, end)
            if not levels or list(levels[-1].items()) != list(window.levels.items()):
                levels.append(window.levels)
            heard.append(len(levels) - 1)
        imu, mag = (log.windows() for log in logs)
        return cls(np.array(stamps, dtype=np.int64), imu, mag, levels, np.array(heard, dtype=np.int64))


class _RowLog:
    """Gathers the rows of overlapping windows."""

    def __init__(self, length: int, width: int) -> None:
        self._length = length
        self._parts = [np.empty((0, width))]
        self._stops: list[int] = []
        self._count = self._end = 0

    def add(self, rows: npt.NDArray[np.float64] | None, end: int) -> None:
        """Append the rows of a window that are new since the one before; `end` is the number of its last row."""
        if rows is None:
            self._stops.append(0)
            return
        fresh = min(self._length, end - self._end)
        self._parts.append(rows[self._length - fresh :].copy())
        self._count += fresh
        self._end = end
        self._stops.append(self._count)

    def windows(self) -> RowWindows[np.float64]:
        """Return all windows."""
        return RowWindows(np.concatenate(self._parts), np.array(self._stops, dtype=np.int64), self._length)
