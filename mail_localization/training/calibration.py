"""Learning how large a method's errors are, from recordings with a reference that it was not made from."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mail_localization.calibration import FAR, NEAR, SMALLEST, Calibration, correlation_time, doubtful, shapes, sizes
from mail_localization.errors import TrainingError
from mail_localization.models.artifact import ModelCard
from mail_localization.types import FloatArray

LEVELS = (0.5, 0.9, 0.95)
"""Probabilities whose covariance ellipses are checked."""
_PRIOR = (0.5, 0.25)
"""Powers of the stated size and of the way before anything is seen: those usual at the sites of the public datasets."""
_PRIOR_STDDEV = 0.5
_STEEPEST = 2.0
_FEWEST = 2.0
"""Independent errors that are assumed at least: of a single one, no inflation makes a calibration."""
_FOLDS, _BLOCKS = 10, 4
"""Parts that are judged by the others, at most: of several recordings, and of a single one."""
_LASTING = 2
"""Errors are steady that differ from most of those so many seconds before and after by little."""
_MISSED = 0.05
"""Share of the errors that may lie outside of the region that is kept honest."""


@dataclass(frozen=True, eq=False)
class Judged:
    """One recording: its errors at every second, of the newest estimate, with what the method said of them."""

    name: str
    offsets: FloatArray
    """(n, 2) estimate less reference, m."""
    covariances: FloatArray
    """(n, 2, 2) as the method states them, m^2."""
    ways: FloatArray
    """(n,) way that each estimate has been followed without contradiction, m."""
    places: FloatArray
    """(n, 2) the reference, m."""
    device: str = ""

    def part(self, chosen: slice) -> Judged:
        """Return some of the seconds."""
        parts = (self.offsets[chosen], self.covariances[chosen], self.ways[chosen], self.places[chosen])
        return Judged(self.name, *parts, self.device)

    @property
    def steady(self) -> Judged:
        """The same without errors that jump: each is the median, per axis, of those around it."""
        padded = np.pad(self.offsets, ((_LASTING, _LASTING), (0, 0)), constant_values=np.nan)
        around = np.lib.stride_tricks.sliding_window_view(padded, 2 * _LASTING + 1, axis=0)
        return dataclasses.replace(self, offsets=np.nanmedian(around, axis=-1))

    @property
    def relative(self) -> FloatArray:
        """(n,) squared errors in units of the covariance's shape at a variance of 1 m^2."""
        whitened = np.linalg.solve(shapes(self.covariances), self.offsets[:, :, None])[:, :, 0]
        return np.asarray((self.offsets * whitened).sum(axis=1))

    def nees(self, calibration: Calibration | None = None) -> FloatArray:
        """Return the squared errors (n,) in units of the covariance: 2 in the mean where it is honest."""
        if calibration is None:
            whitened = np.linalg.solve(self.covariances, self.offsets[:, :, None])[:, :, 0]
            return np.asarray((self.offsets * whitened).sum(axis=1))
        return self.relative / _variance(self, calibration)


def with_calibration(card: ModelCard, judged: Sequence[Judged]) -> ModelCard:
    """Return the card with the calibration that held-out recordings teach, and how well it holds; as it is without."""
    if not any(len(part.offsets) for part in judged):
        return card
    calibration = fitted(judged)
    checked = {
        "stated": figures([part.nees() for part in judged]),
        "calibrated": figures([part.nees(calibration) for part in judged]),
        "cross_validated": cross_validated(judged),
        "devices": sorted({part.device for part in judged} - {""}),
    }
    return dataclasses.replace(
        card, calibration=calibration.to_mapping(), metrics={**card.metrics, "calibration": checked}
    )


