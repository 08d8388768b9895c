"""How a way lies in the map, from positions that another method gave along it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from mail_localization.motion.planar import rotation
from mail_localization.types import FloatArray

_CORRELATED = 5.0
"""Successive positions err together: so many count as one."""
_MIN_STDDEV = 0.1


@dataclass(frozen=True, eq=False)
class Placement:
    """map position = origin + R(turn) way, for a way in the frame of the motion's source."""

    origin: FloatArray
    """(2,) m."""
    stddev: float
    """Of each axis of the origin, m."""
    turn: float
    """rad."""
    turn_std: float = 0.0
    """rad."""

    def place(self, way: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the map position (2,) after a way (2,), and its covariance (2, 2) by origin and turn."""
        arm = rotation(self.turn) @ way
        across = np.array([-arm[1], arm[0]])
        covariance = self.stddev**2 * np.eye(2) + self.turn_std**2 * np.outer(across, across)
        return self.origin + arm, covariance


def align(
    ways: FloatArray, positions: FloatArray, origin: FloatArray | None = None, turn: float | None = None
) -> Placement:
    """Lay a way onto positions such that the sum of the distances left is least.

    A sum of distances, not of squares: a matcher errs rarely but grossly.

    Args:
        ways: (n, 2) in the frame of the motion's source, from the way's origin, m.
        positions: (n, 2) in `map`, m.
        origin: of the way in `map`, where it is known, m.
        turn: of the way, where it is known, rad.
    """
    turns = np.array([turn]) if turn is not None else np.radians(np.arange(0.0, 360.0, 5.0))
    fits = [_fit(ways, positions, origin, angle) for angle in turns]
    best = min(fits, key=lambda fit: fit.left)
    if turn is None:
        turns = best.turn + np.radians(np.arange(-5.0, 5.5, 0.5))
        best = min((_fit(ways, positions, origin, angle) for angle in turns), key=lambda fit: fit.left)
    stddev = max(best.typical / math.sqrt(max(len(ways) / _CORRELATED, 1.0)), _MIN_STDDEV)
    if turn is not None:
        return Placement(best.origin, stddev, best.turn)
    centre = ways.mean(axis=0) if origin is None else np.zeros(2)
    arm = math.sqrt(float(((ways - centre) ** 2).sum(axis=1).mean()))
    turn_std = min(stddev / max(arm, 1e-6), math.pi)
    return Placement(best.origin, stddev if origin is None else 0.0, best.turn, turn_std)


@dataclass(frozen=True, eq=False)
class _Fit:
    turn: float
    origin: FloatArray
    left: float
    """Mean distance left, m."""
    typical: float
    """Median distance left, m."""


def _fit(ways: FloatArray, positions: FloatArray, origin: FloatArray | None, turn: float) -> _Fit:
    origins = positions - ways @ rotation(turn).T
    middle = np.median(origins, axis=0) if origin is None else origin
    distances = np.linalg.norm(origins - middle, axis=1)
    return _Fit(float(turn), np.asarray(middle), float(distances.mean()), float(np.median(distances)))
