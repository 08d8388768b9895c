from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from mail_localization.calibration import SOFT, WALK, Calibration, Disagreement
from mail_localization.errors import ModelError
from mail_localization.types import Mode, PoseEstimate

SECOND_NS = 1_000_000_000
KNOWN = Calibration(
    stddev=2.0, size=1.0, size_power=1.0, least_size=0.5, disagreement=0.5, disagreement_power=1.0,
    correlation_time=6.0, samples=20.0, recordings=("walk_0",),
)  # fmt: skip


def estimate(stddev: float) -> PoseEstimate:
    covariance = stddev**2 * np.eye(2)
    return PoseEstimate(0, np.zeros(2), covariance, (Mode(1.0, np.zeros(2), covariance),))


def test_usual_estimate_gets_the_usual_error() -> None:
    found = KNOWN.applied(estimate(1.0), disagreement=0.5)
    np.testing.assert_allclose(found.covariance, 4.0 * np.eye(2))
    np.testing.assert_allclose(found.modes[0].covariance, 4.0 * np.eye(2))


@pytest.mark.parametrize(("stated", "stddev"), [(3.0, 6.0), (0.5, 1.0), (0.01, 1.0)])
def test_error_grows_with_the_stated_size_but_is_never_below_what_was_seen(stated: float, stddev: float) -> None:
    found = KNOWN.applied(estimate(stated), disagreement=math.nan)
    np.testing.assert_allclose(np.sqrt(np.diag(found.covariance)), stddev)


def test_error_grows_with_the_disagreement() -> None:
    found = KNOWN.applied(estimate(1.0), disagreement=2 * (0.5 + SOFT) - SOFT)
    np.testing.assert_allclose(found.covariance, 16.0 * np.eye(2))


def test_collapsed_covariance_is_rounded_and_keeps_its_direction() -> None:
    flat = dataclasses.replace(estimate(1.0), covariance=np.diag([2.0, 1e-9]))
    covariance = KNOWN.applied(flat, 0.5).covariance
    np.testing.assert_allclose(np.trace(covariance), 8.0)
    assert covariance[0, 0] > 5 * covariance[1, 1] > 0.5


def test_filter_counts_estimates_within_the_correlation_time_as_one() -> None:
    assert KNOWN.independent(rate_hz=2.0) == pytest.approx(12.0)
    assert KNOWN.independent(rate_hz=0.1) == 1.0


def test_walking_is_no_disagreement_and_a_jump_is() -> None:
    apart = Disagreement()
    assert math.isnan(apart.add(0, np.zeros(2)))
    assert apart.add(SECOND_NS, np.array([0.9 * WALK, 0.0])) == 0.0
    # 10 m and 10 - 0.9 WALK m away, with two and one seconds to walk.
    expected = math.hypot(10 - 2 * WALK, 10 - 1.9 * WALK) / math.sqrt(2)
    assert apart.add(2 * SECOND_NS, np.array([10.0, 0.0])) == pytest.approx(expected)


def test_old_estimates_and_those_of_another_time_do_not_count() -> None:
    apart = Disagreement()
    apart.add(0, np.zeros(2))
    assert math.isnan(apart.add(9 * SECOND_NS, np.array([50.0, 0.0])))
    assert math.isnan(apart.add(SECOND_NS, np.array([99.0, 0.0])))


def test_card_keeps_it_and_an_empty_card_has_none() -> None:
    assert Calibration.from_mapping(KNOWN.to_mapping()) == KNOWN
    assert Calibration.from_mapping({}) is None


@pytest.mark.parametrize(
    "change",
    [
        {"stddev": 0.0},
        {"size": math.nan},
        {"size_power": -1.0},
        {"samples": "many"},
        {"least_size": None},
        {"samples": 10**400},
    ],
)
def test_damaged_card_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ModelError, match="calibration is damaged"):
        Calibration.from_mapping(KNOWN.to_mapping() | change)
