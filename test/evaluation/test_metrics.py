from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable

import numpy as np
import pytest

from mail_localization.data.association import Association
from mail_localization.evaluation.metrics import (
    accuracy,
    ape_figures,
    chi2_quantile,
    error_cdf,
    latency_figures,
    normalized_error,
    reliability,
)
from mail_localization.evaluation.replay import Replay


def association(offsets: np.ndarray, covariance: np.ndarray) -> Association:
    count = len(offsets)
    covariances = np.broadcast_to(covariance, (count, 2, 2))
    return Association(np.arange(count), np.zeros((count, 2)), offsets, covariances, np.zeros(count))


def test_figures_of_four_errors(make_replay: Callable[..., Replay]) -> None:
    result = accuracy([make_replay(errors=(0.0, 1.0, 2.0, 3.0)).association], 4)
    expected = {"mean": 1.5, "median": 1.5, "rmse": math.sqrt(3.5), "p75": 2.25, "p90": 2.7, "p95": 2.85, "max": 3.0}
    assert result.ape_m == pytest.approx(expected)
    assert result.within_m == {"1": 0.5, "2": 0.75, "3": 1.0}
    # Identity covariance: NEES is 0, 1, 4, 9; the ellipses end at 1.39, 4.61, 5.99.
    assert result.nees_mean == pytest.approx(3.5)
    assert result.coverage == {"0.5": 0.5, "0.9": 0.75, "0.95": 0.75}
    assert result.availability == 1.0


def test_recordings_are_pooled_by_instants(make_replay: Callable[..., Replay]) -> None:
    short, long = make_replay(errors=(4.0,) * 4), make_replay(errors=(0.0,) * 12)
    result = accuracy([short.association, long.association], 16)
    assert (result.ape_m["mean"], result.n_instants, result.n_estimates) == (1.0, 16, 16)


def test_instants_without_an_estimate_count_against_availability_only(make_replay: Callable[..., Replay]) -> None:
    # One estimate at 0 s: it serves the instants 0 and 1 s, and is too old at 2 and 3 s.
    result = accuracy([make_replay(errors=(0.0,)).association], 1)
    assert result.availability == 0.5
    assert result.ape_m["max"] == 1.0


def test_without_any_estimate_the_figures_are_null_in_strict_json(make_replay: Callable[..., Replay]) -> None:
    result = accuracy([make_replay(errors=()).association], 0)
    assert result.availability == 0.0
    figures = json.loads(json.dumps(dataclasses.asdict(result), allow_nan=False))
    assert set(figures["ape_m"].values()) | set(figures["coverage"].values()) == {None}


def test_nees_is_the_squared_mahalanobis_distance() -> None:
    covariance = np.array([[4.0, 1.0], [1.0, 1.0]])
    offset = np.array([2.0, -1.0])
    expected = offset @ np.linalg.inv(covariance) @ offset
    assert normalized_error(association(offset[None], covariance))[0] == pytest.approx(expected)


def test_a_covariance_that_is_not_positive_definite_covers_nothing() -> None:
    flat = association(np.array([[0.1, 0.1]]), np.array([[1.0, 1.0], [1.0, 1.0]]))
    assert np.isnan(normalized_error(flat)).all()
    result = accuracy([flat], 1)
    assert (result.nees_mean, result.coverage["0.95"]) == (None, 0.0)


def test_right_covariances_cover_what_they_promise() -> None:
    covariance = np.array([[2.0, 0.8], [0.8, 1.0]])
    errors = np.random.default_rng(1).multivariate_normal((0, 0), covariance, 20_000)
    result = accuracy([association(errors, covariance)], len(errors))
    assert result.nees_mean == pytest.approx(2.0, abs=0.05)
    assert result.coverage == pytest.approx({"0.5": 0.5, "0.9": 0.9, "0.95": 0.95}, abs=0.01)


def test_chi_square_quantiles_of_the_tables() -> None:
    assert [chi2_quantile(p) for p in (0.5, 0.9, 0.95)] == pytest.approx([1.386, 4.605, 5.991], abs=1e-3)


def test_ape_of_one_error_is_that_error() -> None:
    assert set(ape_figures(np.array([2.5])).values()) == {2.5}


def test_latency_percentiles() -> None:
    assert latency_figures([1.0, 2.0, 3.0]) == {"p50": 2.0, "p99": pytest.approx(2.98)}
    assert latency_figures([]) == {"p50": None, "p99": None}


def test_cdf_ends_at_one_and_ignores_missing_errors() -> None:
    error, share = error_cdf(np.array([3.0, np.nan, 1.0]))
    assert (error.tolist(), share.tolist()) == ([1.0, 3.0], [0.5, 1.0])


def test_honest_covariances_lie_on_the_diagonal() -> None:
    squared = np.random.default_rng(0).chisquare(2, 20_000)
    wanted, held = reliability(squared)
    assert np.abs(wanted - held).max() < 0.02
    # Half of the variance: the ellipse that should hold 50 % holds less.
    wanted, held = reliability(2 * squared)
    assert np.interp(0.5, wanted, held) == pytest.approx(1 - math.sqrt(0.5), abs=0.02)
