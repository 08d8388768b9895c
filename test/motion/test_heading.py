from __future__ import annotations

import math
from collections import Counter

import pytest

from mail_localization.motion.heading import Compass, InertialHeading, angle, direction_of
from mail_localization.types import MagneticSample, Quaternion


def _product(a: Quaternion, b: Quaternion) -> Quaternion:
    ax, ay, az, aw = a
    bx, by, bz, bw = b
    return (
        aw * bx + ax * bw + ay * bz - az * by,
        aw * by - ax * bz + ay * bw + az * bx,
        aw * bz + ax * by - ay * bx + az * bw,
        aw * bw - ax * bx - ay * by - az * bz,
    )


def _about(axis: int, radians: float) -> Quaternion:
    values = [0.0, 0.0, 0.0, math.cos(radians / 2)]
    values[axis] = math.sin(radians / 2)
    return (values[0], values[1], values[2], values[3])


@pytest.mark.parametrize(
    "tilt", [_about(0, 0.0), _about(0, 1.4), _about(1, -0.9), _product(_about(0, 1), _about(1, 1))]
)
def test_turning_about_the_vertical_turns_the_direction_by_as_much(tilt: Quaternion) -> None:
    before = direction_of(tilt)
    after = direction_of(_product(_about(2, 0.8), tilt))
    assert before is not None
    assert after is not None
    assert math.remainder(angle(after) - angle(before), 2 * math.pi) == pytest.approx(0.8)


def test_tilting_forward_keeps_the_direction() -> None:
    for pitch in (0.0, 0.7, 1.5):
        assert angle(direction_of(_product(_about(2, 0.3), _about(0, pitch))) or (0, 0)) == pytest.approx(0.3)


@pytest.mark.parametrize("orientation", [(1.0, 0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 0.0), (math.nan, 0.0, 0.0, 1.0)])
def test_upside_down_or_no_orientation_has_no_direction(orientation: Quaternion) -> None:
    assert direction_of(orientation) is None


def test_gyroscope_turns_the_inertial_heading() -> None:
    heading = InertialHeading(50.0)
    force = (0.0, 0.0, 9.8)
    start = angle(heading.add(force, (0.0, 0.0, 0.0)) or (0, 0))
    # One radian in a second, about the vertical of a phone held flat.
    for _ in range(50):
        direction = heading.add(force, (0.0, 0.0, 1.0))
    assert angle(direction or (0, 0)) - start == pytest.approx(1.0, abs=0.03)


def test_compass_takes_the_device_out_and_keeps_no_old_field() -> None:
    compass = Compass((1e-5, 0.0, -2e-5), counters := Counter())
    assert compass.field(0) is None
    compass.add(MagneticSample(10**9, (3e-5, 1e-5, 2e-5)))
    compass.add(MagneticSample(10**9, (9e-5, 9e-5, 9e-5)))
    compass.add(MagneticSample(10**9 + 1, (math.nan, 0.0, 0.0)))
    assert compass.field(10**9 + 10**8) == pytest.approx((2e-5, 1e-5, 4e-5))
    assert compass.field(2 * 10**9) is None
    assert counters == {"mag.duplicate": 1, "mag.non_finite": 1}


def test_field_makes_the_inertial_heading_absolute() -> None:
    heading = InertialHeading(50.0)
    for _ in range(500):
        # North lies to the left of the sensor's x axis: x points east, as the world's x axis does.
        direction = heading.add((0.0, 0.0, 9.8), (0.0, 0.0, 0.0), (0.0, 2e-5, -4e-5))
    assert heading.absolute
    assert angle(direction or (0, 0)) == pytest.approx(0.0, abs=0.01)
