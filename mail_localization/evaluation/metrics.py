"""Accuracy figures: APE (translation, m, not aligned), consistency, availability, latency.

Every figure that has no data is None, so that the JSON stays strictly valid.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mail_localization.calibration import correlation_time
from mail_localization.data.association import Association
from mail_localization.types import FloatArray

Figures = dict[str, float | None]

APE_NAMES = ("mean", "median", "rmse", "p75", "p90", "p95", "max")
WITHIN = (1, 2, 3)
"""Distances whose share of errors is reported, m."""
COVERAGE_LEVELS = (0.5, 0.9, 0.95)
"""Probabilities whose covariance ellipse is checked against the errors."""
IDEAL_NEES = 2.0
"""Mean NEES of a perfectly calibrated estimate of x and y."""


@dataclass(frozen=True)
class Accuracy:
    """What one model did on one recording, or on several pooled."""

    n_estimates: int
    n_instants: int
    availability: float | None
    """Share of reference instants with an estimate young enough."""
    ape_m: Figures
    within_m: Figures
    """Share of errors at most 1, 2, 3 m."""
    nees_mean: float | None
    """Mean of e^T P^-1 e over x and y; 2 when the covariance is right, more when over-confident."""
    coverage: Figures
    """Share of errors inside the covariance ellipse that should hold 50, 90, 95 %."""
    correlation_time: float | None
    """Time over which errors are alike, s: estimates closer than that are one piece of evidence to a filter."""


def accuracy(associations: Sequence[Association], n_estimates: int) -> Accuracy:
    """Pool the instants of several recordings and compute every figure."""
    error, nees = _joined(a.error for a in associations), _joined(map(normalized_error, associations))
    available = np.isfinite(error)
    error, nees = error[available], nees[available]
    finite_nees = nees[np.isfinite(nees)]
    return Accuracy(
        n_estimates=n_estimates,
        n_instants=len(available),
        availability=_mean(available),
        ape_m=ape_figures(error),
        within_m={str(limit): _mean(error <= limit) for limit in WITHIN},
        nees_mean=_mean(finite_nees),
        coverage={str(level): _mean(nees <= chi2_quantile(level)) for level in COVERAGE_LEVELS},
        correlation_time=correlation_time([(a.estimate - a.reference)[a.available] for a in associations])
        if available.any() else None,
    )  # fmt: skip


def ape_figures(error: FloatArray) -> Figures:
    """Return mean, median, RMSE, percentiles and maximum of errors (n,) in m; None without errors."""
    if len(error) == 0:
        return dict.fromkeys(APE_NAMES)
    p75, p90, p95 = np.percentile(error, (75, 90, 95))
    rmse = math.sqrt(np.mean(error**2))
    values = (np.mean(error), np.median(error), rmse, p75, p90, p95, np.max(error))
    return {name: float(value) for name, value in zip(APE_NAMES, values, strict=True)}


def normalized_error(association: Association) -> FloatArray:
    """Return the NEES e^T P^-1 e of every instant: (n,); NaN where P is not positive definite."""
    offset, covariance = association.estimate - association.reference, association.covariance
    xx, yy = covariance[:, 0, 0], covariance[:, 1, 1]
    xy = (covariance[:, 0, 1] + covariance[:, 1, 0]) / 2
    determinant = xx * yy - xy**2
    dx, dy = offset.T
    with np.errstate(divide="ignore", invalid="ignore"):
        nees = (yy * dx**2 - 2 * xy * dx * dy + xx * dy**2) / determinant
    return np.where((determinant > 0) & (xx > 0), nees, np.nan)


def reliability(nees: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return probabilities (n,), ascending, and the share (n,) of errors inside the ellipse that should hold each."""
    ordered = np.sort(nees[np.isfinite(nees)])
    return -np.expm1(-0.5 * ordered), np.arange(1, len(ordered) + 1) / max(len(ordered), 1)


def chi2_quantile(level: float) -> float:
    """Return the chi-square quantile of 2 degrees of freedom, which has the closed form -2 ln(1 - p)."""
    return -2.0 * math.log1p(-level)


def latency_figures(latency_ms: Sequence[float]) -> Figures:
    """Return p50 and p99 of the time from a sample to its estimate, ms."""
    if not latency_ms:
        return {"p50": None, "p99": None}
    p50, p99 = np.percentile(latency_ms, (50, 99))
    return {"p50": float(p50), "p99": float(p99)}


def error_cdf(error: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return sorted errors and the share of errors at most that large: (n,), (n,)."""
    ordered = np.sort(error[np.isfinite(error)])
    return ordered, np.arange(1, len(ordered) + 1) / max(len(ordered), 1)


def _joined(parts: Iterable[FloatArray]) -> FloatArray:
    return np.concatenate([np.empty(0), *parts])


def _mean(values: npt.NDArray[Any]) -> float | None:
    return float(values.mean()) if values.size else None
