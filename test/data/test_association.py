from __future__ import annotations

import numpy as np
import pytest

from mail_localization.data.association import Estimates, associate, reference_instants
from mail_localization.data.reference import Reference
from mail_localization.types import PoseEstimate

S = 1_000_000_000
# Stamps of today: nanoseconds since the epoch do not fit a float64 exactly.
T0 = 1_700_000_000_123_456_789


def walk(seconds: float) -> Reference:
    """1 m/s along x, surveyed at both ends only."""
    return Reference(np.array([T0, T0 + round(seconds * S)]), np.array([[0.0, 0.0], [seconds, 0.0]]))


def estimates(*poses: tuple[int, float, float]) -> Estimates:
    return Estimates.from_poses(PoseEstimate(T0 + t, np.array([x, y]), np.eye(2)) for t, x, y in poses)


def test_instants_run_from_the_start_in_whole_seconds_up_to_the_end() -> None:
    assert (reference_instants(walk(3.0)) - T0).tolist() == [0, S, 2 * S, 3 * S]
    assert (reference_instants(walk(2.9)) - T0).tolist() == [0, S, 2 * S]


def test_the_newest_estimate_at_or_before_the_instant_counts() -> None:
    pairs = associate(walk(2.0), estimates((0, 0.0, 5.0), (S, 1.0, 2.0), (S + 1, 9.0, 9.0), (2 * S - 1, 2.0, 1.0)))
    np.testing.assert_allclose(pairs.error, [5.0, 2.0, 1.0])
    np.testing.assert_allclose(pairs.age, [0.0, 0.0, 1e-9])


def test_the_reference_is_interpolated_linearly() -> None:
    pairs = associate(walk(4.0), estimates((0, 0.0, 0.0)))
    np.testing.assert_allclose(pairs.reference[:, 0], [0.0, 1.0, 2.0, 3.0, 4.0], atol=1e-9)


@pytest.mark.parametrize(("age_ns", "available"), [(2 * S - 1, True), (2 * S, False)])
def test_an_estimate_of_two_seconds_is_too_old(age_ns: int, available: bool) -> None:
    pairs = associate(walk(2.0), estimates((2 * S - age_ns, 0.0, 0.0)))
    assert pairs.available[2] == available
    assert np.isfinite(pairs.error[2]) == available


def test_an_estimate_of_the_future_is_not_used() -> None:
    assert not associate(walk(2.0), estimates((2 * S + 1, 0.0, 0.0))).available.any()


def test_without_estimates_nothing_is_available() -> None:
    pairs = associate(walk(2.0), estimates())
    assert pairs.available.tolist() == [False, False, False]
    assert np.isnan(pairs.error).all()


def test_estimates_are_sorted_and_those_not_finite_left_out() -> None:
    found = estimates((S, 1.0, 0.0), (0, 0.0, 0.0), (2 * S, np.nan, 0.0))
    assert (found.t_ns - T0).tolist() == [0, S]
