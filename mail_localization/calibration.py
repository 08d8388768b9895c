"""How large a method's errors really are, as recordings tell that it was not made from: the covariance made honest.

What a method states of itself (the spread of its particles, matches or heat map) orders its errors but is not their
size. The variance of the errors is taken as a product of powers of two things that are known with every estimate:
the size it states, and how far it lies from the estimates just before, beyond what can be walked in between.
"""

from __future__ import annotations

import dataclasses
import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mail_localization.errors import ModelError
from mail_localization.types import FloatArray, PoseEstimate

HORIZON = 8.0
"""Estimates that an estimate is compared with are at most this old, s."""
WALK = 1.5
"""Speed at which two estimates may move apart without contradicting each other, m/s."""
SOFT = 0.5
"""Added to disagreements before their power is taken, m: below it they do not differ."""
ROUND = 0.2
"""Share of the covariance that is the same in all directions, whatever the method states."""
SMALLEST = 0.05
"""Least standard deviation, m: reference positions are no better."""

_LONGEST = 120
"""Longest lag at which errors are compared, s."""


class Disagreement:
    """How far each estimate lies from those just before it: a method that errs grossly seldom errs twice alike."""

    def __init__(self) -> None:
        self._recent: deque[tuple[int, float, float]] = deque()

    def clear(self) -> None:
        """Forget all estimates."""
        self._recent.clear()

    def add(self, t_ns: int, position: FloatArray) -> float:
        """Return the root mean square of what contradicts recent estimates, m; NaN where there are none."""
        if self._recent and t_ns < self._recent[-1][0]:
            self._recent.clear()
        while self._recent and t_ns - self._recent[0][0] > HORIZON * 1e9:
            self._recent.popleft()
        x, y = position.tolist()
        squared = [
            max(math.hypot(x - other_x, y - other_y) - WALK * (t_ns - other_ns) * 1e-9, 0.0) ** 2
            for other_ns, other_x, other_y in self._recent
        ]
        self._recent.append((t_ns, x, y))
        return math.sqrt(sum(squared) / len(squared)) if squared else math.nan


@dataclass(frozen=True)
class Calibration:
    """What a model card says of the errors, applied to every estimate."""

    stddev: float
    """Standard deviation of the errors along each axis, m, where size and disagreement are as usual."""
    size: float
    """Usual standard deviation that the method states, m."""
    size_power: float
    """Power of the stated variance with which that of the errors grows: 0 where it tells nothing, 1 in proportion."""
    least_size: float
    """Smallest standard deviation stated on the recordings used: below it nothing is known, m."""
    disagreement: float
    """Usual disagreement, m."""
    disagreement_power: float
    """Power of the disagreement squared with which the variance of the errors grows."""
    correlation_time: float
    """Time over which errors are alike, s: two estimates closer than that are one piece of evidence."""
    samples: float
    """Independent errors that tell as much as those this was learned from; the fewer, the more room `stddev` leaves."""
    recordings: tuple[str, ...] = ()
    """Names of the recordings used."""
    steady: float = 0.25
    """Share of the covariance that errors had which last; the rest is room, and errors that jump: odometry tells."""

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> Calibration | None:
        """Read a model card's calibration; None where it is empty, as in folders of earlier versions.

        Raises:
            ModelError: a figure is missing or out of range.
        """
        if not mapping:
            return None
        try:
            names = [field.name for field in dataclasses.fields(cls) if field.name != "recordings"]
            # Folders of earlier versions do not tell what is steady.
            figures = {name: float({"steady": cls.steady, **mapping}[name]) for name in names}
            for name, value in figures.items():
                least, most = (0.0, 10.0) if name.endswith("_power") else (1e-9, 1.0 if name == "steady" else 1e9)
                if not least <= value <= most:
                    raise ValueError(f"{name} is {value!r}")
            return cls(**figures, recordings=tuple(map(str, mapping.get("recordings", ()))))
        except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as err:
            raise ModelError(f"model.json: calibration is damaged: {err!r}; run `calibrate`, or train again") from err

    def to_mapping(self) -> dict[str, Any]:
        """Return what `from_mapping` reads."""
        return {**dataclasses.asdict(self), "recordings": list(self.recordings)}

    def variances(self, sizes: FloatArray, disagreements: FloatArray) -> FloatArray:
        """Return the variance (n,) of the errors along an axis, m^2, by stated sizes (n,) and disagreements (n,), m."""
        usual = np.where(np.isnan(disagreements), self.disagreement, disagreements)
        logs = self.size_power * np.log(np.maximum(sizes, self.least_size) / self.size)
        logs = logs + self.disagreement_power * np.log((usual + SOFT) / (self.disagreement + SOFT))
        return np.asarray(self.stddev**2 * np.exp(2.0 * logs))

    def applied(self, estimate: PoseEstimate, disagreement: float) -> PoseEstimate:
        """Return the estimate with a covariance of the size that its errors have."""
        stated = estimate.covariance[None]
        size = sizes(stated)
        variance = float(self.variances(size, np.array([disagreement]))[0])
        factor = variance / float(size[0]) ** 2
        modes = tuple(dataclasses.replace(mode, covariance=factor * mode.covariance) for mode in estimate.modes)
        return dataclasses.replace(estimate, covariance=variance * shapes(stated)[0], modes=modes)

    def independent(self, rate_hz: float) -> float:
        """Return the factor from 1 on by which a filter that is fed at that rate must inflate covariances.

        Estimates within the correlation time of each other err alike: so many of them count as one.
        """
        return max(1.0, rate_hz * self.correlation_time)


def sizes(covariances: FloatArray) -> FloatArray:
    """Return the standard deviations (n,) along an axis, mean over directions, of covariances (n, 2, 2)."""
    return np.asarray(np.sqrt(np.maximum(0.5 * np.trace(covariances, axis1=1, axis2=2), 1e-12)))


def shapes(covariances: FloatArray) -> FloatArray:
    """Return covariances (n, 2, 2) scaled to a mean variance of 1 and somewhat rounded: clouds collapse to lines."""
    stated = covariances / sizes(covariances)[:, None, None] ** 2
    return (1.0 - ROUND) * stated + ROUND * np.eye(2)


def correlation_time(series: Sequence[FloatArray]) -> float:
    """Return the integrated autocorrelation time, s, about zero of series (n, 2) sampled once per second, pooled."""
    products, counts = np.zeros(_LONGEST), np.zeros(_LONGEST)
    for values in series:
        length = len(values)
        lags = np.arange(min(_LONGEST, length))
        # Padded to twice the length, so that the end is not taken to go on at the start.
        power = np.square(np.abs(np.fft.rfft(values, 2 * max(length, 1), axis=0))).sum(axis=1)
        products[lags] += np.fft.irfft(power, 2 * max(length, 1))[lags]
        counts[lags] += length - lags
    if products[0] <= 0:
        return 1.0
    correlation = (products / np.maximum(counts, 1)) / (products[0] / counts[0])
    seconds = 1.0
    for lag in range(1, _LONGEST):
        # Beyond the first lags without correlation there is noise only; half of the data must back each lag.
        if correlation[lag] < 0.05 or counts[lag] < 0.5 * counts[0] or lag > 5 * seconds:
            break
        seconds += 2.0 * float(correlation[lag])
    return seconds
