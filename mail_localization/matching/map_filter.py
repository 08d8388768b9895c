"""The particle filter of MaLoc: where on the magnetic map the way walked and the field read on it fit together.

Xie et al., "MaLoc: a practical magnetic fingerprinting approach to indoor localization using smartphones" (UbiComp
2014; IEEE TMC 15(8), 2016): a reliability-augmented particle filter with a hybrid measurement model (field vector and
magnitude), step length and heading as states, and a resampling that recovers lost tracks.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import numpy as np

from mail_localization.config import Settings, group, setting
from mail_localization.matching.magnetic_likelihood import LikelihoodSettings, OffsetLikelihood
from mail_localization.matching.magnetic_map import MagneticMap
from mail_localization.matching.particles import CloudEstimate, Particles, ParticleSettings
from mail_localization.motion.tracker import Motion, MotionCalibration
from mail_localization.types import FloatArray

_UNKNOWN_HEADING = 1.0
"""A heading offset that spreads more than this (rad) is not known."""
_ANYWHERE = 0.3
"""Share of new particles that head anywhere instead of where the survey did: people also turn round."""

_STEP = "step"
"""Extra state of a particle: its last displacement (K, 2), m."""


class RecoverySettings(Settings):
    """How a lost track is noticed: a second, fresh cloud explains the newest readings much better than the track."""

    particles: int = setting(500, "particles of the fresh cloud; 0: a lost track stays lost", minimum=0)
    candidates: int = setting(3000, "places of the map of which the best-matching ones start the cloud", minimum=1)
    distance: float = setting(12.0, "way after which the two are compared, m", minimum=0.5)
    probability: float = setting(
        0.01, "probability that the track is lost, before the readings are looked at", minimum=0.0, maximum=0.5
    )


class FilterSettings(Settings):
    """The particle filter."""

    start: int = setting(8000, "particles of the first cloud, all over the map", minimum=10, maximum=1_000_000)
    reliability: float = setting(
        0.0, "weight that particles lose for a motion unlike the one detected; 0: only by how rarely it is drawn",
        minimum=0.0, maximum=10.0,
    )  # fmt: skip
    particles: ParticleSettings = group(ParticleSettings)
    likelihood: LikelihoodSettings = group(LikelihoodSettings)
    recovery: RecoverySettings = group(RecoverySettings)


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """The field averaged over a part of a motion."""

    share: float
    """Where on the motion, 0 (start) to 1 (end)."""
    field: FloatArray
    """(C,) microtesla."""


class MapFilter:
    """Particles on a magnetic map; all randomness comes from the seed, anew at each reset."""

    def __init__(
        self, field_map: MagneticMap, settings: FilterSettings, calibration: MotionCalibration, seed: int
    ) -> None:
        self.settings = settings
        self._map, self._calibration, self._seed = field_map, calibration, seed
        self._likelihood = OffsetLikelihood(field_map, settings.likelihood)
        recovery = settings.recovery
        few = max(2, recovery.particles)
        self._fresh_settings = dataclasses.replace(settings.particles, most=max(10, few), fewest=few)  # type: ignore[type-var]
        self.reset()

    def reset(self) -> None:
        """Forget the position."""
        self._rng = np.random.default_rng(self._seed)
        self.cloud = Particles(self.settings.particles, self._rng)
        self._given: tuple[FloatArray, float] | None = None
        self._fresh: Particles | None = None
        self._evidence = 0.0
        self._way = 0.0
        self.recoveries = 0
        """How often a fresh cloud took over."""

    @property
    def started(self) -> bool:
        """Whether there are particles."""
        return len(self.cloud) > 0

    def start_at(self, position: FloatArray, stddev: float) -> None:
        """Forget the position and start from (2,), m, spread by `stddev`, m, at the next motion."""
        self.reset()
        self._given = (np.asarray(position, dtype=np.float64), stddev)

    def advance(self, motion: Motion, readings: list[Reading]) -> None:
        """Move the cloud by a motion and weigh it by the readings on the way."""
        if not self.started and self._given is None:
            # The start is anywhere, so the cloud begins at the motion's end: it may be the first after a long gap.
            self._scatter(self.cloud, self.settings.start, motion, readings)
        else:
            if not self.started:
                self._start(motion)
            evidence = self._advance(self.cloud, motion, readings)
            self._watch(evidence, motion, readings)
        self.cloud.resample_if_uneven()

    def estimate(self, ahead: float = 0.0) -> CloudEstimate:
        """Return the estimate of the cloud, carried on by a share of every particle's last motion."""
        return self.cloud.estimate(ahead * self.cloud.extra[_STEP] if ahead else None)

    def _start(self, motion: Motion) -> None:
        """Spread the cloud around the given position."""
        position, stddev = self._given or (np.zeros(2), 0.0)
        count = self.settings.particles.most
        positions = position + stddev * self._rng.standard_normal((count, 2))
        _, headings = self._map.draw(count, self._rng)
        self.cloud.spread(positions, self._biases(headings, motion), extra=self._states(count))

    def _scatter(self, cloud: Particles, count: int, motion: Motion, readings: list[Reading]) -> None:
        """Spread a cloud over the whole map and weigh it by the last reading."""
        positions, headings = self._map.draw(count, self._rng)
        cloud.spread(positions, self._biases(headings, motion), extra=self._states(count))
        if readings:
            heading = motion.heading + cloud.heading_bias
            cloud.weigh(self._likelihood.update(cloud.extra, cloud.x, cloud.y, heading, readings[-1].field))

    def _states(self, count: int) -> dict[str, FloatArray]:
        return {_STEP: np.zeros((count, 2)), **self._likelihood.states(count)}

    def _biases(self, headings: FloatArray, motion: Motion) -> FloatArray:
        """Return heading biases for particles at places that were surveyed in these directions of travel."""
        count, known = len(headings), self._calibration
        if motion.heading_known and known.heading_offset_std < _UNKNOWN_HEADING:
            return known.heading_offset + known.heading_offset_std * self._rng.standard_normal(count)
        anywhere = 2 * math.pi * self._rng.random(count)
        return np.where(self._rng.random(count) < _ANYWHERE, anywhere, headings) - motion.heading

    def _advance(self, cloud: Particles, motion: Motion, readings: list[Reading]) -> float:
        """Move and weigh a cloud; return the log-evidence of the readings."""
        x, y = cloud.x, cloud.y
        strain = cloud.predict(motion)
        dx, dy, heading = cloud.x - x, cloud.y - y, motion.heading + cloud.heading_bias
        cloud.extra[_STEP] = np.stack([dx, dy], axis=1)
        total = -self.settings.reliability * strain
        for reading in readings:
            at_x, at_y = x + reading.share * dx, y + reading.share * dy
            total = total + self._likelihood.update(cloud.extra, at_x, at_y, heading, reading.field)
        return cloud.weigh(total)

    def _watch(self, evidence: float, motion: Motion, readings: list[Reading]) -> None:
        """Let a fresh cloud follow the same way; after `distance` the better explanation gains weight."""
        recovery = self.settings.recovery
        if recovery.particles == 0:
            return
        if self._fresh is None:
            self._begin_fresh(motion, readings)
            return
        self._evidence += self._advance(self._fresh, motion, readings) - evidence
        self._way += motion.distance
        self._fresh.resample_if_uneven()
        if self._way >= recovery.distance:
            self._merge()

    def _begin_fresh(self, motion: Motion, readings: list[Reading]) -> None:
        """Start a cloud at the end of a motion, where the map fits its last reading best."""
        recovery = self.settings.recovery
        self._fresh = Particles(self._fresh_settings, self._rng)
        self._scatter(self._fresh, recovery.candidates, motion, readings)
        self._evidence = self._way = 0.0
        self._fresh.resample(recovery.particles)

    def _merge(self) -> None:
        """Add the fresh cloud with its posterior weight, and begin another one at the next motion."""
        fresh, self._fresh = self._fresh, None
        prior = self.settings.recovery.probability
        if fresh is None or prior == 0:
            return
        log_odds = math.log(prior / (1 - prior)) + self._evidence
        weight = 1.0 / (1.0 + math.exp(-min(max(log_odds, -50.0), 50.0)))
        if weight < 1e-3:
            return
        self.recoveries += weight > 0.5
        positions = np.stack([fresh.x, fresh.y], axis=1)
        self.cloud.inject(
            positions, fresh.heading_bias, fresh.step_scale, weight, fresh.extra, log_weights=fresh.log_weights
        )
