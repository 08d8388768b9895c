from __future__ import annotations

import math

import numpy as np
import pytest

from mail_localization.calibration import correlation_time
from mail_localization.errors import TrainingError
from mail_localization.training.calibration import (
    Judged,
    cross_validated,
    figures,
    fitted,
    room,
)


def of(name: str, offsets: np.ndarray, stated: np.ndarray, ways: np.ndarray | None = None) -> Judged:
    """Return errors (n, 2), m, of a walk at 1 m/s, with stated standard deviations (n,), m, and ways, m: long ones."""
    count = len(offsets)
    places = np.column_stack([np.arange(count), np.zeros(count)])
    followed = np.full(count, 100.0) if ways is None else ways
    return Judged(name, offsets, stated[:, None, None] ** 2 * np.eye(2), followed, places)


def judged(stddevs: np.ndarray, stated: np.ndarray, seed: int, ways: np.ndarray | None = None) -> Judged:
    """Return independent errors of given standard deviations (n,), m, and what was said of them."""
    offsets = stddevs[:, None] * np.random.default_rng(seed).standard_normal((len(stddevs), 2))
    return of(f"walk_{seed}", offsets, stated, ways)


def over_confident(seed: int, count: int = 400) -> Judged:
    stated = np.exp(np.random.default_rng(100 + seed).uniform(-1, 2, count))
    return judged(3.0 * stated, stated, seed)


def test_over_confident_method_becomes_honest_on_other_recordings() -> None:
    calibration = fitted([over_confident(seed) for seed in range(4)])
    other = over_confident(9, count=4000)
    assert figures([other.nees()])["nees_mean"] == pytest.approx(18, rel=0.1)
    found = figures([other.nees(calibration)])
    assert found["nees_mean"] == pytest.approx(2.0, abs=0.15)
    assert found["coverage"]["0.5"] == pytest.approx(0.5, abs=0.04)
    assert found["coverage"]["0.95"] == pytest.approx(0.95, abs=0.02)
    # The errors are in proportion to what is stated; the prior draws the power a little away.
    assert 0.9 < calibration.size_power < 1.05


def test_constant_covariance_learns_from_the_way_followed() -> None:
    ways = np.where(np.arange(600) % 5 == 0, 0.0, 30.0)
    parts = [judged(np.where(ways > 0, 0.5, 8.0), np.full(600, 8.0), seed, ways) for seed in range(3)]
    calibration = fitted(parts)
    followed, begun = np.sqrt(calibration.variances(np.full(2, 8.0), np.array([30.0, 0.0])))
    assert followed == pytest.approx(0.5, rel=0.2)
    assert begun == pytest.approx(8.0, rel=0.2)


def test_start_that_was_never_seen_may_be_elsewhere_and_one_that_was_is_known() -> None:
    unseen = fitted([judged(np.full(100, 0.5), np.full(100, 0.5), seed) for seed in range(3)])
    # At even odds two places of a walk of 100 m, with a variance of 100^2 / 12 each in x and none in y.
    expected = math.sqrt(0.5 * 0.5 * 2 * 100**2 / 12)
    assert unseen.doubt / math.sqrt(room(unseen.samples)) == pytest.approx(expected, rel=0.02)
    begun, followed = np.sqrt(unseen.variances(np.full(2, 0.5), np.array([0.0, 100.0])))
    assert begun == pytest.approx(unseen.doubt, rel=0.01)
    assert followed == pytest.approx(0.5, rel=0.15)
    ways = np.concatenate([np.zeros(10), np.full(90, 100.0)])
    seen = fitted([judged(np.full(100, 0.5), np.full(100, 0.5), seed, ways) for seed in range(3)])
    assert seen.doubt < 0.01


def test_few_independent_errors_leave_the_usual_powers_and_inflate() -> None:
    rng = np.random.default_rng(3)
    # One error that lasts: 100 s tell as much as one.
    offsets = np.ones((100, 2)) + 0.01 * rng.standard_normal((100, 2))
    lasting = of("walk", offsets, np.exp(rng.uniform(-1, 2, 100)))
    calibration = fitted([lasting])
    assert calibration.samples < 3
    assert 0.1 < calibration.size_power < 0.5
    assert calibration.way_power == pytest.approx(0.25)
    assert figures([lasting.nees(calibration)])["nees_mean"] < 1.6