def fitted(judged: Sequence[Judged]) -> Calibration:
    """Return the calibration with which errors on other recordings are as large as it says.

    The powers maximise a Gaussian likelihood. The scale is that of squared errors which had no part in their powers:
    each recording, or each part of a single one, is judged by the powers of the others (cross-conformal prediction,
    Vovk 2015). What is scaled is the second moment, which a Kalman filter takes: it brings the mean NEES to 2 however
    heavy the tails. `_doubt` is added first, and `room` is then left for there being few errors to learn from.

    Raises:
        TrainingError: there are no errors.
    """
    judged = [part for part in judged if len(part.offsets)]
    if not judged:
        raise TrainingError(
            "no estimate has a reference in the recordings, so the size of the errors cannot be told; give longer "
            "recordings, or others"
        )
    usual, doubt = _usual(judged), _doubt(judged)
    shaped = _shaped(judged, usual)
    folds = [(_shaped(others, usual), held) for others, held in _folds(judged) or [(judged, judged)]]
    pairs = [(part, one) for one, held in folds for part in held]
    stddev = _scale(pairs, doubt)
    scaled = [(part, dataclasses.replace(one, stddev=stddev, doubt=doubt)) for part, one in pairs]
    found = dataclasses.replace(shaped, stddev=stddev, doubt=doubt)
    seconds = correlation_time([part.offsets / np.sqrt(_variance(part, found))[:, None] for part in judged])
    samples = _independent([part.nees(one) for part, one in scaled], seconds)
    wider = math.sqrt(room(samples))
    found = dataclasses.replace(
        found, stddev=wider * stddev, doubt=wider * doubt, correlation_time=seconds, samples=samples
    )
    steady = 0.5 * sum(float(part.steady.nees(found).sum()) for part in judged)
    # Where doubt prevails the errors, however large, are a small share of the covariance: it counts as little.
    sure = dataclasses.replace(found, doubt=0.0)
    steady /= sum(float((_variance(part, sure) / _variance(part, found)).sum()) for part in judged)
    return dataclasses.replace(found, steady=min(max(steady, 1e-9), 1.0))


def room(samples: float) -> float:
    """Return the factor on a variance known from so many independent errors in the plane with which 95 % are covered.

    The next squared error, in units of the mean of n, follows F(2, 2n) (a prediction region for a normal error of
    unknown scale, Hahn 1970), whose quantile has a closed form. From many errors it is 1, from 10 of them 1.17, from 3
    of them 1.72.
    """
    count = max(samples, _FEWEST)
    return float(count * (_MISSED ** (-1.0 / count) - 1.0) / -math.log(_MISSED))


def cross_validated(judged: Sequence[Judged]) -> dict[str, Any]:
    """Return NEES and coverage on each recording by the others, or on each part of a single one by the others."""
    folds = [(fitted(others), held) for others, held in _folds(judged)]
    return figures([part.nees(one) for one, held in folds for part in held])


def figures(ratios: Sequence[FloatArray]) -> dict[str, Any]:
    """Return the mean of NEES (n,) of several recordings and the shares inside the ellipses, all seconds alike."""
    joined = np.concatenate([np.empty(0), *ratios])
    if not len(joined):
        return {"nees_mean": None, "coverage": {str(level): None for level in LEVELS}}
    coverage = {str(level): float((joined <= -2.0 * math.log1p(-level)).mean()) for level in LEVELS}
    return {"nees_mean": float(joined.mean()), "coverage": coverage}


def _folds(judged: Sequence[Judged]) -> list[tuple[list[Judged], list[Judged]]]:
    """Return what to learn from and what to judge by it; nothing where a single recording is too short to part."""
    parts = [part for part in judged if len(part.offsets) > 1]
    if len(parts) == 1:
        parts = _blocks(parts[0])
    folds = min(len(parts), _FOLDS)
    chosen = [[part for k, part in enumerate(parts) if k % folds != fold] for fold in range(folds)]
    return [(others, parts[fold::folds]) for fold, others in enumerate(chosen) if others]


