"""Radio maps: which surveyed places look like what is heard now. By nearest fingerprints, or by likelihood (Horus)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from mail_localization.config import Settings, setting
from mail_localization.preprocess.wifi import REPRESENTATIONS, representation
from mail_localization.types import FloatArray

DISTANCES = ("euclidean", "manhattan", "cosine", "sorensen")
"""Of those that Torres-Sospedra et al. 2015 compare over 50, the usual two and the two that came out best."""

Levels = npt.NDArray[np.float32]

_STRONGEST = 8
"""Access points whose mean level stands for a device's gain: the weakest ones are cut off at its sensitivity."""
_USUAL_DBM = -70.0
"""Mean of the strongest levels after a device's gain is removed, dBm."""
_DEGREES = 3.0
"""Degrees of freedom of Student's t: levels beside a body or a shelf are outliers no Gaussian expects."""
_BLOCK = 512
_HEARD = 0.05
"""Share of scans in which an access point is heard, or missed, by chance alone."""


class KnnSettings(Settings):
    """Weighted nearest fingerprints."""

    k: int = setting(0, "fingerprints averaged; 0 = chosen by cross-validation", minimum=0, maximum=1000)
    distance: str = setting(
        "auto", "distance between fingerprints; auto = chosen by cross-validation", choices=("auto", *DISTANCES)
    )
    representation: str = setting(
        "auto", "scale of the levels; auto = chosen by cross-validation", choices=("auto", *REPRESENTATIONS)
    )
    device_gain: str = setting(
        "auto", "keep a device's gain in the levels, or remove it (levels relative to the strongest ones'), so that "
        "phones of other models match; auto = chosen by cross-validation", choices=("auto", "keep", "remove"),
    )  # fmt: skip
    power: float = setting(4.0, "a fingerprint's weight is its distance to minus this power", minimum=0.0, maximum=20.0)


class HorusSettings(Settings):
    """Likelihood of levels at each place (Youssef and Agrawala 2005), smoothed along the walks of the survey."""

    cell: float = setting(1.0, "side of the cells into which surveyed places are gathered, m", minimum=0.1)
    kernel: float = setting(
        0.0, "standard deviation of the Gaussian by which near fingerprints speak for a cell, m; 0 = chosen by "
        "cross-validation", minimum=0.0,
    )  # fmt: skip
    min_stddev_db: float = setting(4.0, "least standard deviation of a level at a place, dB", minimum=0.5)
    temper: float = setting(
        0.0, "exponent on the likelihood, below 1 as access points are not independent; 0 = chosen by cross-validation",
        minimum=0.0, maximum=1.0,
    )  # fmt: skip
    gain_stddev_db: float = setting(
        5.0, "standard deviation of a device's gain, estimated at every place, dB; 0 = no gain", minimum=0.0
    )


@dataclass(frozen=True, eq=False)
class Matches:
    """Places that look like what is heard, heaviest first."""

    positions: FloatArray
    """(n, 2) m."""
    weights: FloatArray
    """(n,) sum 1."""
    strangeness: float = 1.0
    """Distance to the nearest fingerprint: much above the usual one, this place was not surveyed."""

    @property
    def mean(self) -> FloatArray:
        """(2,) m."""
        return np.asarray(self.weights @ self.positions)

    @property
    def spread(self) -> FloatArray:
        """(2, 2) of the places, m^2."""
        offsets = self.positions - self.mean
        return np.asarray((self.weights[:, None] * offsets).T @ offsets)


class RadioMap(Protocol):
    """A survey that can be asked for matching places."""

    def match(self, rssi: FloatArray, weights: FloatArray) -> Matches:
        """Return the places that match levels (A,), dBm, NaN where unheard; an access point's weight (A,) is 0 to 1."""


