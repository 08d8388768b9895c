"""Base position and direction of the odometry's frame in the map, followed by an extended Kalman filter."""

from __future__ import annotations

import math

import numpy as np

from mail_localization.config import Settings, setting
from mail_localization.motion.planar import PlanarTransform, wrapped
from mail_localization.types import FloatArray

_WHITE = 0.1
"""Share of an estimate's variance that the next estimate does not have in common with it."""


class DriftSettings(Settings):
    """How odometry errs; each error grows with the square root of what causes it."""

    distance: float = setting(
        0.1, "standard deviation of the position, per axis, after the first metre, m", minimum=0.0, maximum=10.0
    )
    heading: float = setting(
        0.01, "standard deviation of the heading after the first metre, rad", minimum=0.0, maximum=3.0
    )
    turn: float = setting(
        0.05, "standard deviation of the heading after the first radian turned, rad", minimum=0.0, maximum=3.0
    )


class PoseFilter:
    """State (x, y, turn, bx, by): map position of the base, yaw of map_T_odom, and the estimates' common error.

    Kept by the base and not by the origin of `odom`: an error in turning happens where the base is, so the
    origin's errors and the turn's are correlated by however far it has gone, but the base's are not.

    Estimates from overlapping windows err alike. Their common error fades as a first-order process does
    (Ornstein-Uhlenbeck), so that many of them from one place make the position no more certain than one does.
    """

    def __init__(self, drift: DriftSettings, odom: PlanarTransform, pose: FloatArray, covariance: FloatArray) -> None:
        """Begin at an odometry pose with (x, y, turn) and its covariance (3, 3)."""
        self._drift = drift
        self._odom = odom
        self._state = np.concatenate([pose, [0.0, 0.0]])
        self._covariance = np.zeros((5, 5))
        self._covariance[:3, :3] = covariance

    @property
    def map_T_odom(self) -> PlanarTransform:
        """Where the odometry's frame lies; constant but for corrections."""
        x, y, turn = self._state[:3].tolist()
        arm = PlanarTransform(0.0, 0.0, turn).turned(self._odom.x, self._odom.y)
        return PlanarTransform(x - arm[0], y - arm[1], turn)

    @property
    def covariance(self) -> FloatArray:
        """(2, 2) of the base's position, m^2."""
        return self._covariance[:2, :2]

    @property
    def turn_stddev(self) -> float:
        """Standard deviation of the turn, rad."""
        return math.sqrt(float(self._covariance[2, 2]))

    def move(self, odom: PlanarTransform) -> None:
        """Follow the odometry to its next pose."""
        dx, dy = odom.x - self._odom.x, odom.y - self._odom.y
        turned = abs(wrapped(odom.yaw - self._odom.yaw))
        self._odom = odom
        if dx == dy == turned == 0.0:
            return
        mx, my = PlanarTransform(0.0, 0.0, float(self._state[2])).turned(dx, dy)
        self._state[:2] += (mx, my)
        jacobian = np.eye(5)
        jacobian[0, 2], jacobian[1, 2] = -my, mx
        self._covariance = jacobian @ self._covariance @ jacobian.T
        way = math.hypot(dx, dy)
        self._covariance[[0, 1], [0, 1]] += self._drift.distance**2 * way
        self._covariance[2, 2] += self._drift.heading**2 * way + self._drift.turn**2 * turned

    def tear(self, odom: PlanarTransform, position_stddev: float, turn_stddev: float) -> None:
        """Take an odometry that goes on from another origin: the base stays, a little less certain."""
        self._state[2] = wrapped(float(self._state[2]) + self._odom.yaw - odom.yaw)
        self._odom = odom
        self.doubt(position_stddev, turn_stddev)

    def doubt(self, position_stddev: float, turn_stddev: float) -> None:
        """Become less certain, m per axis and rad."""
        self._covariance[[0, 1], [0, 1]] += position_stddev**2
        self._covariance[2, 2] += turn_stddev**2

    def fade(self, kept: float, covariance: FloatArray) -> None:
        """Keep a share of the estimates' common error, whose covariance in the long run is (2, 2)."""
        self._state[3:] *= kept
        self._covariance[3:] *= kept
        self._covariance[:, 3:] *= kept
        self._covariance[3:, 3:] += (1.0 - kept**2) * (1.0 - _WHITE) * covariance

    def predict(self, odom: PlanarTransform) -> tuple[FloatArray, FloatArray]:
        """Return the map position (2,) where the odometry was at `odom`, and its covariance (2, 2)."""
        back, jacobian = self._measured(odom)
        seen = jacobian[:, :3]
        return self._state[:2] + back, seen @ self._covariance[:3, :3] @ seen.T

    def yaw(self, odom: PlanarTransform) -> float:
        """Return the base's yaw in the map where the odometry was at `odom`, rad."""
        return wrapped(float(self._state[2]) + odom.yaw)

    def surprise(self, odom: PlanarTransform, position: FloatArray, covariance: FloatArray) -> float:
        """Return how far an estimate (2,) is from where base and common error make it expected, in deviations."""
        back, jacobian = self._measured(odom)
        off = position - self._state[:2] - self._state[3:] - back
        expected = jacobian @ self._covariance @ jacobian.T + _WHITE * covariance
        return math.sqrt(float(off @ np.linalg.solve(expected, off)))

    def correct(self, odom: PlanarTransform, position: FloatArray, covariance: FloatArray) -> None:
        """Take an estimate (2,), and its covariance (2, 2), of where the odometry was at `odom`."""
        back, jacobian = self._measured(odom)
        white = _WHITE * covariance
        gain = np.linalg.solve(jacobian @ self._covariance @ jacobian.T + white, jacobian @ self._covariance).T
        self._state += gain @ (position - self._state[:2] - self._state[3:] - back)
        self._state[2] = wrapped(float(self._state[2]))
        # Joseph's form keeps the covariance positive definite whatever the rounding.
        left = np.eye(5) - gain @ jacobian
        self._covariance = left @ self._covariance @ left.T + gain @ white @ gain.T

    def _measured(self, odom: PlanarTransform) -> tuple[FloatArray, FloatArray]:
        """Return the way (2,) in the map from the base to `odom`, and an estimate's Jacobian (2, 5)."""
        turn = PlanarTransform(0.0, 0.0, float(self._state[2]))
        x, y = turn.turned(odom.x - self._odom.x, odom.y - self._odom.y)
        return np.array([x, y]), np.array([[1.0, 0.0, -y, 1.0, 0.0], [0.0, 1.0, x, 0.0, 1.0]])