def _blocks(part: Judged) -> list[Judged]:
    """Return a recording in parts longer than its errors are alike, but two at least."""
    count = len(part.offsets)
    blocks = max(2, min(int(count / correlation_time([part.offsets])), _BLOCKS))
    ends = [count * k // blocks for k in range(blocks + 1)]
    return [part.part(slice(*ends[k : k + 2])) for k in range(blocks)]


def _independent(ratios: Sequence[FloatArray], seconds: float) -> float:
    """Return how many independent errors tell as much as squared errors (n,) of recordings that are alike so long.

    Recordings that differ, and gross errors in some of them, make their mean less certain than its length does:
    a mean of relative variance u^2 is worth 1/u^2 exponential ones (Satterthwaite 1946), u^2 taken between recordings.
    """
    counts = np.array([len(part) for part in ratios], dtype=np.float64)
    lengths = float(counts.sum()) / seconds
    sums = np.array([part.sum() for part in ratios])
    if len(ratios) < 2 or not sums.any():
        return max(lengths, 1.0)
    apart = sums - counts * sums.sum() / counts.sum()
    relative = len(ratios) / (len(ratios) - 1) * float(np.square(apart).sum()) / float(sums.sum()) ** 2
    return max(min(lengths, 1.0 / max(relative, 1e-9)), 1.0)


def _doubt(judged: Sequence[Judged]) -> float:
    """Return the standard deviation of the errors, m, where a method starts or jumps, as far as it is not refuted.

    Either a method's first places are of those that look alike here, or they are not: at even odds before anything is
    seen, halved by every independent error that was seen where little way had been followed. (If it was a gross one,
    the scale and the power of the way know.) Such a place has nothing to do with the true one: it is as far from it
    as any estimate from any reference.
    """
    seen = sum(float(doubtful(part.ways).sum()) for part in judged)
    odds = 0.5 ** (seen / correlation_time([part.offsets for part in judged]))
    places = np.concatenate([part.places for part in judged])
    told = places + np.concatenate([part.offsets for part in judged])
    apart = float((told.var(axis=0) + places.var(axis=0) + (told.mean(axis=0) - places.mean(axis=0)) ** 2).mean())
    return math.sqrt(odds / (1.0 + odds) * apart)


def _scale(pairs: Sequence[tuple[Judged, Calibration]], doubt: float) -> float:
    """Return the likeliest standard deviation, m, for calibrations of scale 1 with the doubt added.

    Without doubt it is the one with a mean NEES of 2. Errors where doubt prevails say little of it and count as little.
    """
    from scipy.optimize import brentq

    errors = np.concatenate([0.5 * part.relative for part, _ in pairs])
    shaped = np.concatenate([_variance(part, one) for part, one in pairs])
    added = doubt**2 * np.concatenate([doubtful(part.ways) for part, _ in pairs])

    def excess(log: float) -> float:
        variances = math.exp(log) * shaped + added
        return float((shaped / variances * (errors / variances - 1.0)).mean()) * math.exp(log)

    # A model calibrated on its own training recordings may have no errors at all.
    least = 2.0 * math.log(SMALLEST)
    if excess(least) <= 0.0:
        return SMALLEST
    return math.exp(0.5 * brentq(excess, least, math.log(float((errors / shaped).max())) + 1e-6))


def _usual(judged: Sequence[Judged]) -> Calibration:
    """Return a calibration of scale 1 that leaves size, way and doubt out."""
    stated = sizes(np.concatenate([part.covariances for part in judged]))
    ways = np.concatenate([part.ways for part in judged])
    least = max(float(stated.min()), SMALLEST)
    return Calibration(
        stddev=1.0, size=_middle(np.maximum(stated, least)), size_power=0.0, least_size=least,
        correlation_time=1.0, samples=1.0, recordings=tuple(part.name for part in judged),
        way=_middle(np.minimum(ways, FAR) + NEAR) - NEAR + 1e-6,
    )  # fmt: skip


def _shaped(judged: Sequence[Judged], usual: Calibration) -> Calibration:
    """Return the calibration of scale 1 with the powers that errors teach; its usual variance stays the same."""
    count = sum(len(part.offsets) for part in judged) / correlation_time([part.offsets for part in judged])
    powers = _powers(judged, usual, max(count, _FEWEST))
    return dataclasses.replace(usual, size_power=powers[0], way_power=powers[1])


def _middle(values: FloatArray) -> float:
    """Return the geometric mean."""
    return float(np.exp(np.log(values).mean()))


def _variance(part: Judged, calibration: Calibration) -> FloatArray:
    return calibration.variances(sizes(part.covariances), part.ways)


def _powers(judged: Sequence[Judged], usual: Calibration, samples: float) -> tuple[float, float]:
    """Return the powers of the stated size and of the way, by penalised likelihood."""
    from scipy.optimize import minimize

    relative = np.concatenate([part.relative for part in judged]) + SMALLEST**2
    alone = (dataclasses.replace(usual, size_power=1.0), dataclasses.replace(usual, way_power=1.0))
    bases = np.stack([np.concatenate([np.log(_variance(part, one)) for part in judged]) for one in alone])

    def loss(powers: FloatArray) -> float:
        logs = powers @ bases
        # With the best scale for these powers, the likelihood is its logarithm and the mean log variance.
        scale = np.log(np.mean(0.5 * relative * np.exp(-logs)))
        return float(scale + logs.mean() + 0.5 * np.square((powers - _PRIOR) / _PRIOR_STDDEV).sum() / samples)

    found = minimize(loss, np.array(_PRIOR), bounds=[(0.0, _STEEPEST)] * 2).x
    return float(found[0]), float(found[1])