class KnnMap:
    """The k nearest fingerprints, weighted by distance. An access point unheard counts as heard at the lowest level."""

    def __init__(self, rssi: Levels, positions: FloatArray, settings: KnnSettings) -> None:
        self._settings = settings
        self._positions = positions
        scaled = scale(rssi, settings)  # (N, A)
        self._columns = np.ascontiguousarray(scaled.T)  # one row per access point: a scan takes some of them
        self._sums, self._squares = scaled.sum(axis=1), np.einsum("na,na->n", scaled, scaled)

    def match(self, rssi: FloatArray, weights: FloatArray) -> Matches:
        """Return the k nearest fingerprints, nearest first."""
        return weighted_nearest(self.distances(rssi, weights), self._positions, self._settings.k, self._settings.power)

    def distances(self, rssi: FloatArray, weights: FloatArray, kind: str = "") -> npt.NDArray[np.float32]:
        """Return the distances (N,) to all fingerprints; `kind` replaces that of the settings."""
        kind = kind or self._settings.distance
        heard = np.flatnonzero(np.isfinite(rssi))
        query = scale(rssi[None, heard], self._settings)[0]  # (H,)
        trust = weights[heard].astype(np.float32)
        sums, squares = self._trusted_sums(heard, trust)
        weighed = trust * query
        if kind in {"euclidean", "cosine"}:
            dot, norm = (trust * weighed) @ self._columns[heard], weighed @ weighed
            if kind == "cosine":
                return np.asarray(1 - dot / np.sqrt(np.maximum(squares * norm, 1e-12)), dtype=np.float32)
            return np.asarray(np.sqrt(np.maximum(squares + norm - 2 * dot, 0)), dtype=np.float32)
        total = sums + weighed.sum()
        # |a - b| = a + b - 2 min(a, b), and the minimum is 0 where the query hears nothing.
        found = np.maximum(total - 2 * self._overlap(heard, query, trust), 0)
        return np.asarray(found if kind == "manhattan" else found / np.maximum(total, 1e-12), dtype=np.float32)

    def _trusted_sums(self, heard: npt.NDArray[np.int64], trust: Levels) -> tuple[Levels, Levels]:
        """Return sums and sums of squares (N,) of the fingerprints, less what access points are not trusted with."""
        doubted = trust < 1
        if not doubted.any():
            return self._sums, self._squares
        own, kept = self._columns[heard[doubted]], trust[doubted]
        return self._sums - (1 - kept) @ own, self._squares - (1 - kept**2) @ own**2

    def _overlap(self, heard: npt.NDArray[np.int64], query: Levels, trust: Levels) -> Levels:
        """Return the sums (N,) of the lesser of query and fingerprint, in blocks that stay in the cache."""
        found = np.empty(len(self._sums), dtype=np.float32)
        for start in range(0, len(found), _BLOCK):
            own = self._columns[heard, start : start + _BLOCK]
            np.minimum(own, query[:, None], out=own)
            found[start : start + _BLOCK] = trust @ own
        return found


def weighted_nearest(distances: npt.NDArray[np.float32], positions: FloatArray, k: int, power: float) -> Matches:
    """Return the k places with the least distances (N,), weighted by distance to minus the power."""
    k = min(k, len(distances))
    nearest = np.argpartition(distances, k - 1)[:k]
    nearest = nearest[np.argsort(distances[nearest], kind="stable")]
    found = distances[nearest].astype(np.float64)
    closeness = (max(found[0], 1e-9) / np.maximum(found, 1e-9)) ** power
    return Matches(positions[nearest], closeness / closeness.sum(), float(found[0]))


def scale(rssi: npt.NDArray[np.floating], settings: KnnSettings) -> npt.NDArray[np.float32]:
    """Return levels (n, A) in the settings' representation, a device's gain removed where they ask for it."""
    if settings.device_gain == "remove" and rssi.size:
        rssi = rssi - (strongest(rssi) - _USUAL_DBM)[:, None]
    return representation(rssi, settings.representation)


def strongest(rssi: npt.NDArray[np.floating]) -> FloatArray:
    """Return the mean (n,) of the strongest levels of each fingerprint (n, A), dBm; that of an empty one is usual."""
    count = min(_STRONGEST, rssi.shape[1])
    top = -np.partition(-np.nan_to_num(rssi, nan=-np.inf), count - 1, axis=1)[:, :count]
    heard = np.isfinite(top)
    total = np.where(heard, top, 0.0).sum(axis=1)
    return np.where(heard.any(axis=1), total / np.maximum(heard.sum(axis=1), 1), _USUAL_DBM)


