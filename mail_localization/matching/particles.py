"""A weighted cloud of particles that walk with a step and heading model, all arrays and no loops.

Each particle carries, beside its position, what turns a Motion into its own displacement: the turn from the motion
source's frame to `map` and the scale of its steps (the augmented state of MaLoc, Xie et al., IEEE TMC 2016).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from mail_localization.config import Settings, setting
from mail_localization.errors import ConfigError
from mail_localization.types import FloatArray, Mode

if TYPE_CHECKING:
    from mail_localization.motion.tracker import Motion

MIN_VARIANCE = 0.05**2
"""Floor of a cloud's variance along any axis, m^2: a collapsed cloud is no better than the marks it was built on."""

Indices = npt.NDArray[np.int64]


class ParticleSettings(Settings):
    """How many particles there are and how they spread."""

    most: int = setting(2000, "most particles", minimum=10, maximum=1_000_000)
    fewest: int = setting(500, "fewest particles, however narrow the cloud", minimum=2)
    resample_below: float = setting(
        0.5, "effective share of the particles below which they are drawn anew", minimum=0.0, maximum=1.0
    )
    kld_error: float = setting(0.05, "bound of the Kullback-Leibler distance (Fox 2003)", minimum=1e-4, maximum=1.0)
    kld_quantile: float = setting(2.33, "normal quantile of that bound's confidence; 2.33 = 99 %", minimum=0.0)
    kld_bin: float = setting(0.5, "side of the bins counted for it, m", minimum=0.01)
    heading_bin: float = setting(0.35, "width of their heading, rad", minimum=0.01)
    heading_noise: float = setting(0.05, "noise of each motion's heading, rad", minimum=0.0)
    heading_drift: float = setting(0.02, "drift of the heading's bias, rad per square root of m walked", minimum=0.0)
    blind_turns: float = setting(
        0.3, "share of the particles that turn anywhere on each m where the source tells no heading; the others go on",
        minimum=0.0, maximum=1.0,
    )  # fmt: skip
    scale_spread: float = setting(0.1, "standard deviation of the step scale at the start", minimum=0.0, maximum=0.5)
    scale_drift: float = setting(0.01, "drift of the step scale per square root of m walked", minimum=0.0)
    position_noise: float = setting(0.05, "noise of the position, m per square root of m walked", minimum=0.0)
    mode_radius: float = setting(3.0, "particles this near to a peak belong to its mode, m", minimum=0.1)
    mode_weight: float = setting(0.05, "least weight of a mode", minimum=0.001, maximum=1.0)

    def check(self) -> None:
        """Refuse bounds that leave no number between them."""
        if self.fewest > self.most:
            raise ConfigError(f"fewest {self.fewest} is above most {self.most}")


@dataclass(frozen=True, slots=True, eq=False)
class CloudEstimate:
    """What a cloud says of the position."""

    mean: FloatArray
    """(2,), m."""
    covariance: FloatArray
    """(2, 2), m^2, positive definite."""
    modes: tuple[Mode, ...]
    """Heaviest first; at least one."""

    @property
    def covariance_about_mode(self) -> FloatArray:
        """Second moment (2, 2) of the whole cloud about the heaviest mode's mean, m^2."""
        off = self.modes[0].mean - self.mean
        return self.covariance + np.outer(off, off)


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """A cloud at one instant, for smoothing backwards."""

    t_ns: int
    motion: Motion | None
    """The motion that led to it from the snapshot before; None for the first."""
    x: FloatArray
    y: FloatArray
    heading_bias: FloatArray
    step_scale: FloatArray
    log_weights: FloatArray


