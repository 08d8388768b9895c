"""Magnetic polylines: what was measured along the survey's paths, by distance walked instead of by time.

A step, and not a second, is what a slow and a fast walk have in common (Shu et al., Magicol, IEEE JSAC 2015).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mail_localization.types import FloatArray

Tensors = dict[str, npt.NDArray[Any]]
Cells = npt.NDArray[np.int64]
"""Numbers of cells."""

_REACH = 1.0
"""Distance before and after a point over which its course is taken, m."""


@dataclass(frozen=True, eq=False)
class Polyline:
    """One path walked, cut into cells of equal length."""

    positions: FloatArray
    """(n, 2) where each cell ends, m."""
    features: FloatArray
    """(n, C) mean over each cell, microtesla."""

    def __len__(self) -> int:
        return len(self.positions)

    def reversed(self) -> Polyline:
        """Return the same path walked backwards, for features that do not turn with the walker."""
        # A cell walked backwards ends where it began: the last one ends where the path did begin.
        first = 2 * self.positions[:1] - self.positions[1:2]
        return Polyline(np.concatenate([self.positions[-2::-1], first]), self.features[::-1])

    def courses(self, spacing: float) -> FloatArray:
        """Return the direction of travel (n,) at each cell's end, rad."""
        reach = max(1, round(_REACH / spacing))
        last = len(self) - 1
        steps = np.arange(len(self))
        ahead, behind = np.minimum(steps + reach, last), np.maximum(steps - reach, 0)
        # Behind a turning point of 180 degrees both ends meet: the stretch walked last decides.
        travel = self.positions[ahead] - self.positions[behind]
        flat = np.linalg.norm(travel, axis=1) < 0.1 * spacing * (ahead - behind)
        travel[flat] = (self.positions - self.positions[behind])[flat]
        return np.asarray(np.arctan2(travel[:, 1], travel[:, 0]))


def cells(arc: FloatArray, values: FloatArray, edges: FloatArray) -> FloatArray:
    """Return the means (m, C) of values (n, C) between m + 1 edges, m, along ascending distances `arc` (n,), m.

    The mean is over distance: standing still counts once, however long it lasts.
    """
    # Beyond its ends, the field is the one measured last.
    arc = np.concatenate([[min(arc[0], edges[0])], arc, [max(arc[-1], edges[-1])]])
    values = np.concatenate([values[:1], values, values[-1:]])
    steps = np.diff(arc)[:, None] * (values[1:] + values[:-1]) / 2
    integral = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(steps, axis=0)])
    at_edges = np.stack([np.interp(edges, arc, column) for column in integral.T], axis=1)
    return np.asarray(np.diff(at_edges, axis=0) / np.diff(edges)[:, None])


def polyline(positions: FloatArray, features: FloatArray, spacing: float) -> Polyline:
    """Cut rows along a path, positions (n, 2) and features (n, C), into cells of `spacing` metres."""
    legs = np.linalg.norm(np.diff(positions, axis=0), axis=1)
    arc = np.concatenate([[0.0], np.cumsum(legs)])
    edges = np.arange(0.0, arc[-1] + 1e-9, spacing)
    if len(edges) < 2:
        return Polyline(np.empty((0, 2)), np.empty((0, features.shape[1])))
    ends = np.stack([np.interp(edges[1:], arc, column) for column in positions.T], axis=1)
    return Polyline(ends, cells(arc, features, edges))


@dataclass(frozen=True, eq=False)
class PolylineMap:
    """All paths of a survey end to end."""

    spacing: float
    """Length of a cell, m."""
    positions: FloatArray
    """(n, 2) m."""
    courses: FloatArray
    """(n,) direction of travel, rad."""
    features: FloatArray
    """(n, C) microtesla."""
    starts: Cells
    """(P,) the first cell of each path, ascending, from 0."""

    @classmethod
    def joined(cls, lines: Iterable[Polyline], spacing: float) -> PolylineMap:
        """Put polylines end to end; those of fewer than two cells have no course and are left out."""
        kept = [line for line in lines if len(line) > 1]
        lengths = [0, *(len(line) for line in kept)]
        return cls(
            spacing,
            np.concatenate([np.empty((0, 2)), *(line.positions for line in kept)]),
            np.concatenate([np.empty(0), *(line.courses(spacing) for line in kept)]),
            np.concatenate([line.features for line in kept]) if kept else np.empty((0, 3)),
            np.cumsum(lengths)[:-1].astype(np.int64),
        )

    @classmethod
    def from_tensors(cls, tensors: Tensors, spacing: float) -> PolylineMap:
        """Read what `to_tensors` returned; ValueError where the parts do not fit."""
        parts = [np.asarray(tensors[name]) for name in ("positions", "courses", "features", "starts")]
        positions, courses, features = (part.astype(np.float64) for part in parts[:3])
        starts = parts[3].astype(np.int64)
        if not len(positions) or positions.shape != (len(courses), 2) or len(features) != len(courses):
            raise ValueError(f"map of {positions.shape} positions, {len(courses)} courses, {features.shape} features")
        if not len(starts) or starts[0] != 0 or (np.diff(starts) < 1).any() or starts[-1] >= len(positions):
            raise ValueError(f"paths start at cells {starts.tolist()} of {len(positions)}")
        return cls(spacing, positions, courses, features, starts)

    def to_tensors(self) -> Tensors:
        """Return the arrays that a model folder keeps."""
        return {
            "positions": self.positions,
            "courses": self.courses,
            "features": self.features.astype(np.float32),
            "starts": self.starts,
        }

    def lines(self) -> list[slice]:
        """Return the cells of each path."""
        stops = [*self.starts[1:].tolist(), len(self.positions)]
        return [slice(start, stop) for start, stop in zip(self.starts.tolist(), stops, strict=True)]

    def turned_round(self) -> PolylineMap:
        """Return the map with every path walked backwards."""
        lines = [Polyline(self.positions[part], self.features[part]) for part in self.lines()]
        return PolylineMap.joined((line.reversed() for line in lines), self.spacing)

    def both_ways(self) -> PolylineMap:
        """Return the map with every path walked both ways."""
        other = self.turned_round()
        return PolylineMap(
            self.spacing,
            np.concatenate([self.positions, other.positions]),
            np.concatenate([self.courses, other.courses]),
            np.concatenate([self.features, other.features]),
            np.concatenate([self.starts, other.starts + len(self.positions)]),
        )

    def window_ends(self, length: int, hop: int) -> Cells:
        """Return the last cell of every window of `length` cells inside one path, `hop` cells apart."""
        ends = [np.arange(part.start + length - 1, part.stop, hop) for part in self.lines()]
        return np.concatenate([np.empty(0, dtype=np.int64), *ends]).astype(np.int64)

    def windows(self, ends: Cells, length: int) -> FloatArray:
        """Return the windows (W, length, C) that end at cells `ends`."""
        return np.asarray(self.features[ends[:, None] + np.arange(1 - length, 1)])
