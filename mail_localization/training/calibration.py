"""Learning how large a method's errors are, from recordings with a reference that it was not made from."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mail_localization.calibration import SMALLEST, SOFT, Calibration, correlation_time, shapes, sizes
from mail_localization.errors import TrainingError
from mail_localization.models.artifact import ModelCard
from mail_localization.types import FloatArray

LEVELS = (0.5, 0.9, 0.95)
"""Probabilities whose covariance ellipses are checked."""
_PRIOR = 0.7
"""Standard deviation of the powers before anything is seen: few independent errors leave them near 0."""
_STEEPEST = 2.0
_WANTED = (0.92, 0.97)
"""Share of the errors that the 95 % ellipse should hold: errors have heavier tails than a Gaussian."""
_NEES = (1.5, 2.7)
"""Mean NEES that may be given for it; 2 is ideal."""
_FEWEST = 3.0
"""Independent errors that are assumed at least: of one or two, no inflation makes a calibration."""


@dataclass(frozen=True, eq=False)
class Judged:
    """One recording: its errors at every second, of the newest estimate, with what the method said of them."""

    name: str
    offsets: FloatArray
    """(n, 2) estimate less reference, m."""
    covariances: FloatArray
    """(n, 2, 2) as the method states them, m^2."""
    disagreements: FloatArray
    """(n,) of each estimate with those before it, m; NaN where there are none."""
    device: str = ""

    def part(self, chosen: slice) -> Judged:
        """Return some of the seconds."""
        parts = (self.offsets[chosen], self.covariances[chosen], self.disagreements[chosen])
        return Judged(self.name, *parts, self.device)

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
        return self.relative / calibration.variances(sizes(self.covariances), self.disagreements)


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
    """Return the calibration with which errors are as large as it says, with room for what few errors cannot tell.

    The powers maximise a Gaussian likelihood; the scale then brings the mean NEES near 2 and, as far as it may, 95 %
    of the errors into the 95 % ellipse.

    Raises:
        TrainingError: there are no errors.
    """
    judged = [part for part in judged if len(part.offsets)]
    if not judged:
        raise TrainingError(
            "no estimate has a reference in the recordings, so the size of the errors cannot be told; give longer "
            "recordings, or others"
        )
    stated = sizes(np.concatenate([part.covariances for part in judged]))
    disagreements = np.concatenate([part.disagreements for part in judged])
    known = disagreements[np.isfinite(disagreements)]
    least = max(float(stated.min()), SMALLEST)
    usual = Calibration(
        stddev=1.0, size=_middle(np.maximum(stated, least)), size_power=0.0, least_size=least,
        disagreement=max(_middle(known + SOFT) - SOFT, 1e-3) if len(known) else SOFT, disagreement_power=0.0,
        rare=0.0, correlation_time=1.0, samples=1.0, recordings=tuple(part.name for part in judged),
    )  # fmt: skip
    count, seconds = len(stated), correlation_time([part.offsets for part in judged])
    powers = _powers(judged, usual, max(count / seconds, _FEWEST))
    shaped = dataclasses.replace(usual, size_power=powers[0], disagreement_power=powers[1])
    whitened = [part.offsets / np.sqrt(_variance(part, shaped))[:, None] for part in judged]
    seconds = correlation_time(whitened)
    samples = max(count / seconds, 1.0)
    # A model calibrated on its own training recordings may have no errors at all.
    stddev = max(math.sqrt(0.5 * _mean([part.nees(shaped) for part in judged])), SMALLEST)
    # Of n independent errors none may have been gross, and still the next one be: as large as all are in the mean.
    rare = math.sqrt(0.5 * _mean([part.relative for part in judged]) / max(samples, _FEWEST))
    found = dataclasses.replace(shaped, stddev=stddev, rare=rare, correlation_time=seconds, samples=samples)
    factor = math.sqrt(_scale(np.concatenate([part.nees(found) for part in judged])))
    return dataclasses.replace(found, stddev=factor * stddev, rare=factor * rare)


def cross_validated(judged: Sequence[Judged]) -> dict[str, Any]:
    """Return NEES and coverage on each recording by the others, or on each half of a single one by the other half."""
    judged = [part for part in judged if len(part.offsets) > 1]
    if len(judged) > 1:
        folds = min(len(judged), 10)
        pairs = [
            ([part for k, part in enumerate(judged) if k % folds != fold], judged[fold::folds]) for fold in range(folds)
        ]
    else:
        halves = [part.part(side) for part in judged for side in _sides(len(part.offsets) // 2)]
        pairs = [([one], [other]) for one in halves for other in halves if one is not other]
    return figures([other.nees(fitted(some)) for some, others in pairs for other in others])


def figures(ratios: Sequence[FloatArray]) -> dict[str, Any]:
    """Return the mean of NEES (n,) of several recordings and the shares inside the ellipses, all seconds alike."""
    joined = np.concatenate([np.empty(0), *ratios])
    if not len(joined):
        return {"nees_mean": None, "coverage": {str(level): None for level in LEVELS}}
    coverage = {str(level): float((joined <= -2.0 * math.log1p(-level)).mean()) for level in LEVELS}
    return {"nees_mean": float(joined.mean()), "coverage": coverage}


def _sides(middle: int) -> tuple[slice, slice]:
    return slice(None, middle), slice(middle, None)


def _mean(parts: Sequence[FloatArray]) -> float:
    return float(np.concatenate(parts).mean())


def _middle(values: FloatArray) -> float:
    """Return the geometric mean."""
    return float(np.exp(np.log(values).mean()))


def _variance(part: Judged, calibration: Calibration) -> FloatArray:
    return calibration.variances(sizes(part.covariances), part.disagreements)


def _powers(judged: Sequence[Judged], usual: Calibration, samples: float) -> tuple[float, float]:
    """Return the powers of the stated size and of the disagreement, by penalised likelihood."""
    from scipy.optimize import minimize

    relative = np.concatenate([part.relative for part in judged]) + SMALLEST**2
    alone = (dataclasses.replace(usual, size_power=1.0), dataclasses.replace(usual, disagreement_power=1.0))
    bases = np.stack([np.concatenate([np.log(_variance(part, one)) for part in judged]) for one in alone])

    def loss(powers: FloatArray) -> float:
        logs = powers @ bases
        # With the best scale for these powers, the likelihood is its logarithm and the mean log variance.
        scale = np.log(np.mean(0.5 * relative * np.exp(-logs)))
        return float(scale + logs.mean() + 0.5 * np.square(powers / _PRIOR).sum() / samples)

    found = minimize(loss, np.full(2, 0.3), bounds=[(0.0, _STEEPEST)] * 2).x
    return float(found[0]), float(found[1])


def _scale(ratios: FloatArray) -> float:
    """Return the factor nearest to 1 on variances with which squared errors (n,) in their units are as wanted."""
    mean = max(0.5 * float(ratios.mean()), 1e-9)
    tries = mean * np.geomspace(2.0 / _NEES[1], 2.0 / _NEES[0], 41)
    held = np.array([(ratios <= -2.0 * math.log(0.05) * scale).mean() for scale in tries])
    short = np.maximum(_WANTED[0] - held, 0) + np.maximum(held - _WANTED[1], 0)
    best = tries[short <= short.min() + 1e-9]
    return float(best[np.abs(np.log(best)).argmin()])
