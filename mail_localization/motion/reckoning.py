"""A way in the making, and where it lies in the map."""

from __future__ import annotations

import math
from collections import deque

import numpy as np

from mail_localization.motion.alignment import Placement, align
from mail_localization.motion.places import APART, Place
from mail_localization.motion.tracker import Motion
from mail_localization.types import FloatArray

_LOST_RAD = 1.0
"""A turn less certain than this ends what was known of the direction."""
_SURE_RAD = 0.5
"""A direction less certain than this is not yet used."""
_FEWEST, _LEAST_EXTENT = 5, 5.0
"""Positions, and metres between the first of them and the farthest, that a direction is found from."""
_TOLD = 400
"""Places kept to place a way: enough for minutes, and the cost of an alignment stays small."""


class Reckoning:
    """Adds up pieces of way from an origin that is known, or that positions told on the way reveal."""

    def __init__(self, heading_offset: float, settle: float, drift: float) -> None:
        self._offset, self._settle = heading_offset, settle
        self.drift = drift
        """Standard deviation that each metre of way adds to each axis, m."""
        self.begin()

    def begin(
        self, origin: FloatArray | None = None, covariance: FloatArray | None = None, course: float | None = None
    ) -> None:
        """Start anew.

        Args:
            origin: (2,) in `map`, where it is known, m.
            covariance: (2, 2) of the origin, m^2.
            course: direction of the first piece of way in `map`, where it is known, rad.
        """
        self.settled = False
        """Whether positions told on the way are of no more use."""
        self._origin, self._course = origin, course
        self._anchor = (
            None if origin is None else (origin, np.eye(2) if covariance is None else covariance, np.zeros(2))
        )
        self._placement: Placement | None = None
        self._turn: float | None = None
        self._way = np.zeros(2)
        self._distance = self._missed = 0.0
        self._told: deque[Place] = deque(maxlen=_TOLD)

    def move(self, motion: Motion) -> None:
        """Add a piece of way."""
        if not motion.heading_known and motion.turn_std > _LOST_RAD and self._distance > 0:
            found = self.position()
            self.begin(*(found or (None, None)))
        if self._turn is None:
            self._orient(motion)
        self._way = self._way + motion.distance * np.array([math.cos(motion.heading), math.sin(motion.heading)])
        self._distance += motion.distance
        if self._placement is not None and self._distance > self._settle:
            self.settled = True

    def miss(self, distance: float) -> None:
        """Note that a way of unknown direction, m, may not have been seen."""
        self._missed = math.hypot(self._missed, distance)

    def tell(self, position: FloatArray, covariance: FloatArray) -> None:
        """Take a position (2,) in `map`, m, that another method gave for the end of the way so far."""
        # A standing target is told the same again and again: that must not outvote what it is told on its way.
        if not self._told or float(np.linalg.norm(self._way - self._told[-1].start)) > APART:
            self._told.append(Place(self._way))
        self._told[-1].tell(self._way, position)
        if self._origin is None:
            self._anchor = (position, covariance, self._way)
        self._place()

    @property
    def distance(self) -> float:
        """Length of the way so far, m."""
        return self._distance

    def position(self) -> tuple[FloatArray, FloatArray] | None:
        """Return the position (2,) at the end of the way and its covariance (2, 2), None while it is unknown."""
        if self._placement is not None:
            place, covariance = self._placement.place(self._way)
            if self._origin is not None and self._anchor is not None:
                covariance = covariance + self._anchor[1]
            grown = (self.drift * self._distance) ** 2 + self._missed**2
            return place, covariance + grown * np.eye(2)
        if self._anchor is None:
            return None
        # Somewhere on a circle: half of its radius squared on each axis.
        place, covariance, start = self._anchor
        radius = self._way - start
        return place, covariance + (0.5 * float(radius @ radius) + self._missed**2) * np.eye(2)

    def _orient(self, motion: Motion) -> None:
        """Take the direction from the course told, or from an absolute heading."""
        if self._course is not None:
            self._turn = self._course - motion.heading
        elif motion.heading_known:
            self._turn = self._offset
        else:
            return
        if self._origin is not None:
            self._placement, self.settled = Placement(self._origin, 0.0, self._turn), True
        else:
            self._place()

    def _place(self) -> None:
        """Lay the way onto the positions told, once they are enough."""
        if not self._told:
            return
        ways, positions = np.stack([told.pair for told in self._told], axis=1)
        extent = float(np.linalg.norm(ways - ways[0], axis=1).max())
        # A few positions a step apart can be met in any direction.
        if self._turn is None and (len(ways) < _FEWEST or extent < _LEAST_EXTENT):
            return
        placement = align(ways, positions, self._origin, self._turn)
        if placement.turn_std < _SURE_RAD:
            self._placement = placement