@pytest.mark.parametrize("samples", [3, 10, 1000])
def test_room_is_that_of_a_prediction_from_so_many_errors(samples: int) -> None:
    from scipy.stats import chi2, f

    assert room(samples) == pytest.approx(2 * f.ppf(0.95, 2, 2 * samples) / chi2.ppf(0.95, 2))


def test_calibrations_from_few_errors_hold_on_others_in_the_mean() -> None:
    # Five recordings, in each of which the errors stay alike: a scale without room covers 90 %.
    rng = np.random.default_rng(0)
    held = []
    for _ in range(60):
        offsets = rng.standard_normal((5, 1, 2)) + 0.01 * rng.standard_normal((5, 20, 2))
        parts = [of("walk", some, np.ones(20)) for some in offsets]
        others = of("other", rng.standard_normal((200, 2)), np.ones(200))
        held.append(others.nees(fitted(parts)))
    assert figures(held)["coverage"]["0.95"] == pytest.approx(0.95, abs=0.025)


def test_recordings_that_differ_tell_less_than_their_length() -> None:
    alike = [judged(np.ones(200), np.ones(200), seed) for seed in range(4)]
    unlike = [*alike[:3], judged(np.full(200, 6.0), np.ones(200), 3)]
    assert fitted(alike).samples > 100
    assert fitted(unlike).samples < 2


def test_errors_that_jump_are_told_from_those_that_last() -> None:
    jumping, lasting = np.zeros((400, 2)), np.zeros((400, 2))
    jumping[::8] = 20.0
    lasting[160:210] = 20.0
    assert fitted([of("walk", jumping, np.ones(400))]).steady < 0.01
    # The room for few errors is not of what was seen.
    found = fitted([of("walk", lasting, np.ones(400))])
    assert found.steady == pytest.approx(1 / room(found.samples), rel=0.1)


def test_heavy_tails_are_covered_as_well() -> None:
    rng = np.random.default_rng(0)
    stddevs = np.where(rng.random(3000) < 0.1, 10.0, 0.5)
    part = judged(stddevs, np.ones(3000), 1)
    found = figures([judged(stddevs, np.ones(3000), 2).nees(fitted([part]))])
    assert 1.5 <= found["nees_mean"] <= 2.7
    assert 0.9 <= found["coverage"]["0.95"] <= 0.98


def test_time_over_which_errors_are_alike_is_found() -> None:
    rng = np.random.default_rng(0)
    series = np.zeros((4000, 2))
    for k in range(1, len(series)):
        series[k] = 0.8 * series[k - 1] + rng.standard_normal(2)
    # First-order autoregression: (1 + a) / (1 - a).
    assert correlation_time([series]) == pytest.approx(9.0, rel=0.2)
    assert correlation_time([rng.standard_normal((4000, 2))]) == pytest.approx(1.0, abs=0.15)


def test_recording_unlike_the_others_shows_across_recordings_only() -> None:
    parts = [judged(np.full(200, 1.0), np.ones(200), seed) for seed in range(3)]
    parts.append(judged(np.full(200, 6.0), np.ones(200), 7))
    # As many as two of a kind would tell: room is left for another such recording.
    assert figures([part.nees(fitted(parts)) for part in parts])["nees_mean"] == pytest.approx(2 / room(2), rel=0.02)
    assert cross_validated(parts)["nees_mean"] > 10


def test_single_recording_is_checked_by_its_parts() -> None:
    found = cross_validated([over_confident(1)])
    assert found["nees_mean"] == pytest.approx(2.0, abs=0.5)


def test_nothing_judged_is_refused() -> None:
    with pytest.raises(TrainingError, match="no estimate has a reference"):
        fitted([of("walk", np.empty((0, 2)), np.empty(0))])
