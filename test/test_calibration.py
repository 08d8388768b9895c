from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from mail_localization.calibration import FAR, GAP, JUMP, NEAR, WALK, Calibration, Followed
from mail_localization.errors import ModelError
from mail_localization.types import Mode, PoseEstimate

SECOND_NS = 1_000_000_000
KNOWN = Calibration(
    stddev=2.0, size=1.0, size_power=1.0, least_size=0.5, correlation_time=6.0, samples=20.0, recordings=("walk_0",),
    way=FAR, way_power=1.0,
)  # fmt: skip


def estimate(stddev: float) -> PoseEstimate:
    covariance = stddev**2 * np.eye(2)
    return PoseEstimate(0, np.zeros(2), covariance, (Mode(1.0, np.zeros(2), covariance),))


def test_usual_estimate_gets_the_usual_error() -> None:
    found = KNOWN.applied(estimate(1.0), way=FAR)
    np.testing.assert_allclose(found.covariance, 4.0 * np.eye(2))
    np.testing.assert_allclose(found.modes[0].covariance, 4.0 * np.eye(2))


@pytest.mark.parametrize(("stated", "stddev"), [(3.0, 6.0), (0.5, 1.0), (0.01, 1.0)])
def test_error_grows_with_the_stated_size_but_is_never_below_what_was_seen(stated: float, stddev: float) -> None:
    found = KNOWN.applied(estimate(stated), way=2 * FAR)
    np.testing.assert_allclose(np.sqrt(np.diag(found.covariance)), stddev)


def test_error_shrinks_with_the_way_followed() -> None:
    found = KNOWN.applied(estimate(1.0), way=(FAR + NEAR) / 2 - NEAR)
    np.testing.assert_allclose(found.covariance, 16.0 * np.eye(2))


@pytest.mark.parametrize(("way", "added"), [(0.0, 1.0), (10.0, 0.5), (20.0, 0.0625)])
def test_doubt_about_the_place_ends_with_the_way(way: float, added: float) -> None:
    sure = dataclasses.replace(KNOWN, way_power=0.0)
    doubting = dataclasses.replace(sure, doubt=30.0)
    before, after = sure.applied(estimate(1.0), way), doubting.applied(estimate(1.0), way)
    np.testing.assert_allclose(after.covariance - before.covariance, 900.0 * added * np.eye(2), rtol=1e-3)
    # It is a doubt between places: a mode is one of them.
    np.testing.assert_array_equal(after.modes[0].covariance, before.modes[0].covariance)


def test_estimate_without_modes_becomes_its_own() -> None:
    doubting = dataclasses.replace(KNOWN, doubt=30.0)
    found = doubting.applied(dataclasses.replace(estimate(1.0), modes=()), way=0.0)
    (mode,) = found.modes
    assert mode.weight == 1.0
    np.testing.assert_allclose(found.covariance - mode.covariance, 900.0 * np.eye(2))


def test_collapsed_covariance_is_rounded_and_keeps_its_direction() -> None:
    flat = dataclasses.replace(estimate(1.0), covariance=np.diag([2.0, 1e-9]))
    covariance = KNOWN.applied(flat, FAR).covariance
    np.testing.assert_allclose(np.trace(covariance), 8.0)
    assert covariance[0, 0] > 5 * covariance[1, 1] > 0.5


def test_filter_counts_estimates_within_the_correlation_time_as_one() -> None:
    assert KNOWN.independent(rate_hz=2.0) == pytest.approx(12.0)
    assert KNOWN.independent(rate_hz=0.1) == 1.0


def test_walking_makes_way_and_a_jump_ends_it() -> None:
    followed = Followed()
    assert [followed.add(k * SECOND_NS, np.array([WALK * k, 0.0])) for k in range(4)] == [0.0, 1.5, 3.0, 4.5]
    here = np.array([3 * WALK, 0.0])
    assert followed.add(4 * SECOND_NS, here + np.array([0.0, 0.9 * (WALK + JUMP)])) > 4.5
    assert followed.add(5 * SECOND_NS, here - np.array([0.0, 1.1 * (WALK + JUMP)])) == 0.0


def test_standing_makes_no_way_however_the_estimates_tremble() -> None:
    followed, rng = Followed(), np.random.default_rng(0)
    ways = [followed.add(k * SECOND_NS // 50, 0.02 * rng.standard_normal(2)) for k in range(500)]
    assert ways[-1] < 0.5


def test_place_that_was_told_needs_no_way() -> None:
    followed = Followed()
    followed.clear(FAR)
    ways = [followed.add(k * SECOND_NS, np.array([float(x), 0.0])) for k, x in enumerate((0, 1, 9))]
    assert ways == [FAR, FAR + 1, 0.0]


@pytest.mark.parametrize("t_ns", [int((GAP + 1) * SECOND_NS), -SECOND_NS])
def test_way_begins_anew_after_a_gap_or_in_another_time(t_ns: int) -> None:
    followed = Followed()
    assert [followed.add(k * SECOND_NS, np.array([float(k), 0.0])) for k in range(-1, 1)] == [0.0, 1.0]
    assert followed.add(t_ns, np.zeros(2)) == 0.0


def test_earlier_folders_are_read_without_way_and_doubt() -> None:
    mapping = {name: value for name, value in KNOWN.to_mapping().items() if name not in ("way", "way_power", "doubt")}
    earlier = Calibration.from_mapping(mapping | {"disagreement": 0.5, "disagreement_power": 1.0})
    assert earlier is not None
    np.testing.assert_allclose(earlier.applied(estimate(1.0), way=0.0).covariance, 4.0 * np.eye(2))


def test_card_keeps_it_and_an_empty_card_has_none() -> None:
    assert Calibration.from_mapping(KNOWN.to_mapping()) == KNOWN
    assert Calibration.from_mapping({}) is None


@pytest.mark.parametrize(
    "change",
    [
        {"stddev": 0.0},
        {"size": math.nan},
        {"size_power": -1.0},
        {"doubt": -1.0},
        {"samples": "many"},
        {"least_size": None},
        {"samples": 10**400},
    ],
)
def test_damaged_card_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ModelError, match="calibration is damaged"):
        Calibration.from_mapping(KNOWN.to_mapping() | change)