class HorusMap:
    """A Student's t of the level and a share of scans heard, for each access point and cell."""

    def __init__(self, rssi: Levels, positions: FloatArray, settings: HorusSettings) -> None:
        self._settings = settings
        self._cells = np.unique(np.round(positions / settings.cell), axis=0) * settings.cell  # (C, 2)
        squared = ((self._cells[:, None] - positions[None]) ** 2).sum(axis=2)
        kernel = np.exp(-0.5 * squared / settings.kernel**2).astype(np.float32)  # (C, N)
        heard = np.isfinite(rssi).astype(np.float32)
        level = np.nan_to_num(rssi)
        visits, counts = kernel.sum(axis=1, keepdims=True), kernel @ heard
        # A little of the access point's own mean over the site keeps cells without a fingerprint of it finite.
        usual = level.sum(axis=0) / np.maximum(heard.sum(axis=0), 1)
        prior, least = 0.1, settings.min_stddev_db**2
        mean = (kernel @ level + prior * usual) / (counts + prior)
        moment = (kernel @ level**2 + prior * (usual**2 + least)) / (counts + prior)
        stddev = np.sqrt(np.maximum(moment - mean**2, 0) + least)
        share = np.clip((counts + _HEARD) / (visits + 2 * _HEARD), _HEARD, 1 - _HEARD)
        missed = np.log1p(-share)
        self._missed = np.ascontiguousarray(missed.T)  # (A, C)
        self._unheard = missed.sum(axis=1)  # (C,)
        self._mean, self._stddev = np.ascontiguousarray(mean.T), np.ascontiguousarray(stddev.T)  # (A, C)
        self._peak = np.ascontiguousarray((np.log(share) - np.log(stddev) - missed).T)  # (A, C)

    def match(self, rssi: FloatArray, weights: FloatArray) -> Matches:
        """Return the cells that hold all but a thousandth of the posterior, heaviest first."""
        return tempered_posterior(self.log_likelihoods(rssi, weights), self._cells, self._settings.temper)

    @property
    def cells(self) -> FloatArray:
        """(C, 2) centres of the cells, m."""
        return self._cells

    def log_likelihoods(self, rssi: FloatArray, weights: FloatArray) -> npt.NDArray[np.float32]:
        """Return the log-likelihood (C,) of levels (A,) in each cell."""
        heard = np.flatnonzero(np.isfinite(rssi))
        trust = weights[heard].astype(np.float32)
        stddev = self._stddev[heard]
        residual = (rssi[heard].astype(np.float32)[:, None] - self._mean[heard]) / stddev  # (H, C)
        if self._settings.gain_stddev_db:
            precision = trust[:, None] / stddev
            total = (precision / stddev).sum(axis=0) + self._settings.gain_stddev_db**-2
            gain = (precision * residual).sum(axis=0) / total  # (C,) posterior mean, dB
            residual = residual - gain / stddev
        density = -0.5 * (_DEGREES + 1) * np.log1p(residual**2 / _DEGREES)
        # What an access point is not trusted with counts neither as heard nor as unheard.
        silent = self._unheard - (1 - trust) @ self._missed[heard]
        return np.asarray(silent + trust @ (self._peak[heard] + density))


def tempered_posterior(log_likelihoods: npt.NDArray[np.float32], cells: FloatArray, temper: float) -> Matches:
    """Return the cells (C, 2) that hold all but a thousandth of the tempered posterior, heaviest first."""
    logs = temper * (log_likelihoods.astype(np.float64) - float(log_likelihoods.max()))
    weights = np.exp(logs)
    order = np.argsort(-weights, kind="stable")
    kept = order[: np.searchsorted(np.cumsum(weights[order]), 0.999 * weights.sum()) + 1]
    return Matches(cells[kept], weights[kept] / weights[kept].sum())
