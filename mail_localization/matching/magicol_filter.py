"""The particle filter of Magicol: steps move the cloud, matched magnetic sequences weigh it."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial import KDTree

from mail_localization.config import Settings, setting
from mail_localization.matching.particles import CloudEstimate, Particles, ParticleSettings
from mail_localization.matching.sequences import Found, MagneticMatcher
from mail_localization.types import FloatArray

if TYPE_CHECKING:
    from mail_localization.motion.tracker import Motion, MotionCalibration

NO_HEADING = 1.0
"""From this turn_std on, rad, a motion tells nothing of its direction."""
_NEAR = 4
"""Cells about a particle one of which gives its direction then: where paths cross, each may be taken."""


class EvidenceSettings(Settings):
    """How matches weigh the cloud. Sequences that overlap repeat each other: evidence counts per metre walked."""

    matches: int = setting(64, "matches that weigh the cloud, at most", minimum=1, maximum=10_000)
    ratio: float = setting(6.0, "a match that costs this many times the usual, or the best, tells nothing", minimum=1.5)
    per_metre: float = setting(2.0, "independent readings of the field per metre walked", minimum=0.01, maximum=100.0)
    position_stddev: float = setting(0.7, "spread of the true position about a match, m", minimum=0.05, maximum=20.0)
    course_stddev: float = setting(0.6, "spread of the direction of travel about that of a match, rad", minimum=0.05)
    scale_stddev: float = setting(0.15, "spread of the step scale about that of a match", minimum=0.01, maximum=2.0)
    position_share: float = setting(
        0.6, "weight of one search in the position, so that searches that err alike are not summed up",
        minimum=0.01, maximum=1.0,
    )  # fmt: skip
    corridor: float = setting(1.5, "distance from the surveyed paths that is still walked, m", minimum=0.0)
    lost: float = setting(0.01, "chance per search that the cloud is elsewhere", minimum=0.0, maximum=0.5)
    injected: int = setting(100, "particles set at matches per search, in case it is", minimum=0)
    follow_paths: float = setting(
        0.5, "spread of the direction about that of the paths, where motion has none, rad", minimum=0.0
    )


class MagicolFilter:
    """One direction of the bidirectional particle filter."""

    def __init__(
        self, matcher: MagneticMatcher, evidence: EvidenceSettings, particles: ParticleSettings,
        calibration: MotionCalibration, both_ways: bool, seed: int,
    ) -> None:  # fmt: skip
        self.matcher, self._evidence, self._calibration = matcher, evidence, calibration
        self._both_ways = both_ways
        self._seed = seed
        self._tree = KDTree(matcher.paths.positions)
        self.cloud = Particles(particles, np.random.default_rng(seed))
        self.reset()

    def reset(self) -> None:
        """Forget the target, and draw the same numbers again."""
        self._newest: Motion | None = None
        self.fit = 0.0
        """How well the cloud explained the last sequences: their log-evidence, fading with the way."""
        self._rng = np.random.default_rng(self._seed)
        self.cloud = Particles(self.cloud.settings, self._rng)

    def start_at(self, position: FloatArray, stddev: float, motion: Motion | None) -> None:
        """Spread the cloud about a given position (2,), m."""
        count = self.cloud.settings.most
        places = position + stddev * self._rng.standard_normal((count, 2))
        self.cloud.spread(places, self._biases(self._rng.uniform(-math.pi, math.pi, count), motion, prior=True))

    def move(self, motion: Motion) -> None:
        """Let the particles walk."""
        if not len(self.cloud):
            return
        self._newest = motion
        if motion.turn_std >= NO_HEADING:
            self._follow_paths(motion)
            motion = dataclasses.replace(motion, turn_std=self._evidence.follow_paths)
        self.cloud.predict(motion)

    def weigh(self, sequences: list[FloatArray], motion: Motion, walked: float) -> None:
        """Weigh the cloud by the matches of sequences (n, C), one per scale, `walked` metres after the last ones."""
        candidates = self.matcher.find(sequences, self._evidence.ratio, self._evidence.matches)
        if candidates is None:
            return
        gain = min(walked, len(sequences[0]) * self.matcher.settings.spacing) * self._evidence.per_metre
        if not len(self.cloud):
            self._begin(candidates, gain, motion)
            return
        evidence = self.cloud.weigh(self._log_likelihood(candidates, gain, motion))
        self.fit = self.fit * math.exp(-walked / self.matcher.settings.longest) + evidence
        self._inject(candidates, gain, motion, evidence)
        if len(self.cloud) > self.cloud.settings.most:
            self.cloud.resample(self.cloud.needed())
        else:
            self.cloud.resample_if_uneven()

    def estimate(self, ahead: float = 0.0) -> CloudEstimate | None:
        """Return what the cloud says, carried on by a share of the last motion; None before it began."""
        if not len(self.cloud):
            return None
        if self._newest is None or not ahead:
            return self.cloud.estimate()
        return self.cloud.estimate(carried(self.cloud.heading_bias, self.cloud.step_scale, self._newest, ahead))

    def _log_likelihood(self, found: Found, gain: float, motion: Motion) -> FloatArray:
        """Return (K,): of the best match for each particle, or of none."""
        s, cloud = self._evidence, self.cloud
        dx = cloud.x[:, None] - found.positions[:, 0]
        dy = cloud.y[:, None] - found.positions[:, 1]
        share = s.position_share
        cost = (dx * dx + dy * dy) * (share / s.position_stddev**2) + gain * found.cost
        cost += np.square(cloud.step_scale[:, None] - found.scales) * (share / s.scale_stddev**2)
        if motion.turn_std < NO_HEADING:
            heading = motion.heading + cloud.heading_bias
            # The cosine of the turn between the two, by the addition theorem: K + M cosines instead of K M.
            along = np.stack([np.cos(heading), np.sin(heading)], axis=1)
            turn = along @ np.stack([np.cos(found.courses), np.sin(found.courses)])
            cost += (1.0 - turn) * (2.0 * share / s.course_stddev**2)
        best = np.minimum(cost.min(axis=1), gain * s.ratio)
        distance, _ = self._tree.query(np.stack([cloud.x, cloud.y], axis=1))
        beyond = np.maximum(distance - s.corridor, 0.0)
        return np.asarray(-0.5 * (best + (2.0 * beyond) ** 2))

    def _begin(self, found: Found, gain: float, motion: Motion) -> None:
        count = self.cloud.settings.most
        places, courses, scales = self._drawn(found, gain, count)
        self.cloud.spread(places, self._biases(courses, motion), scales)

    def _inject(self, found: Found, gain: float, motion: Motion, evidence: float) -> None:
        """Add particles at matches, with the weight of the chance that the target is not where the cloud is."""
        s = self._evidence
        if not s.injected or not s.lost:
            return
        elsewhere = np.exp(-0.5 * gain * found.cost).sum() + found.other * math.exp(-0.5 * gain * s.ratio)
        elsewhere *= s.lost / (len(found.cost) + found.other)
        weight = elsewhere / (elsewhere + (1.0 - s.lost) * math.exp(max(evidence, -700.0)))
        places, courses, scales = self._drawn(found, gain, s.injected)
        self.cloud.inject(places, self._biases(courses, motion), scales, float(weight))

    def _drawn(self, found: Found, gain: float, count: int) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Draw positions (count, 2), courses and step scales (count,) from the matches, some from all of the map."""
        paths = self.matcher.paths
        likelihood = np.exp(-0.5 * gain * found.cost)
        unmatched = found.other * math.exp(-0.5 * gain * self._evidence.ratio)
        anywhere = self._rng.random(count) * (likelihood.sum() + unmatched) < unmatched
        chosen = self._rng.choice(len(likelihood), count, p=likelihood / likelihood.sum())
        cells = self._rng.integers(len(paths.positions), size=count)
        places = np.where(anywhere[:, None], paths.positions[cells], found.positions[chosen])
        courses = np.where(anywhere, paths.courses[cells], found.courses[chosen])
        spread = self._evidence.position_stddev * self._rng.standard_normal((count, 2))
        courses = courses + self._evidence.course_stddev * self._rng.standard_normal(count)
        about = np.where(anywhere, 1.0, found.scales[chosen])
        return places + spread, courses, np.maximum(about * self.cloud.draw_scales(count), 0.2)

    def _biases(self, courses: FloatArray, motion: Motion | None, prior: bool = False) -> FloatArray:
        """Return the heading biases of particles that travel in these directions of `map`."""
        calibration = self._calibration
        if motion is not None and motion.heading_known and (prior or calibration.heading_offset_std < 0.3):
            spread = calibration.heading_offset_std * self._rng.standard_normal(len(courses))
            return np.asarray(calibration.heading_offset + spread)
        return courses - (motion.heading if motion is not None else 0.0)

    def _follow_paths(self, motion: Motion) -> None:
        """Turn every particle along a path nearby: forwards, or backwards where it goes so already."""
        points = np.stack([self.cloud.x, self.cloud.y], axis=1)
        _, near = self._tree.query(points, k=min(_NEAR, len(self.matcher.paths.positions)))
        near = near.reshape(len(points), -1)
        taken = self._rng.integers(near.shape[1], size=len(points))
        course = self.matcher.paths.courses[near[np.arange(len(points)), taken]]
        if self._both_ways:
            against = np.cos(self.cloud.heading_bias + motion.heading - course) < 0
            course = course + np.pi * against
        self.cloud.heading_bias = course - motion.heading


def carried(heading_bias: FloatArray, step_scale: FloatArray, motion: Motion, ahead: float) -> FloatArray:
    """Return the way (K, 2), m, of particles that go on by a share of a motion."""
    heading = motion.heading + heading_bias
    distance = ahead * motion.distance * step_scale
    return np.stack([distance * np.cos(heading), distance * np.sin(heading)], axis=1)
