"""How well a reading fits the map, particle by particle, whatever constant offset the device adds."""

from __future__ import annotations

import math

import numpy as np

from mail_localization.config import Settings, setting
from mail_localization.matching.magnetic_map import MagneticMap
from mail_localization.types import FloatArray


class LikelihoodSettings(Settings):
    """How readings weigh particles."""

    spacing: float = setting(0.5, "way between two weighings, m", minimum=0.05, maximum=10.0)
    noise: float = setting(1.0, "noise of a reading beside the map's own, microtesla", minimum=0.01)
    vector: float = setting(
        0.35, "exponent of the field vector's likelihood; below 1, as neighbouring readings err alike", minimum=0.0,
        maximum=1.0,
    )  # fmt: skip
    magnitude: float = setting(0.25, "exponent of the magnitude's likelihood", minimum=0.0, maximum=1.0)
    tail: float = setting(4.0, "degrees of freedom of Student's t: low forgives changes of the field", minimum=1.0)
    off_map: float = setting(0.5, "log-likelihood that a particle loses at each weighing off the map", minimum=0.0)
    offset: float = setting(
        8.0, "standard deviation of a device's constant offset from the survey's, microtesla; 0: none is estimated",
        minimum=0.0,
    )  # fmt: skip
    offset_drift: float = setting(
        0.1, "drift of that offset, microtesla per square root of a weighing", minimum=0.0, maximum=100.0
    )


class OffsetLikelihood:
    """Field vector and magnitude against the map; each particle estimates the device's offset on its own way.

    The offset is a Kalman filter per particle and axis (Rao-Blackwellised): while it is unknown only changes of the
    field count, and the longer the way the more its values do.
    """

    def __init__(self, field_map: MagneticMap, settings: LikelihoodSettings) -> None:
        self._map, self._settings = field_map, settings
        self.axes = field_map.channels - 1
        """Components of the vector; the magnitude stands after them."""

    def states(self, count: int) -> dict[str, FloatArray]:
        """Return the states of new particles: offset and its variance, (count, axes)."""
        variance = np.full((count, self.axes), self._settings.offset**2)
        return {"offset": np.zeros((count, self.axes)), "offset_variance": variance}

    def update(
        self, states: dict[str, FloatArray], x: FloatArray, y: FloatArray, heading: FloatArray, reading: FloatArray
    ) -> FloatArray:
        """Return the log-likelihoods (K,) of a reading (C,) in microtesla at K places; the states learn from it."""
        s, axes = self._settings, self.axes
        field = self._map.lookup(x, y, heading)
        offset, prior = states["offset"], states["offset_variance"]
        noise = field.variance[:, :axes] + s.noise**2
        residual = reading[:axes] - field.mean[:, :axes] - offset
        variance = prior + noise
        ratio = residual**2 / variance
        total = s.vector * _student(ratio, variance, s.tail).sum(axis=1)
        # The magnitude must be taken of what the survey's device would have read.
        corrected = np.sqrt(np.square(reading[:axes] - offset).sum(axis=1))
        spread = field.variance[:, axes] + s.noise**2 + prior.mean(axis=1)
        total += s.magnitude * _student((corrected - field.mean[:, axes]) ** 2 / spread, spread, s.tail)
        if s.offset > 0:
            # A reading that fits nowhere must not move the offset: it weighs as in the t-distribution's own fit.
            trusted = (s.tail + 1.0) / (s.tail + ratio) * s.vector
            gain = prior * trusted / (noise + prior * trusted)
            states["offset"] = offset + gain * residual
            states["offset_variance"] = (1.0 - gain) * prior + s.offset_drift**2
        return np.asarray(total - s.off_map * (1.0 - field.coverage))


def _student(ratio: FloatArray, variance: FloatArray, tail: float) -> FloatArray:
    """Return the log density of Student's t up to a constant, for squared residuals over the variance."""
    return np.asarray(-0.5 * (tail + 1.0) * np.log1p(ratio / tail) - 0.5 * np.log(variance * (2 * math.pi)))
