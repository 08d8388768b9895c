from __future__ import annotations

import math

import numpy as np
import pytest

from mail_localization.evaluation.planar_ekf import VX, VYAW, YAW, EkfSettings, PlanarEkf, X, Y

ONE = np.eye(2)


def test_speeds_lead_on_along_the_heading() -> None:
    ekf = PlanarEkf(EkfSettings())
    ekf.state[[YAW, VX, VYAW]] = math.pi / 2, 2.0, 0.1
    before = ekf.covariance[X, X]
    ekf.predict(0.5)
    assert ekf.state[:3].tolist() == pytest.approx([0.0, 1.0, math.pi / 2 + 0.05])
    assert ekf.covariance[X, X] > before


def test_equal_variances_meet_half_way() -> None:
    ekf = PlanarEkf(EkfSettings(initial_covariance=(1.0,) * 6))
    assert ekf.correct((X, Y), np.array([2.0, -1.0]), ONE, 3.72)
    assert ekf.state[:2].tolist() == pytest.approx([1.0, -0.5])
    assert ekf.covariance[X, X] == pytest.approx(0.5)


def test_threshold_is_an_unsquared_distance() -> None:
    # Variances 1 and 1: 5.2 m are 5.2 / sqrt(2) = 3.68 deviations, 5.3 m are 3.75.
    near, far = (PlanarEkf(EkfSettings(initial_covariance=(1.0,) * 6)) for _ in range(2))
    assert near.correct((X, Y), np.array([5.2, 0.0]), ONE, 3.72)
    assert not far.correct((X, Y), np.array([5.3, 0.0]), ONE, 3.72)
    assert far.state.tolist() == [0.0] * 6
    assert far.covariance.tolist() == np.eye(6).tolist()


def test_what_is_not_finite_is_left_out_alone() -> None:
    ekf = PlanarEkf(EkfSettings())
    assert ekf.correct((X, Y), np.array([math.nan, 3.0]), ONE, 3.72)
    assert ekf.state[:2].tolist() == pytest.approx([0.0, 3.0], abs=1e-3)
    assert not ekf.correct((X, Y), np.array([math.nan, math.inf]), ONE, 3.72)


@pytest.mark.parametrize("variance", [0.0, -1.0])
def test_impossible_variances_do_not_break_it(variance: float) -> None:
    ekf = PlanarEkf(EkfSettings())
    for _ in range(100):
        ekf.correct((X, Y), np.array([1.0, 2.0]), variance * ONE, math.inf)
    assert ekf.state[:2].tolist() == pytest.approx([1.0, 2.0], abs=0.1)
    assert (np.linalg.eigvalsh(ekf.covariance) > 0).all()


def test_heading_is_corrected_the_short_way_round() -> None:
    ekf = PlanarEkf(EkfSettings(initial_covariance=(1.0,) * 6))
    ekf.state[YAW] = 3.1
    ekf.correct((YAW,), np.array([-3.1]), np.array([[1.0]]), math.inf)
    assert abs(ekf.state[YAW]) == pytest.approx(math.pi)
