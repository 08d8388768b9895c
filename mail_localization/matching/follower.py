"""A particle filter that walks with the target and is weighed by what a network says of single instants.

A network's windows are precise and ambiguous: of two places that look alike, the way walked since tells which it is.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Protocol

import numpy as np
import numpy.typing as npt

from mail_localization.config import Settings, group, setting
from mail_localization.matching.particles import CloudEstimate, Particles, ParticleSettings
from mail_localization.motion.tracker import Motion, MotionCalibration, MotionSettings, MotionTracker
from mail_localization.types import FloatArray, ImuSample, MagneticSample, OdometrySample, Sample

_UNKNOWN_HEADING = 1.0
"""A heading offset that spreads more than this (rad) is not known."""
_SILENCE_NS = 2_000_000_000
"""Without a sample of the motion's sensors for this long, ns, nobody knows where the target has gone since."""
_TAIL = 3.0
"""Degrees of freedom of Student's t around a position: networks err by a metre, and now and then by a corridor."""
_TELLERS = {"imu": ImuSample, "odom": OdometrySample}
"""Streams whose silence leaves the way unknown; without either, the magnetometer's clock tells how long it took."""


class FollowSettings(Settings):
    """How the estimates of single instants are followed along the way walked."""

    use: str = setting(
        "auto",
        "on; off: every instant by itself, as in the paper; auto: on where that errs less on held-out recordings",
        choices=("auto", "on", "off"),
    )
    trust: float = setting(
        0.0, "power of each instant's scores, as windows overlap and err together; 0: chosen on held-out recordings",
        minimum=0.0, maximum=10.0,
    )  # fmt: skip
    doubt: float = setting(
        0.02, "score of a place that a heat map excludes, as a share of a certain one's", minimum=1e-6, maximum=1.0
    )
    lost: float = setting(
        0.005, "share of the particles drawn anew from each instant, so that a lost track is found", minimum=0.0,
        maximum=0.5,
    )  # fmt: skip
    seed: int = setting(0, "of the particles", minimum=0)
    particles: ParticleSettings = group(ParticleSettings)
    motion: MotionSettings = group(MotionSettings)


class Scores(Protocol):
    """What one instant's measurements say of places, before the way there is looked at."""

    def log_score(self, x: FloatArray, y: FloatArray, doubt: float) -> FloatArray:
        """Return the log of a score (K,), up to a constant, at places (K,), (K,), m."""

    def draw(self, count: int, rng: np.random.Generator) -> FloatArray:
        """Return places (count, 2) in proportion to their scores, m."""


class PositionScores:
    """Scores around one position: Student's t of a covariance."""

    def __init__(self, position: FloatArray, covariance: FloatArray) -> None:
        self._position, self._covariance = position, covariance

    def log_score(self, x: FloatArray, y: FloatArray, doubt: float) -> FloatArray:
        """Return the log-density (K,), up to a constant; it doubts by its own tails."""
        offset = np.stack([x, y], axis=1) - self._position
        squared = np.einsum("ki,ij,kj->k", offset, np.linalg.inv(self._covariance), offset)
        return np.asarray(-0.5 * (_TAIL + 2) * np.log1p(squared / _TAIL))

    def draw(self, count: int, rng: np.random.Generator) -> FloatArray:
        """Return places (count, 2), m."""
        spread = rng.standard_normal((count, 2)) @ np.linalg.cholesky(self._covariance).T
        return np.asarray(self._position + spread)


class Raster:
    """From probabilities of cells to a score anywhere: Gaussians around the cells' centres, read off a grid."""

    step = 0.5
    """Side of the grid, m."""

    def __init__(self, centres: FloatArray, width: float) -> None:
        from scipy.sparse import csr_matrix
        from scipy.spatial import cKDTree

        self.centres, self.width = centres, width
        reach = 3 * width
        self._low = centres.min(axis=0) - reach
        self._shape = np.ceil((centres.max(axis=0) + reach - self._low) / self.step).astype(np.int64) + 1
        grid = np.stack(np.meshgrid(*(np.arange(n) for n in self._shape), indexing="ij"), axis=-1).reshape(-1, 2)
        near = cKDTree(centres).sparse_distance_matrix(
            cKDTree(self._low + self.step * grid), reach, output_type="coo_matrix"
        )
        weights = np.exp(-0.5 * np.square(near.data / width))
        self._smooth = csr_matrix((weights, (near.col, near.row)), shape=(len(grid), len(centres)))

    def scores(self, probabilities: npt.NDArray[np.floating]) -> RasterScores:
        """Return the scores that probabilities (M,) of the cells give."""
        return RasterScores(self, np.asarray(probabilities, dtype=np.float64))

    def smoothed(self, probabilities: FloatArray) -> FloatArray:
        """Return the grid's scores (G,) for probabilities (M,)."""
        return np.asarray(self._smooth @ probabilities)

    def lookup(self, grid: FloatArray, x: FloatArray, y: FloatArray) -> FloatArray:
        """Return a grid's scores at places (K,), (K,), m; 0 outside."""
        at = np.rint((np.stack([x, y], axis=1) - self._low) / self.step)
        inside = ((at >= 0) & (at < self._shape)).all(axis=1)
        index = np.where(inside[:, None], at, 0).astype(np.int64)
        return np.where(inside, grid[index[:, 0] * self._shape[1] + index[:, 1]], 0.0)


