"""Whether an IMU's readings can be m/s^2 and rad/s, gravity included."""

from __future__ import annotations

import numpy as np

from mail_localization.health.status import Finding, Level
from mail_localization.preprocess.excerpt import Excerpt

GRAVITY = 9.80665
_ACCELERATIONS = {"g": GRAVITY, "milli-g": GRAVITY / 1000, "cm/s^2": 0.01}
"""Units that drivers publish instead of m/s^2 -> m/s^2."""
_STRENGTH = 0.7 * GRAVITY, 1.3 * GRAVITY
"""A median outside is no person's and no robot's."""
_WEAK = 0.3 * GRAVITY
_FULL_SCALE = 35.0
"""2000 degrees/s, the full scale of usual gyroscopes, rad/s."""
_SUSTAINED = 10.0
"""Nobody turns a device by more for half a minute, rad/s; a walk in degrees/s is 10 to 60."""
_STUCK_SECONDS = 10.0


def imu_findings(excerpt: Excerpt) -> list[Finding]:
    """Judge the accelerations and angular rates of an excerpt."""
    if len(excerpt.imu) < 5:
        return []
    return [*_acceleration(excerpt), *_rate(excerpt), *_stuck(excerpt)]


def _acceleration(excerpt: Excerpt) -> list[Finding]:
    strength = float(np.median(np.linalg.norm(excerpt.imu[:, :3], axis=1)))
    if _STRENGTH[0] <= strength <= _STRENGTH[1]:
        return []
    told = f"median |acceleration| is {strength:.3g}, at rest it is 9.8 m/s^2"
    for unit, factor in _ACCELERATIONS.items():
        if _STRENGTH[0] <= strength * factor <= _STRENGTH[1]:
            remedy = f"multiply by {factor:.6g} in the IMU's driver (REP-103)"
            return [Finding(Level.ERROR, f"{told}: likely {unit}; {remedy}")]
    if strength < _WEAK:
        remedy = "publish the raw specific force (REP-145), not the linear acceleration"
        return [Finding(Level.ERROR, f"{told}: gravity was taken off; {remedy}")]
    return [Finding(Level.ERROR, f"{told}: no unit explains it; correct the scale in the IMU's driver")]


def _rate(excerpt: Excerpt) -> list[Finding]:
    rates = np.linalg.norm(excerpt.imu[:, 3:], axis=1)
    median, high = (float(rate) for rate in np.quantile(rates, (0.5, 0.99)))
    if median <= _SUSTAINED and high <= _FULL_SCALE:
        return []
    told = f"|angular rate| is {median:.3g} at the median, {high:.3g} at 99 %: more than any device turns in rad/s"
    return [Finding(Level.ERROR, f"{told}; likely degrees/s: multiply by 0.0174533 in the IMU's driver (REP-103)")]


def _stuck(excerpt: Excerpt) -> list[Finding]:
    recent = excerpt.last(_STUCK_SECONDS)
    if len(recent.imu) < 20 or (recent.imu_ns[-1] - recent.imu_ns[0]) * 1e-9 < 0.9 * _STUCK_SECONDS:
        return []
    found = []
    for name, columns in (("acceleration", recent.imu[:, :3]), ("angular rate", recent.imu[:, 3:])):
        if np.ptp(columns, axis=0).any():
            continue
        if columns.any():
            found.append(
                f"the {name} has not changed for {_STUCK_SECONDS:g} s: the sensor is stuck; restart its driver"
            )
        elif name == "angular rate":
            found.append("the angular rate is always 0: the driver publishes none; turn its gyroscope on")
    return [Finding(Level.ERROR, text) for text in found]
