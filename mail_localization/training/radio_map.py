"""Choice of a Wi-Fi map's settings, and calibration of its errors, by cross-validation over whole recordings."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.spatial import KDTree
from tqdm import tqdm

from mail_localization.data.fingerprints import FingerprintTrace, gather
from mail_localization.data.splits import REACH
from mail_localization.errors import TrainingError
from mail_localization.matching.radio_map import (
    DISTANCES,
    HorusMap,
    HorusSettings,
    KnnMap,
    KnnSettings,
    Levels,
    Matches,
    tempered_posterior,
    weighted_nearest,
)
from mail_localization.matching.wifi_knn import Calibration, WifiKnnConfig, build_map, log_mixture
from mail_localization.preprocess.wifi import REPRESENTATIONS, AccessPoints
from mail_localization.types import FloatArray

Choice = tuple[tuple[str, Any], ...]
"""Names and values of settings, sorted."""

FOLDS = 5
MOST_QUERIES = 500
"""Scans judged over all folds: more of them change the choice less than the split does."""
MIN_JUDGED = 50
"""Fewer scans than these decide nothing: among over a hundred choices one is always lucky."""
K = (1, 2, 3, 4, 6, 9, 13)
KERNELS = (1.5, 2.5, 4.0)
TEMPERS = (0.03, 0.1, 0.3, 1.0)
PRIOR: dict[str, dict[str, Any]] = {
    "knn": {"k": 4, "distance": "sorensen", "representation": "exponential", "device_gain": "remove"},
    "horus": {"kernel": 2.5, "temper": 0.3},
}
"""knn: of the candidates, that with the least sum of errors, cross-validated over the surveys of three malls with one
phone and a museum floor with two. horus: the middle of what did well there and from one phone to another."""
_STRETCHES = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0)
_VARIANCES = tuple(np.geomspace(0.25, 900.0, 24).tolist())
_GROWTHS = (0.0, 1.0, 2.0, 3.0, 4.0, 6.0)
_BANDWIDTHS = (0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0)
_LOST = (0.01, 0.03, 0.1, 0.2, 0.4)


@dataclass(frozen=True, eq=False)
class Fold:
    """Fingerprints of some recordings, and scans of others to be found among them."""

    access_points: AccessPoints
    rssi: Levels
    """(N, A) dBm, NaN where unheard."""
    positions: FloatArray
    """(N, 2) m."""
    queries: FloatArray
    """(Q, A) dBm."""
    weights: FloatArray
    """(Q, A) trust in each access point, 0 to 1."""
    truth: FloatArray
    """(Q, 2) m."""
    recording: npt.NDArray[np.int64]
    """(Q,) number of the recording each scan is of."""

    @classmethod
    def of(
        cls, access_points: AccessPoints, training: Sequence[FingerprintTrace], judged: Sequence[FingerprintTrace],
        config: WifiKnnConfig,
    ) -> Fold:  # fmt: skip
        """Cut recordings into a fold; scans with too few access points are left out."""
        rssi, positions, _ = _table(training, access_points, config.min_access_points)
        queries, truth, recording = _table(judged, access_points, config.min_access_points)
        weights = np.array([access_points.weights(row) for row in queries]).reshape(queries.shape)
        return cls(access_points, rssi.astype(np.float32), positions, queries, weights, truth, recording)

    @property
    def known(self) -> npt.NDArray[np.bool_]:
        """(Q,) whether the place of each scan was surveyed at all: no map knows another one."""
        if not len(self.positions):
            return np.zeros(len(self.truth), dtype=bool)
        distance, _ = KDTree(self.positions).query(self.truth)
        return np.asarray(distance <= 2 * REACH)

    def only(self, rows: npt.NDArray[np.bool_]) -> Fold:
        """Return the fold with some of its scans."""
        scans = {name: getattr(self, name)[rows] for name in ("queries", "weights", "truth", "recording")}
        return dataclasses.replace(self, **scans)

    def __iter__(self) -> Iterator[tuple[FloatArray, FloatArray]]:
        return zip(self.queries, self.weights, strict=True)


def folds(
    config: WifiKnnConfig, training: Sequence[FingerprintTrace], validation: Sequence[FingerprintTrace], seed: int
) -> list[Fold]:
    """Hold out each of up to five parts of the training recordings in turn; a single one is held against validation."""
    surveys: list[tuple[Sequence[FingerprintTrace], Sequence[FingerprintTrace]]] = []
    order = np.random.default_rng(seed).permutation(len(training)).tolist()
    for part in range(min(FOLDS, len(training))):
        out = set(order[part::FOLDS])
        kept = [trace for number, trace in enumerate(training) if number not in out]
        surveys.append((kept, [training[number] for number in sorted(out)]))
    if len(training) == 1:
        surveys = [(training, validation)]
    parts = [Fold.of(gather(kept, config.wifi), kept, out, config) for kept, out in surveys]
    judged = [fold for fold in parts if len(fold.access_points) and len(fold.rssi) and len(fold.queries)]
    if not judged:
        raise TrainingError(
            f"{', '.join(str(trace.path) for trace in [*training, *validation])}: no recording hears "
            f"{config.min_access_points} (min_access_points) access points of another; survey the same places twice"
        )
    return _drawn(judged, seed)


def choose(config: WifiKnnConfig, parts: Sequence[Fold], progress: bool = False) -> tuple[WifiKnnConfig, float]:
    """Return the config with everything chosen, and its mean error over the folds, m.

    Of what is left open, PRIOR stands unless another choice is better by more than chance: few recordings tell little,
    and recordings of one phone nothing of other phones.
    """
    errors: dict[Choice, list[FloatArray]] = {}
    recording: list[npt.NDArray[np.int64]] = []
    with tqdm(_surveyed(parts), desc="choosing", unit="fold", disable=None if progress else True) as bar:
        for number, fold in enumerate(bar):
            recording.append(1000 * number + fold.recording)
            for choice, estimates in _choices(config, fold):
                errors.setdefault(choice, []).append(np.linalg.norm(estimates - fold.truth, axis=1))
    joined = {choice: np.concatenate(parts) for choice, parts in errors.items()}
    best = min(joined, key=lambda choice: float(joined[choice].mean()))
    prior = _prior(config)
    if not _clearly_better(joined[best], joined[prior], np.concatenate(recording)):
        best = prior
    part = getattr(config, config.kind)
    chosen = part.from_mapping({**part.to_mapping(), **dict(best)})
    return config.from_mapping({**config.to_mapping(), config.kind: chosen}), float(joined[best].mean())


def calibrate(config: WifiKnnConfig, parts: Sequence[Fold]) -> Calibration:
    """Fit covariance and likelihood to the errors over the folds, each by maximum likelihood over a grid.

    Scans of places that the others did not survey count too: they tell how strange matches err.
    """
    found: list[tuple[Matches, FloatArray]] = []
    for fold in parts:
        radio_map = build_map(config, fold.rssi, fold.positions)
        found.extend((radio_map.match(*query), truth) for query, truth in zip(fold, fold.truth, strict=True))
    errors = np.array([matches.mean - truth for matches, truth in found])
    spreads = np.array([matches.spread for matches, _ in found])
    strangeness = np.array([matches.strangeness for matches, _ in found])
    known = np.concatenate([fold.known for fold in parts])
    usual = max(float(np.median(strangeness[known] if known.any() else strangeness)), 1e-6)
    excess = np.maximum(strangeness / usual, 1.0)

    def misfit(shape: tuple[float, float, float]) -> float:
        stretch, variance, growth = shape
        return _misfit(stretch * spreads + (variance * excess**growth)[:, None, None] * np.eye(2), errors)

    stretch, variance, growth = min(itertools.product(_STRETCHES, _VARIANCES, _GROWTHS), key=misfit)
    area = float(np.prod(np.maximum(np.ptp(np.concatenate([fold.positions for fold in parts]), axis=0), 1.0)))
    grid = itertools.product(_BANDWIDTHS, _LOST)
    shapes = [Calibration(stretch, variance, width, lost, usual, growth) for width, lost in grid]
    return max(shapes, key=lambda shape: sum(float(log_mixture(m, t[None], shape, area)[0]) for m, t in found))


def _prior(config: WifiKnnConfig) -> Choice:
    """Return PRIOR, but for what the config gives."""
    part, prior = getattr(config, config.kind), PRIOR[config.kind]
    given = {name: getattr(part, name) for name in prior if getattr(part, name) not in {"auto", 0}}
    return _choice(**{**prior, **given})


def _clearly_better(errors: FloatArray, others: FloatArray, recording: npt.NDArray[np.int64]) -> bool:
    """Tell whether errors (n,) are less than others beyond chance: by two standard errors over the recordings."""
    gains = others - errors
    means = np.array([gains[recording == number].mean() for number in np.unique(recording)])
    return (
        len(errors) >= MIN_JUDGED
        and len(means) > 3
        and float(means.mean()) > 2 * float(means.std(ddof=1)) / math.sqrt(len(means))
    )


def _table(
    traces: Sequence[FingerprintTrace], access_points: AccessPoints, least: int
) -> tuple[FloatArray, FloatArray, npt.NDArray[np.int64]]:
    """Return levels (n, A), positions (n, 2) and recording (n,) of scans that hear at least so many access points."""
    rssi = np.concatenate([np.empty((0, len(access_points))), *(trace.vectors(access_points) for trace in traces)])
    positions = np.concatenate([np.empty((0, 2)), *(trace.positions for trace in traces)])
    recording = np.repeat(np.arange(len(traces)), [len(trace) for trace in traces])
    enough = np.isfinite(rssi).sum(axis=1) >= least
    return rssi[enough], positions[enough], recording[enough]


def _drawn(parts: Sequence[Fold], seed: int) -> list[Fold]:
    """Keep no more scans than there is time for."""
    rng = np.random.default_rng(seed)
    share = min(1.0, MOST_QUERIES / sum(len(fold.truth) for fold in parts))
    kept = [fold.only(rng.uniform(size=len(fold.truth)) <= share) for fold in parts]
    return [fold for fold in kept if len(fold.truth)]


def _surveyed(parts: Sequence[Fold]) -> list[Fold]:
    """Keep the scans at places that the others surveyed; all, where there are none such."""
    kept = [fold.only(fold.known) for fold in parts]
    return [fold for fold in kept if len(fold.truth)] or list(parts)


def _choices(config: WifiKnnConfig, fold: Fold) -> Iterator[tuple[Choice, FloatArray]]:
    """Yield everything that the config leaves open, in all ways, with the estimates (Q, 2) in a fold."""
    return _horus_choices(config.horus, fold) if config.kind == "horus" else _knn_choices(config.knn, fold)


def _knn_choices(knn: KnnSettings, fold: Fold) -> Iterator[tuple[Choice, FloatArray]]:
    kinds = DISTANCES if knn.distance == "auto" else (knn.distance,)
    scales = REPRESENTATIONS if knn.representation == "auto" else (knn.representation,)
    gains = ("keep", "remove") if knn.device_gain == "auto" else (knn.device_gain,)
    ks = (knn.k,) if knn.k else K
    for name, gain in itertools.product(scales, gains):
        scaled = {"representation": name, "device_gain": gain}
        radio_map = KnnMap(fold.rssi, fold.positions, KnnSettings(**scaled))
        for kind in kinds:
            nearest = [_nearest(radio_map.distances(*query, kind), fold.positions, max(ks)) for query in fold]
            for k in ks:
                means = [weighted_nearest(*near, k, knn.power).mean for near in nearest]
                yield _choice(k=k, distance=kind, **scaled), np.array(means)


def _nearest(
    distances: npt.NDArray[np.float32], positions: FloatArray, count: int
) -> tuple[npt.NDArray[np.float32], FloatArray]:
    """Return the least of distances (N,) and their places, so that every k needs to look at no more."""
    rows = np.argpartition(distances, min(count, len(distances)) - 1)[:count]
    return distances[rows], positions[rows]


def _horus_choices(horus: HorusSettings, fold: Fold) -> Iterator[tuple[Choice, FloatArray]]:
    for kernel in (horus.kernel,) if horus.kernel else KERNELS:
        smoothed = horus.from_mapping({**horus.to_mapping(), "kernel": kernel})
        radio_map = HorusMap(fold.rssi, fold.positions, smoothed)
        logs = [radio_map.log_likelihoods(*query) for query in fold]
        for temper in (horus.temper,) if horus.temper else TEMPERS:
            means = [tempered_posterior(one, radio_map.cells, temper).mean for one in logs]
            yield _choice(kernel=kernel, temper=temper), np.array(means)


def _choice(**values: Any) -> Choice:
    return tuple(sorted(values.items()))


def _misfit(covariances: FloatArray, errors: FloatArray) -> float:
    """Return the mean negative log-likelihood of errors (n, 2) under covariances (n, 2, 2), up to a constant."""
    squared = np.einsum("ni,nij,nj->n", errors, np.linalg.inv(covariances), errors)
    return float(np.mean(np.log(np.linalg.det(covariances)) + squared))