class Particles:
    """The cloud; every draw comes from the generator handed in."""

    def __init__(self, settings: ParticleSettings, rng: np.random.Generator) -> None:
        self.settings = settings
        self._rng = rng
        self.clear()

    def clear(self) -> None:
        """Remove all particles."""
        self.x, self.y = np.empty(0), np.empty(0)
        self.heading_bias, self.step_scale = np.empty(0), np.empty(0)
        self.log_weights = np.empty(0)
        """(K,), normalised: their exponentials sum to 1."""
        self.extra: dict[str, FloatArray] = {}
        """Further states of the owner, (K, ...): drawn and injected together with the particles."""

    def __len__(self) -> int:
        return len(self.x)

    @property
    def weights(self) -> FloatArray:
        """(K,) of sum 1."""
        return np.exp(self.log_weights)

    @property
    def effective_size(self) -> float:
        """The number of equal particles that would say as much: 1 / sum of squared weights."""
        return float(1.0 / np.square(self.weights).sum())

    def spread(
        self, positions: FloatArray, heading_bias: FloatArray, step_scale: FloatArray | None = None,
        extra: Mapping[str, FloatArray] | None = None,
    ) -> None:  # fmt: skip
        """Replace the cloud by equal particles at positions (K, 2), m, with heading biases (K,), rad."""
        count = len(positions)
        self.x, self.y = positions[:, 0].copy(), positions[:, 1].copy()
        self.heading_bias = np.array(heading_bias, dtype=np.float64)
        self.step_scale = self.draw_scales(count) if step_scale is None else np.array(step_scale, dtype=np.float64)
        self.log_weights = np.full(count, -math.log(count))
        self.extra = {name: np.array(values) for name, values in (extra or {}).items()}

    def draw_scales(self, count: int) -> FloatArray:
        """Return step scales (count,) as at the start."""
        scales = 1.0 + self.settings.scale_spread * self._rng.standard_normal(count)
        return np.maximum(scales, 0.2)

    def predict(self, motion: Motion) -> FloatArray:
        """Move every particle by its own version of a motion; return how far its draws lie from the middle.

        That is half the sum of their squares (K,): the less, the more reliable the particle's own motion.
        """
        s, count = self.settings, len(self)
        noise = self._rng.standard_normal((6, count))
        walked = math.sqrt(max(motion.distance, 0.0))
        self.heading_bias = self.heading_bias + self._turns(motion, walked) * noise[0]
        self.step_scale = np.maximum(self.step_scale + s.scale_drift * walked * noise[1], 0.2)
        distance = np.maximum(motion.distance * self.step_scale + motion.distance_std * noise[2], 0.0)
        heading = motion.heading + self.heading_bias + s.heading_noise * noise[3]
        self.x = self.x + distance * np.cos(heading) + s.position_noise * walked * noise[4]
        self.y = self.y + distance * np.sin(heading) + s.position_noise * walked * noise[5]
        return np.asarray(0.5 * (noise[2] ** 2 + noise[3] ** 2))

    def _turns(self, motion: Motion, walked: float) -> FloatArray | float:
        """Return the standard deviation of the heading bias's change, rad."""
        drift = self.settings.heading_drift * walked
        if motion.turn_std <= 1.0:
            return math.hypot(drift, motion.turn_std)
        # People and robots mostly go straight on: a normal turn at every piece would be a walk of a drunkard.
        share = 1.0 - (1.0 - self.settings.blind_turns) ** max(motion.distance, 0.0)
        turning = self._rng.random(len(self)) < share
        return np.where(turning, motion.turn_std, math.hypot(drift, 0.1))

    def weigh(self, log_likelihood: FloatArray) -> float:
        """Multiply the weights by likelihoods exp(K,) and return the log of their mean before, the evidence."""
        log_weights = self.log_weights + log_likelihood
        peak = float(log_weights.max())
        evidence = peak + math.log(float(np.exp(log_weights - peak).sum()))
        self.log_weights = log_weights - evidence
        return evidence

    def resample(self, count: int) -> Indices:
        """Draw `count` equal particles by systematic resampling; return which they were."""
        chosen = systematic(self.weights, count, float(self._rng.random()))
        self._keep(chosen)
        self.log_weights = np.full(count, -math.log(count))
        return chosen

    def resample_if_uneven(self) -> bool:
        """Resample, to the number that KLD sampling asks for, where too few particles carry the weight."""
        if self.effective_size >= self.settings.resample_below * len(self):
            return False
        self.resample(self.needed())
        return True

    def needed(self) -> int:
        """Return the number of particles that KLD sampling asks for (Fox, IJRR 2003, equation 7)."""
        s = self.settings
        # The cells of the particles that a resampling would keep.
        kept = systematic(self.weights, len(self), 0.5)
        cells = np.stack([
            np.floor(self.x[kept] / s.kld_bin),
            np.floor(self.y[kept] / s.kld_bin),
            np.floor(np.mod(self.heading_bias[kept], 2 * math.pi) / s.heading_bin),
        ]).astype(np.int64)  # fmt: skip
        # One number per cell: unique over numbers is many times faster than over rows.
        codes = (cells[0] & 0xFFFFF) << 40 | (cells[1] & 0xFFFFF) << 20 | cells[2]
        occupied = len(np.unique(codes))
        if occupied < 2:
            return s.fewest
        part = 2.0 / (9.0 * (occupied - 1))
        bound = (occupied - 1) / (2 * s.kld_error) * (1 - part + math.sqrt(part) * s.kld_quantile) ** 3
        return max(s.fewest, min(s.most, math.ceil(bound)))

    def inject(
        self, positions: FloatArray, heading_bias: FloatArray, step_scale: FloatArray, weight: float,
        extra: Mapping[str, FloatArray] | None = None, log_weights: FloatArray | None = None,
    ) -> None:  # fmt: skip
        """Add particles that together weigh `weight` (0 to 1), shared out by `log_weights` (M,) or equally."""
        count = len(positions)
        share = np.full(count, -math.log(count)) if log_weights is None else log_weights - _log_sum(log_weights)
        self.x = np.concatenate([self.x, positions[:, 0]])
        self.y = np.concatenate([self.y, positions[:, 1]])
        self.heading_bias = np.concatenate([self.heading_bias, heading_bias])
        self.step_scale = np.concatenate([self.step_scale, step_scale])
        weight = min(max(weight, 1e-12), 1 - 1e-12)
        self.log_weights = np.concatenate([self.log_weights + math.log1p(-weight), share + math.log(weight)])
        for name in self.extra:
            self.extra[name] = np.concatenate([self.extra[name], (extra or {})[name]])

    def estimate(self, shift: FloatArray | None = None) -> CloudEstimate:
        """Return mean, covariance and modes of the particles, each moved by its `shift` (K, 2), m."""
        x, y, weights = self.x, self.y, self.weights
        if shift is not None:
            x, y = x + shift[:, 0], y + shift[:, 1]
        mean, covariance = _moments(x, y, weights)
        return CloudEstimate(mean, covariance, self._modes(x, y, weights))

    def log_density(self, xy: FloatArray, bandwidth: float, floor: float = 1e-6) -> FloatArray:
        """Return the log of a kernel density (1/m^2) at xy (M, 2) -> (M,); `floor` keeps it finite far away."""
        # 256 particles in proportion to their weights say as much as all of them.
        chosen = systematic(self.weights, 256, 0.5)
        dx = xy[:, None, 0] - self.x[chosen]
        dy = xy[:, None, 1] - self.y[chosen]
        kernels = np.exp(-0.5 * (dx * dx + dy * dy) / bandwidth**2)
        return np.asarray(np.log(kernels.mean(axis=1) / (2 * math.pi * bandwidth**2) + floor))

    def snapshot(self, t_ns: int, motion: Motion | None) -> Snapshot:
        """Return a copy of the cloud for smoothing."""
        states = (self.x, self.y, self.heading_bias, self.step_scale, self.log_weights)
        return Snapshot(t_ns, motion, *(state.copy() for state in states))

    def _keep(self, chosen: Indices) -> None:
        self.x, self.y = self.x[chosen], self.y[chosen]
        self.heading_bias, self.step_scale = self.heading_bias[chosen], self.step_scale[chosen]
        self.extra = {name: values[chosen] for name, values in self.extra.items()}

    def _modes(self, x: FloatArray, y: FloatArray, weights: FloatArray) -> tuple[Mode, ...]:
        """Take peaks one after the other: the heaviest cell, then all that lies around its centre."""
        s = self.settings
        left = weights.copy()
        columns, rows = (np.floor(values / s.mode_radius).astype(np.int64) & 0xFFFFFF for values in (x, y))
        _, cell_of = np.unique(columns << 24 | rows, return_inverse=True)
        modes: list[Mode] = []
        while len(modes) < 8 and left.sum() > s.mode_weight:
            heaviest = int(np.bincount(cell_of, left).argmax())
            inside = left * (cell_of == heaviest)
            for _ in range(3):
                total = inside.sum()
                near = np.square(x - inside @ x / total) + np.square(y - inside @ y / total) <= s.mode_radius**2
                inside = left * near
                if not inside.any():
                    break
            weight = float(inside.sum())
            if weight < s.mode_weight:
                break
            modes.append(Mode(weight, *_moments(x, y, inside)))
            left[inside > 0] = 0.0
        if not modes:
            modes = [Mode(1.0, *_moments(x, y, weights))]
        return tuple(sorted(modes, key=lambda mode: -mode.weight))


def systematic(weights: FloatArray, count: int, offset: float) -> Indices:
    """Return `count` indices in proportion to weights (K,), evenly spaced from `offset` (0 to 1)."""
    total = np.cumsum(weights)
    at = (np.arange(count) + offset) * (total[-1] / count)
    chosen: Indices = np.minimum(np.searchsorted(total, at, side="right"), len(weights) - 1).astype(np.int64)
    return chosen


def _moments(x: FloatArray, y: FloatArray, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the mean (2,) and the floored covariance (2, 2) of points at x and y (K,)."""
    share = weights / weights.sum()
    mean = np.array([share @ x, share @ y])
    dx, dy = x - mean[0], y - mean[1]
    along, across = share * dx, share * dy
    xy = along @ dy
    return mean, np.array([[along @ dx + MIN_VARIANCE, xy], [xy, across @ dy + MIN_VARIANCE]])


def _log_sum(values: FloatArray) -> float:
    peak = float(values.max())
    return peak + math.log(float(np.exp(values - peak).sum()))
