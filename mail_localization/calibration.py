"""How large a method's errors really are, as recordings tell that it was not made from: the covariance made honest.

What a method states of itself (the spread of its particles, matches or heat map) orders its errors but is not their
size. The variance of the errors is taken as a product of powers of two things that are known with every estimate:
the size it states, and the way that estimates have been followed without a contradiction. To that is added the doubt
whether it is the right place at all, which ends with the way: places that look alike seldom do so for long.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mail_localization.errors import ModelError
from mail_localization.types import FloatArray, Mode, PoseEstimate

GAP = 8.0
"""Time without estimates after which the next one starts anew, s."""
WALK = 1.5
"""Speed at which two estimates may move apart without contradicting each other, m/s."""
JUMP = 2.0
"""Distance beyond it at which they do, m."""
STRIDE = 1.0
"""Time between the estimates whose distances make the way, s: what is shorter is jitter."""
NEAR, FAR = 2.0, 32.0
"""Ways, m, between which the errors change with the way: shorter and longer ones do not differ."""
DOUBTFUL = 10.0
"""Way after which half of the doubt about the place is left, m: a 16th after twice as far."""
ROUND = 0.2
"""Share of the covariance that is the same in all directions, whatever the method states."""
SMALLEST = 0.05
"""Least standard deviation, m: reference positions are no better."""

_LONGEST = 120
"""Longest lag at which errors are compared, s."""


class Followed:
    """The way that estimates have gone since they began, or jumped: what looks like the right place proves itself."""

    def __init__(self) -> None:
        self.clear()

    def clear(self, way: float = 0.0) -> None:
        """Forget all estimates; the next one has that way behind it, m: a long one, where it was told the place."""
        self._last: tuple[int, float, float] | None = None
        self._anchor = (0, 0.0, 0.0)
        self._way = way

    def add(self, t_ns: int, position: FloatArray) -> float:
        """Return the way to this estimate, m: 0 where it contradicts the last one."""
        x, y = position.tolist()
        here = (t_ns, x, y)
        if self._last is None:
            self._anchor = here
        elif not 0 <= _seconds(self._last, here) <= GAP or _beyond(self._last, here) > JUMP:
            self._anchor, self._way = here, 0.0
        elif _seconds(self._anchor, here) >= STRIDE:
            self._way += _distance(self._anchor, here)
            self._anchor = here
        self._last = here
        return self._way


def _seconds(a: tuple[int, float, float], b: tuple[int, float, float]) -> float:
    return (b[0] - a[0]) * 1e-9


def _distance(a: tuple[int, float, float], b: tuple[int, float, float]) -> float:
    return math.hypot(b[1] - a[1], b[2] - a[2])


def _beyond(a: tuple[int, float, float], b: tuple[int, float, float]) -> float:
    """Return how much farther apart two estimates are than can be walked, m."""
    return _distance(a, b) - WALK * _seconds(a, b)


def doubtful(ways: FloatArray) -> FloatArray:
    """Return how much of the doubt about the place is left (n,), 1 to 0, after ways (n,), m."""
    return np.asarray(0.5 ** np.square(ways / DOUBTFUL))


@dataclass(frozen=True)
class Calibration:
    """What a model card says of the errors, applied to every estimate."""

    stddev: float
    """Standard deviation of the errors along each axis, m, where size and way are as usual."""
    size: float
    """Usual standard deviation that the method states, m."""
    size_power: float
    """Power of the stated variance with which that of the errors grows: 0 where it tells nothing, 1 in proportion."""
    least_size: float
    """Smallest standard deviation stated on the recordings used: below it nothing is known, m."""
    correlation_time: float
    """Time over which errors are alike, s: two estimates closer than that are one piece of evidence."""
    samples: float
    """Independent errors that tell as much as those this was learned from; the fewer, the more room `stddev` leaves."""
    recordings: tuple[str, ...] = ()
    """Names of the recordings used."""
    steady: float = 0.25
    """Share of the covariance that errors had which last; the rest is room, and errors that jump: odometry tells."""
    way: float = DOUBTFUL
    """Usual way followed without contradiction, m."""
    way_power: float = 0.0
    """Power of the way squared with which the variance of the errors shrinks."""
    doubt: float = 0.0
    """Standard deviation, m, that is added (in squares) where no way has been followed yet: it may be elsewhere."""

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> Calibration | None:
        """Read a model card's calibration; None where it is empty, as in folders of earlier versions.

        Raises:
            ModelError: a figure is missing or out of range.
        """
        if not mapping:
            return None
        try:
            fields = [field for field in dataclasses.fields(cls) if field.name != "recordings"]
            # Folders of earlier versions do not tell what has a default.
            figures = {field.name: float(mapping.get(field.name, field.default)) for field in fields}
            for name, value in figures.items():
                least = 0.0 if name.endswith("_power") or name == "doubt" else 1e-9
                most = 10.0 if name.endswith("_power") else 1.0 if name == "steady" else 1e9
                if not least <= value <= most:
                    raise ValueError(f"{name} is {value!r}")
            return cls(**figures, recordings=tuple(map(str, mapping.get("recordings", ()))))
        except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as err:
            raise ModelError(f"model.json: calibration is damaged: {err!r}; run `calibrate`, or train again") from err

    def to_mapping(self) -> dict[str, Any]:
        """Return what `from_mapping` reads."""
        return {**dataclasses.asdict(self), "recordings": list(self.recordings)}

    def variances(self, sizes: FloatArray, ways: FloatArray) -> FloatArray:
        """Return the variance (n,) of the errors along an axis, m^2, by stated sizes (n,) and ways (n,), m."""
        return self._nearby(sizes, ways) + np.asarray(self.doubt**2 * doubtful(ways))

    def _nearby(self, sizes: FloatArray, ways: FloatArray) -> FloatArray:
        """Return the same without the doubt about the place."""
        logs = self.size_power * np.log(np.maximum(sizes, self.least_size) / self.size)
        logs = logs + self.way_power * np.log((self.way + NEAR) / (np.minimum(ways, FAR) + NEAR))
        return np.asarray(self.stddev**2 * np.exp(2.0 * logs))

    def applied(self, estimate: PoseEstimate, way: float) -> PoseEstimate:
        """Return the estimate with a covariance of the size that its errors have, and at least one mode.

        The covariance of a mode, or of the estimate as its own only mode, is that of the errors if it is the right one.
        """
        stated, ways = estimate.covariance[None], np.array([way])
        size, shape = sizes(stated), shapes(stated)[0]
        variance, nearby = float(self.variances(size, ways)[0]), float(self._nearby(size, ways)[0])
        factor = nearby / float(size[0]) ** 2
        modes = tuple(dataclasses.replace(mode, covariance=factor * mode.covariance) for mode in estimate.modes)
        modes = modes or (Mode(1.0, estimate.position, nearby * shape),)
        return dataclasses.replace(estimate, covariance=variance * shape, modes=modes)

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
