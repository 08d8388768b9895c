from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mail_localization.preprocess.gravity import GravityEstimator
from mail_localization.types import ImuSample

STILL = (0.0, 0.0, 0.0)


def test_orientation_gives_the_up_direction() -> None:
    turn = Rotation.from_euler("xyz", [0.3, -0.8, 2.0])
    sample = ImuSample(1, (9.8, 0.0, 0.0), STILL, tuple(turn.as_quat()))
    np.testing.assert_allclose(GravityEstimator().update(sample), turn.inv().apply([0, 0, 1]), atol=1e-12)


def test_accelerometer_at_rest_gives_the_up_direction() -> None:
    assert GravityEstimator().update(ImuSample(1, (0.0, 4.9, 0.0), STILL)) == (0.0, 1.0, 0.0)


def test_gyroscope_carries_the_direction_through_a_shaken_turn() -> None:
    # A quarter turn about x in one second, while the accelerometer is shaken sideways at 10 Hz.
    gravity, rate = GravityEstimator(), math.pi / 2
    for k in range(101):
        t = k / 100
        true_up = np.array([0.0, math.sin(rate * t), math.cos(rate * t)])
        shake = np.array([6.0 * math.sin(2 * math.pi * 10 * t), 0.0, 0.0])
        up = gravity.update(ImuSample(k * 10_000_000, tuple(9.8 * true_up + shake), (rate, 0.0, 0.0)))
    assert math.degrees(math.acos(np.dot(up, true_up))) < 3.0


@pytest.mark.parametrize("bad", [(math.nan, 0.0, 0.0), (math.inf, 0.0, 0.0), (0.0, 0.0, 0.0)])
def test_reading_that_tells_nothing_gives_none_and_is_forgotten(bad: tuple[float, float, float]) -> None:
    gravity = GravityEstimator()
    assert gravity.update(ImuSample(1, bad, STILL)) is None
    assert gravity.update(ImuSample(2, (0.0, 0.0, 9.8), STILL)) == (0.0, 0.0, 1.0)
