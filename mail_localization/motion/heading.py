"""Direction of the sensor about the vertical: from the samples' attitude, or from gyroscope and accelerometer."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np

from mail_localization.errors import importing
from mail_localization.preprocess.stamps import StampGate
from mail_localization.types import MagneticSample, Quaternion, Vector3

Direction = tuple[float, float]
"""(cos, sin) of an angle about the world's vertical."""
_MAX_AGE_NS = 500_000_000


def direction_of(orientation: Quaternion) -> Direction | None:
    """Return the rotation about the vertical in world_T_sensor (the twist of swing-twist), as a unit vector.

    Turning the sensor about the vertical by any angle turns the result by the same angle, however the sensor is held;
    only upside down there is no such angle, and None is returned.
    """
    _, _, z, w = orientation
    norm = w * w + z * z
    total = sum(axis * axis for axis in orientation)
    if not 0.5 < total < 2.0 or norm < 1e-3 * total:
        return None
    # The angle is 2 atan2(z, w): its cosine and sine by the double-angle formulas.
    return ((w * w - z * z) / norm, 2.0 * w * z / norm)


class InertialHeading:
    """Attitude by the library vqf (Laidig and Seel, Information Fusion 91, 2023) on uniform rows.

    Without a magnetometer the angle about the vertical starts at an arbitrary value and drifts slowly.
    """

    def __init__(self, rate_hz: float) -> None:
        with importing("the heading of an IMU without orientation"):
            from vqf import VQF
        self._filter = VQF(1.0 / rate_hz)
        self.absolute = False
        """Whether a field has turned the direction to magnetic north."""

    def reset(self) -> None:
        """Forget the attitude and the gyroscope's bias."""
        self._filter.resetState()
        self.absolute = False

    def add(self, acceleration: Vector3, angular_velocity: Vector3, field: Vector3 | None = None) -> Direction | None:
        """Feed one row (m/s^2, rad/s; tesla less hard iron, if it is to be used); return the direction after it."""
        rate, force = np.array(angular_velocity), np.array(acceleration)
        if field is None:
            self._filter.update(rate, force)
        else:
            self._filter.update(rate, force, np.array(field) * 1e6)
            self.absolute = True
        w, x, y, z = self._filter.getQuat9D() if self.absolute else self._filter.getQuat6D()
        return direction_of((float(x), float(y), float(z), float(w)))


class Compass:
    """The newest field less the device's own."""

    def __init__(self, hard_iron: Vector3, counters: Counter[str]) -> None:
        self._own = hard_iron
        self._counters = counters
        self._gate: StampGate[Vector3] = StampGate(_MAX_AGE_NS)
        self.reset()

    def reset(self) -> None:
        """Forget all samples."""
        self._gate.reset()
        self._newest: tuple[int, Vector3] | None = None

    def add(self, sample: MagneticSample) -> None:
        """Feed one sample."""
        if not all(map(math.isfinite, sample.field)):
            self._counters["mag.non_finite"] += 1
            return
        for _, t_ns, field in self._gate.admit(sample.t_ns, sample.field):
            self._newest = (t_ns, field)
        if self._gate.verdict:
            self._counters[f"mag.{self._gate.verdict}"] += 1

    def field(self, t_ns: int) -> Vector3 | None:
        """Return the outside field, tesla; None where the newest reading is of another time."""
        if self._newest is None or abs(t_ns - self._newest[0]) > _MAX_AGE_NS:
            return None
        (x, y, z), (a, b, c) = self._newest[1], self._own
        return (x - a, y - b, z - c)


def angle(direction: Direction) -> float:
    """Return the angle of a direction, rad."""
    return math.atan2(direction[1], direction[0])
