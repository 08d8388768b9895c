"""Pairing of estimates with reference instants, as somebody watching online would see them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mail_localization.data.reference import Reference, TimeArray
from mail_localization.types import FloatArray, PoseEstimate

STEP = 1.0
"""Time between two instants at which the error is taken, s."""
MAX_AGE = 2.0
"""An instant whose newest estimate is this old or older counts as unavailable, s."""


@dataclass(frozen=True, eq=False)
class Estimates:
    """The estimates of one trace, ascending in time."""

    t_ns: TimeArray
    """(K,)"""
    position: FloatArray
    """(K, 2) x, y in `map`, m."""
    covariance: FloatArray
    """(K, 2, 2) m^2."""

    @classmethod
    def from_poses(cls, poses: Iterable[PoseEstimate]) -> Estimates:
        """Sort by stamp; leave out positions that are not finite."""
        finite = [pose for pose in poses if np.isfinite(pose.position).all()]
        finite.sort(key=lambda pose: pose.t_ns)
        return cls(
            np.array([pose.t_ns for pose in finite], dtype=np.int64),
            np.array([pose.position for pose in finite], dtype=np.float64).reshape(-1, 2),
            np.array([pose.covariance for pose in finite], dtype=np.float64).reshape(-1, 2, 2),
        )

    def __len__(self) -> int:
        return len(self.t_ns)


@dataclass(frozen=True, eq=False)
class Association:
    """One row per reference instant; estimate, covariance and age are NaN where none is available."""

    t_ns: TimeArray
    """(n,) instants of reference time."""
    reference: FloatArray
    """(n, 2) interpolated reference position, m."""
    estimate: FloatArray
    """(n, 2) newest estimate at or before the instant, m."""
    covariance: FloatArray
    """(n, 2, 2) of the estimate, m^2."""
    age: FloatArray
    """(n,) time from the estimate's stamp to the instant, s."""

    @property
    def available(self) -> npt.NDArray[np.bool_]:
        """(n,) whether an estimate young enough exists."""
        return np.isfinite(self.age)

    @property
    def error(self) -> FloatArray:
        """(n,) distance between estimate and reference, m; NaN where unavailable."""
        return np.asarray(np.linalg.norm(self.estimate - self.reference, axis=1))

    @property
    def elapsed(self) -> FloatArray:
        """(n,) time since the first instant, s."""
        return np.asarray((self.t_ns - self.t_ns[0]) * 1e-9)


def reference_instants(reference: Reference, step: float = STEP) -> TimeArray:
    """Return the reference's start and every `step` seconds after it up to its end: (n,) ns."""
    return np.arange(reference.start_ns, reference.end_ns + 1, round(step * 1e9), dtype=np.int64)


def associate(reference: Reference, estimates: Estimates, max_age: float = MAX_AGE) -> Association:
    """Pair every reference instant with the newest estimate at or before it, if younger than `max_age` s."""
    instants = reference_instants(reference)
    count = len(instants)
    newest = newest_estimates(instants, estimates.t_ns, max_age)
    usable = newest >= 0
    chosen = newest[usable]
    position, covariance, age = np.full((count, 2), np.nan), np.full((count, 2, 2), np.nan), np.full(count, np.nan)
    position[usable] = estimates.position[chosen]
    covariance[usable] = estimates.covariance[chosen]
    age[usable] = (instants[usable] - estimates.t_ns[chosen]) * 1e-9
    return Association(instants, reference.at(instants), position, covariance, age)


def newest_estimates(instants: TimeArray, t_ns: TimeArray, max_age: float = MAX_AGE) -> npt.NDArray[np.int64]:
    """Return which of the estimates stamped (K,), ascending, is the newest at each instant (n,); -1 where too old."""
    newest: npt.NDArray[np.int64] = np.searchsorted(t_ns, instants, side="right") - 1
    if len(t_ns):
        # Integer nanoseconds decide what is too old: seconds as floats would blur the limit.
        newest[instants - t_ns[newest] >= round(max_age * 1e9)] = -1
    return newest
