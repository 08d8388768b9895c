"""How the odometry's frame lies in the map, from positions most of which are right and some grossly wrong."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mail_localization.motion.planar import PlanarTransform, rotation
from mail_localization.types import FloatArray

APART = 1.0
"""Positions told on less of a way than this belong to one place, m."""
_KEPT, _KEPT_EACH = 48, 32
"""Places, and positions of each: the cost of an alignment is bounded, and the odometry's drift on the way small."""
_SHORTEST = 3.0
"""Places nearer to each other than this tell no direction, m."""
_STRETCH = 1.5
"""Two positions may be so many times farther apart, or nearer, than the odometry says."""
_LEAST_SCALE = 0.2
"""No localizer is better than this, m."""
NEAR = 3.0
"""Distances left of fewer scales than this are right positions."""
CORRELATED = 5.0
"""Successive places err together: so many count as one."""
_ODDS = math.log(20.0)
"""Logarithm of how many times likelier an alignment must be than any that lies elsewhere."""
_MEDIAN = 1.18
"""Median of a distance in the plane, in standard deviations per axis."""
_ROUNDS = 10
_HYPOTHESES = 300
"""Pairs tried, evenly among all: half of the positions being right, a quarter of the pairs are."""


class Place:
    """What was told near one place of the way; of many positions the newest count."""

    def __init__(self, start: FloatArray) -> None:
        self.start = start
        """(2,) where on the way it begins, m."""
        self._told: deque[FloatArray] = deque(maxlen=_KEPT_EACH)
        self._pair: FloatArray | None = None

    def tell(self, way: FloatArray, position: FloatArray) -> None:
        """Take a position (2,) in `map`, m, told at (2,) of the way, m."""
        self._told.append(np.stack([way, position]))
        self._pair = None

    @property
    def pair(self) -> FloatArray:
        """(2, 2) the middle of the ways, and that of the positions, m."""
        if self._pair is None:
            self._pair = np.median(np.stack(self._told), axis=0)
        return self._pair


@dataclass(frozen=True, eq=False)
class Alignment:
    """One way to lay odometry into the map."""

    map_T_odom: PlanarTransform
    covariance: FloatArray
    """(3, 3) of x and y of the newest place in `map`, m, and of the turn, rad."""
    scale: float
    """Typical distance of a right position, m, per axis."""
    right: npt.NDArray[np.bool_]
    """(n,) which places it explains."""

    @property
    def turn_stddev(self) -> float:
        """Standard deviation of the turn, rad."""
        return math.sqrt(float(self.covariance[2, 2]))


class Places:
    """The newest places of a way and what was told there."""

    def __init__(self) -> None:
        self._places: deque[Place] = deque(maxlen=_KEPT)

    def __len__(self) -> int:
        return len(self._places)

    def clear(self) -> None:
        """Forget all."""
        self._places.clear()

    def tell(self, odom: PlanarTransform, position: FloatArray) -> bool:
        """Take a position (2,) in `map`, m, told at an odometry pose; return whether the place is a new one."""
        way = np.array([odom.x, odom.y])
        # A standing target is told the same again and again: that must not outvote what it is told on its way.
        new = not self._places or float(np.linalg.norm(way - self._places[-1].start)) > APART
        if new:
            self._places.append(Place(way))
        self._places[-1].tell(way, position)
        return new

    def newest(self, count: int) -> tuple[FloatArray, FloatArray]:
        """Return ways and positions, each (n, 2), of the newest places."""
        chosen = list(self._places)[-count:]
        pairs = np.stack([place.pair for place in chosen]) if chosen else np.zeros((0, 2, 2))
        return pairs[:, 0], pairs[:, 1]


def align_places(ways: FloatArray, positions: FloatArray, least: float = _LEAST_SCALE) -> Alignment | None:
    """Lay ways (n, 2), m, in `odom` onto positions (n, 2), m, in `map`; None where no way of doing so stands out.

    Each pair of places far enough apart is a hypothesis; the one whose median distance left is least tells how large
    a right position's error is, then the most likely one under errors of that size with heavy tails (Cauchy) is
    refined. It must explain half of the places, and be far likelier than any hypothesis that lies elsewhere.

    Args:
        ways: where the odometry was.
        positions: what was told there.
        least: error of right positions per axis at least, m: those that err together agree better than they are.
    """
    turns, origins = _hypotheses(ways, positions)
    if len(turns) == 0:
        return None
    left = _left(turns, origins, ways, positions)
    scale = max(float(np.median(left, axis=1).min()), _MEDIAN * least)
    # Minus the log-likelihood of Cauchy's density in the plane.
    unlikely = 1.5 * np.log1p((left / scale) ** 2).sum(axis=1) / CORRELATED
    best = int(unlikely.argmin())
    alignment = _refined(float(turns[best]), origins[best], ways, positions, scale, least)
    others = _elsewhere(turns, origins, alignment, ways[-1])
    alone = not others.any() or float(unlikely[others].min() - unlikely[best]) > _ODDS
    return alignment if alone and 2 * int(alignment.right.sum()) >= len(ways) else None


