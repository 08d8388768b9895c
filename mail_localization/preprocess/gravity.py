"""The direction of gravity in the sensor frame."""

from __future__ import annotations

import math

from mail_localization.types import ImuSample, Quaternion, Vector3

_STALE_NS = 500_000_000


class GravityEstimator:
    """Track the up direction as a unit vector in the sensor frame.

    It comes from the sample's orientation where there is one. Otherwise a complementary filter turns the last
    direction with the gyroscope and pulls it towards the accelerometer (Mahony et al., IEEE TAC 2008, with
    proportional gain only).
    """

    def __init__(self, time_constant: float = 2.0) -> None:
        self._time_constant = time_constant
        self.reset()

    def reset(self) -> None:
        """Forget the last direction."""
        self._t_ns: int | None = None
        self._up: Vector3 | None = None

    def update(self, sample: ImuSample) -> Vector3 | None:
        """Return the up direction at the sample, None while it cannot be told (free fall, no reading)."""
        up = self._filtered(sample) if sample.orientation is None else _unit(_up_of(sample.orientation))
        self._t_ns, self._up = sample.t_ns, up
        return up

    def _filtered(self, sample: ImuSample) -> Vector3 | None:
        measured = _unit(sample.acceleration)
        elapsed_ns = sample.t_ns - self._t_ns if self._t_ns is not None else -1
        if self._up is None or measured is None or not 0 <= elapsed_ns <= _STALE_NS:
            return measured
        dt = elapsed_ns * 1e-9
        gain = min(dt / self._time_constant, 1.0)
        turned = _turned(self._up, sample.angular_velocity, dt)
        return _unit(tuple(u + gain * (m - u) for u, m in zip(turned, measured, strict=True)))  # type: ignore[arg-type]


def _turned(up: Vector3, rate: Vector3, dt: float) -> Vector3:
    """Turn a direction fixed in the world by a sensor turning at `rate`: du/dt = u x w, to first order."""
    (x, y, z), (p, q, r) = up, rate
    return (x + (y * r - z * q) * dt, y + (z * p - x * r) * dt, z + (x * q - y * p) * dt)


def _up_of(orientation: Quaternion) -> Vector3:
    """Return the world's z axis in the sensor frame: the last row of world_T_sensor."""
    x, y, z, w = orientation
    return (2 * (x * z - w * y), 2 * (y * z + w * x), w * w - x * x - y * y + z * z)


def _unit(vector: Vector3) -> Vector3 | None:
    norm = math.hypot(*vector)
    if not 1e-6 < norm < math.inf:
        return None
    return (vector[0] / norm, vector[1] / norm, vector[2] / norm)