class RasterScores:
    """One heat map's scores."""

    def __init__(self, raster: Raster, probabilities: FloatArray) -> None:
        self._raster, self._probabilities = raster, probabilities

    def log_score(self, x: FloatArray, y: FloatArray, doubt: float) -> FloatArray:
        """Return the log of the smoothed probability (K,)."""
        return np.log(self._raster.lookup(self._raster.smoothed(self._probabilities), x, y) + doubt)

    def draw(self, count: int, rng: np.random.Generator) -> FloatArray:
        """Return places (count, 2), m."""
        share = self._probabilities / self._probabilities.sum()
        cells = self._raster.centres[rng.choice(len(share), count, p=share)]
        return np.asarray(cells + 0.5 * self._raster.width * rng.standard_normal((count, 2)))


class Way:
    """The motions between instants, in the order in which samples tell of them."""

    def __init__(self, settings: MotionSettings, calibration: MotionCalibration) -> None:
        self._tracker = MotionTracker(settings, calibration)
        self.inputs = self._tracker.inputs
        self._tellers = tuple(kind for stream, kind in _TELLERS.items() if stream in self.inputs) or (MagneticSample,)
        self.reset()

    def reset(self) -> None:
        """Forget all samples."""
        self._tracker.reset()
        self._motions: list[Motion] = []
        self._heard_ns: int | None = None
        self._broken = True

    def add(self, sample: Sample) -> None:
        """Feed a sample of any kind."""
        if isinstance(sample, self._tellers):
            self._hear(sample.t_ns)
        self._motions += self._tracker.add(sample)

    def take(self, t_ns: int) -> list[Motion] | None:
        """Return the motions since the last instant; None where the way from there to this one is not known."""
        if self._heard_ns is None or t_ns - self._heard_ns > _SILENCE_NS:
            self._broken = True
        motions = None if self._broken else self._motions
        self._motions, self._broken = [], False
        return motions

    def _hear(self, t_ns: int) -> None:
        if self._heard_ns is not None and not 0 <= t_ns - self._heard_ns <= _SILENCE_NS:
            self._broken = True
        self._heard_ns = t_ns


class Follower:
    """A cloud of particles that follows the way; all randomness comes from the seed, anew at each reset."""

    def __init__(self, settings: FollowSettings, calibration: MotionCalibration) -> None:
        self.settings, self._calibration = settings, calibration
        self.reset()

    def reset(self) -> None:
        """Forget the position."""
        self._rng = np.random.default_rng(self.settings.seed)
        self._cloud = Particles(self.settings.particles, self._rng)
        self._headed = False

    def follow(self, motions: Iterable[Motion] | None, scores: Scores) -> CloudEstimate | None:
        """Move the cloud, weigh it, and return what it says.

        Args:
            motions: since the last instant; None begins anew.
            scores: of this instant.

        Returns:
            None at the beginning, where a single instant knows as much as the cloud.
        """
        cloud, settings = self._cloud, self.settings
        if motions is None or not len(cloud):
            self._begin(scores)
            return None
        for motion in motions:
            if not self._headed:
                cloud.heading_bias, self._headed = self._biases(len(cloud), motion), True
            cloud.predict(motion)
            self._last = motion
        cloud.weigh(settings.trust * scores.log_score(cloud.x, cloud.y, settings.doubt))
        self._renew(scores)
        cloud.resample_if_uneven()
        return cloud.estimate()

    def _begin(self, scores: Scores) -> None:
        count = self.settings.particles.most
        self._cloud.spread(scores.draw(count, self._rng), np.zeros(count))
        self._headed = False

    def _renew(self, scores: Scores) -> None:
        count = round(self.settings.lost * len(self._cloud))
        if count:
            biases = self._biases(count, self._last) if self._headed else np.zeros(count)
            positions = scores.draw(count, self._rng)
            self._cloud.inject(positions, biases, self._cloud.draw_scales(count), self.settings.lost)

    def _biases(self, count: int, motion: Motion) -> FloatArray:
        """Return turns from the motions' frame to `map`, rad."""
        known = self._calibration
        if motion.heading_known and known.heading_offset_std < _UNKNOWN_HEADING:
            return known.heading_offset + known.heading_offset_std * self._rng.standard_normal(count)
        return 2 * math.pi * self._rng.random(count)