def left_over(map_T_odom: PlanarTransform, ways: FloatArray, positions: FloatArray) -> FloatArray:
    """Return the distances (n,), m, between positions and the ways as they lie in the map."""
    laid = ways @ rotation(map_T_odom.yaw).T + (map_T_odom.x, map_T_odom.y)
    return np.asarray(np.linalg.norm(positions - laid, axis=1))


def _hypotheses(ways: FloatArray, positions: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return turns (h,) and origins (h, 2) that lay one pair of places onto its positions."""
    first, second = np.triu_indices(len(ways), 1)
    way, step = ways[second] - ways[first], positions[second] - positions[first]
    length, told = np.linalg.norm(way, axis=1), np.linalg.norm(step, axis=1)
    # The slack lets short pairs take part, whose lengths say little.
    use = (length > _SHORTEST) & (told < _STRETCH * length + 1.0) & (length < _STRETCH * told + 1.0)
    tried = np.flatnonzero(use)
    tried = tried[np.linspace(0, len(tried) - 1, min(len(tried), _HYPOTHESES)).astype(int)]
    first, second, way, step = first[tried], second[tried], way[tried], step[tried]
    turns = np.arctan2(step[:, 1], step[:, 0]) - np.arctan2(way[:, 1], way[:, 0])
    middle = (ways[first] + ways[second]) / 2
    return turns, (positions[first] + positions[second]) / 2 - _turned(turns, middle)


def _left(turns: FloatArray, origins: FloatArray, ways: FloatArray, positions: FloatArray) -> FloatArray:
    """Return the distances left (h, n), m."""
    laid = origins[:, None] + _turned(turns[:, None], ways[None])
    off = positions[None] - laid
    return np.asarray(np.hypot(off[..., 0], off[..., 1]))


def _turned(turns: FloatArray, ways: FloatArray) -> FloatArray:
    cosine, sine = np.cos(turns), np.sin(turns)
    x, y = ways[..., 0], ways[..., 1]
    return np.stack([cosine * x - sine * y, sine * x + cosine * y], axis=-1)


def _refined(
    turn: float, origin: FloatArray, ways: FloatArray, positions: FloatArray, scale: float, least: float
) -> Alignment:
    """Minimise Cauchy's sum by weighted Procrustes rounds, starting at a hypothesis."""
    for _ in range(_ROUNDS):
        left = np.linalg.norm(positions - origin - ways @ rotation(turn).T, axis=1)
        weights = 1.0 / (1.0 + (left / scale) ** 2)
        way_middle, middle = np.average(ways, 0, weights), np.average(positions, 0, weights)
        a, b = ways - way_middle, positions - middle
        turn = math.atan2(
            float(weights @ (a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0])), float(weights @ (a * b).sum(axis=1))
        )
        origin = middle - rotation(turn) @ way_middle
    spread = float(weights @ (a**2).sum(axis=1))
    right = left < NEAR * scale
    stddev = max(float(np.median(left[right])) / _MEDIAN, least) if right.any() else scale
    variance = CORRELATED * stddev**2
    turn_variance = min(variance / max(spread, 1e-6), math.pi**2)
    arm = rotation(turn) @ (ways[-1] - way_middle)
    across = np.array([-arm[1], arm[0], 1.0])
    covariance = turn_variance * np.outer(across, across)
    covariance[[0, 1], [0, 1]] += variance / float(weights.sum())
    return Alignment(PlanarTransform(float(origin[0]), float(origin[1]), turn), covariance, stddev, right)


def _elsewhere(
    turns: FloatArray, origins: FloatArray, alignment: Alignment, newest: FloatArray
) -> npt.NDArray[np.bool_]:
    """Tell which hypotheses (h,) put the newest place elsewhere, or turn the way otherwise."""
    best = alignment.map_T_odom
    here = rotation(best.yaw) @ newest + (best.x, best.y)
    away = np.linalg.norm(origins + _turned(turns, newest[None]) - here, axis=1)
    turn = np.abs(np.angle(np.exp(1j * (turns - best.yaw))))
    # Within its own uncertainty another hypothesis is the same.
    apart = max(0.5, 2.5 * alignment.turn_stddev)
    return np.asarray((away > max(5.0, 2 * NEAR * alignment.scale)) | (turn > apart))
