"""Whether a magnetometer's readings can be a magnetic field in tesla, indoors."""

from __future__ import annotations

import math

import numpy as np

from mail_localization.health.status import Finding, Level
from mail_localization.preprocess.excerpt import Excerpt
from mail_localization.preprocess.magnetic import MICROTESLA, SATURATION
from mail_localization.preprocess.turning import FieldTurns
from mail_localization.types import FloatArray

UNITS = {"millitesla": 1e-3, "gauss": 1e-4, "microtesla": 1e-6, "milligauss": 1e-7, "nanotesla": 1e-9}
"""Units that drivers publish instead of tesla (REP-103) -> tesla."""
TYPICAL = 57e-6
"""What a unit is guessed by without a survey, tesla: the Earth's 25 to 65, and a device's own field more often adds."""
POSSIBLE = 5e-6, 400e-6
"""Indoors: 20 to 70 is usual, steel and the device's own field stretch it, tesla."""
_STUCK_SECONDS = 10.0
_CLIPPED = 0.2
_STRONG = 200e-6
_CAME_FROM = 20e-6
_LARGE_HARD_IRON = 60e-6
_FIT = 0.3
"""Share of the field's change that the turns must explain."""


def magnetometer_findings(excerpt: Excerpt, scale: float, expected: float = TYPICAL) -> list[Finding]:
    """Judge the field of an excerpt; `scale` is the parameter magnetic_field_scale, `expected` the survey's median."""
    if len(excerpt.mag) < 5:
        return []
    strength = float(np.median(np.linalg.norm(excerpt.mag, axis=1)))
    if strength == 0.0:
        return [Finding(Level.ERROR, "the field is zero: the driver publishes no measurement; look at its log")]
    return (_unit(strength, scale, expected) or _clipped(excerpt.mag)) + _stuck(excerpt)


def likely_unit(strength: float, expected: float = TYPICAL) -> tuple[str, float] | None:
    """Return the unit that a published median field is in, and its size in tesla; None if no unit fits.

    Tesla where that is possible, else of UNITS the one that comes nearest to what is expected, by ratio.
    """
    if POSSIBLE[0] <= strength <= POSSIBLE[1]:
        return "tesla", 1.0
    name, factor = min(UNITS.items(), key=lambda unit: abs(math.log(strength * unit[1] / expected)))
    return (name, factor) if POSSIBLE[0] <= strength * factor <= POSSIBLE[1] else None


def _unit(strength: float, scale: float, expected: float) -> list[Finding]:
    if POSSIBLE[0] <= strength <= POSSIBLE[1]:
        return []
    told = f"median |B| is {strength:.3g} T, possible indoors is 5e-6 to 4e-4 T"
    published = likely_unit(strength / scale, expected)
    if published is not None:
        name, factor = published
        remedy = f"set parameter magnetic_field_scale to {factor:.3g} (it is {scale:.3g})"
        return [Finding(Level.ERROR, f"{told}: likely the driver publishes {name}; {remedy}")]
    if strength > POSSIBLE[1]:
        remedy = "move the sensor away from magnets, motors and speakers, or correct the driver's scale"
        return [Finding(Level.ERROR, f"{told}: no unit explains it; {remedy}")]
    return [Finding(Level.ERROR, f"{told}: no unit explains it; correct the driver's scale, or look for a shield")]


def _stuck(excerpt: Excerpt) -> list[Finding]:
    """Find readings, or one axis of them, that no longer change."""
    recent = excerpt.last(_STUCK_SECONDS)
    if len(recent.mag) < 20 or (recent.mag_ns[-1] - recent.mag_ns[0]) * 1e-9 < 0.9 * _STUCK_SECONDS:
        return []
    constant = np.ptp(recent.mag, axis=0) == 0.0
    if constant.all():
        text = f"the readings have not changed for {_STUCK_SECONDS:g} s: the sensor is stuck; restart its driver"
        return [Finding(Level.ERROR, text)]
    # A calm sensor of coarse steps rests on one value while others change; a wire does so at 0 or at full scale.
    dead = [name for name, axis, still in zip("xyz", recent.mag.T, constant, strict=True) if still and axis[0] == 0.0]
    if dead:
        return [Finding(Level.ERROR, f"axis {', '.join(dead)} is always 0: look at the sensor's wiring and driver")]
    return []


def _clipped(mag: FloatArray) -> list[Finding]:
    """Find axes that stand at their full scale."""
    found = []
    for name, axis in zip("xyz", mag.T, strict=True):
        size = np.abs(axis)
        top = float(size.max())
        share, limit = float(np.mean(size == top)), _CLIPPED
        if top >= SATURATION:
            share, limit = float(np.mean(size >= SATURATION)), 0.01
        # A device at rest in a strong field rests on one value too, but does not come there from afar.
        if top > _STRONG and share > limit and np.ptp(axis) > _CAME_FROM:
            text = (
                f"axis {name} stands at its full scale ({top * MICROTESLA:.0f} microtesla) in {share:.0%} of the "
                "readings: saturated; move the sensor away from magnets and motors, or choose a wider range"
            )
            found.append(Finding(Level.ERROR, text))
    return found


def turns_findings(turns: FieldTurns | None, distance: float | None, usual: float) -> list[tuple[str, Finding]]:
    """Judge units and axes of gyroscope and magnetometer, and the device's own field; return streams and findings.

    `distance` is that of the device's own field from the nearest of the survey's, tesla, None without a survey.
    """
    if turns is None or turns.fit < _FIT:
        return []
    spread = 4.0 * turns.gain_stddev
    if turns.gain + spread < 0.1 and abs(turns.gain) < 0.05:
        text = "the field turns far less than the gyroscope says: likely degrees/s published as rad/s"
        return [("imu", Finding(Level.ERROR, f"{text}; multiply by 0.0174533 in the IMU's driver (REP-103)"))]
    if abs(turns.gain + 1.0) < 0.35 and turns.gain_stddev < 0.1:
        text = "the field turns against the gyroscope: the axes of magnetometer and IMU differ"
        return [("mag", Finding(Level.ERROR, f"{text}; publish both in one frame, or correct the driver's signs"))]
    return [("mag", finding) for finding in _hard_iron(turns, distance, usual)] if turns.trusted else []


def _hard_iron(turns: FieldTurns, distance: float | None, usual: float) -> list[Finding]:
    own = "the device's own field (hard iron) is (" + ", ".join(f"{axis * 1e6:.0f}" for axis in turns.hard_iron)
    if distance is None:
        if float(np.linalg.norm(turns.hard_iron)) <= _LARGE_HARD_IRON:
            return []
        remedy = "calibrate the magnetometer, or move it away from steel and motors"
        return [Finding(Level.WARN, f"{own}) microtesla: {remedy}")]
    if distance <= usual + 2.0 * float(np.linalg.norm(turns.hard_iron_stddev)):
        return []
    text = f"{own}) microtesla, {distance * MICROTESLA:.0f} from the survey's: another device, mount or load"
    return [Finding(Level.WARN, f"{text}; calibrate the magnetometer as for the survey, or survey with this device")]
