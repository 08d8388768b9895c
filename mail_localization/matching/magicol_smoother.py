"""The second direction of the bidirectional particle filter: from the end of a recording to its beginning.

Backwards, a path is walked from its end and a sequence covers what comes after the instant. Past and future share
no reading, so the product of the two densities is the posterior of both (two-filter smoothing).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from mail_localization.matching.magicol_filter import MagicolFilter, carried
from mail_localization.matching.particles import CloudEstimate, Particles, ParticleSettings, systematic
from mail_localization.matching.walk import Event, Way
from mail_localization.motion.tracker import Motion
from mail_localization.types import FloatArray

_KEPT = 400
"""Particles kept of each cloud."""
_BANDWIDTH = 0.7
"""Of the kernels by which one cloud weighs the other, m."""


@dataclass(frozen=True, slots=True, eq=False)
class _Instant:
    event: Event
    way: Way
    end: float
    forward: _View


@dataclass(frozen=True, slots=True, eq=False)
class _View:
    """What one filter knows at an instant."""

    points: FloatArray
    """(K, 4) equal particles: x, y, heading bias, step scale; none where it knows nothing."""
    fit: float
    """How well they explained the last sequences."""


class Run:
    """An unbroken part of a recording as the forward filter saw it."""

    def __init__(self) -> None:
        self.instants: list[_Instant] = []

    def append(self, event: Event, way: Way, forward: MagicolFilter) -> None:
        """Note where the forward filter stands after an event."""
        self.instants.append(_Instant(event, way, way.end, _view(forward)))


def smoothed(run: Run, backward: MagicolFilter) -> Iterator[tuple[int, CloudEstimate]]:
    """Yield stamp and combined cloud for each instant of a run, in order."""
    later = _backward(run, backward)
    newest = 0
    motion: Motion | None = None
    for instant, future in zip(run.instants, later, strict=True):
        motion = instant.event.motion or motion
        both = _combined(instant.forward, future, backward.cloud.settings)
        newest = max(newest, instant.event.t_ns)
        if both is None:
            continue
        ahead = instant.event.ahead
        shift = None if motion is None else carried(both.heading_bias, both.step_scale, motion, ahead)
        yield newest, both.estimate(shift)


def _backward(run: Run, backward: MagicolFilter) -> list[_View]:
    """Return what the backward filter knows at each instant of the run."""
    backward.reset()
    views: list[_View] = []
    searched: float | None = None
    headed: Motion | None = None
    for instant in reversed(run.instants):
        motion = instant.event.motion
        if motion is not None:
            headed = dataclasses.replace(motion, heading=motion.heading + math.pi)
            ahead = instant.way.end - instant.end
            walked = ahead if searched is None else searched - instant.end
            sequences = backward.matcher.sequences(instant.way, instant.end, backwards=True)
            if sequences and walked >= backward.matcher.settings.interval:
                searched = instant.end
                backward.weigh(sequences, headed, walked)
        views.append(_view(backward))
        if motion is not None and headed is not None:
            backward.move(headed)
    return views[::-1]


def _view(side: MagicolFilter) -> _View:
    cloud = side.cloud
    if not len(cloud):
        return _View(np.empty((0, 4)), 0.0)
    chosen = systematic(cloud.weights, _KEPT, 0.5)
    states = (cloud.x, cloud.y, cloud.heading_bias, cloud.step_scale)
    return _View(np.stack([state[chosen] for state in states], axis=1), side.fit)


def _combined(past: _View, future: _View, settings: ParticleSettings) -> Particles | None:
    """Weigh the particles of each filter by the density of the other's; where they disagree, the better fit counts."""
    cloud = Particles(settings, np.random.default_rng(0))
    points = np.concatenate([past.points, future.points])
    if not len(points):
        return None
    cloud.spread(points[:, :2], points[:, 2], points[:, 3])
    if len(past.points) and len(future.points):
        forth, back = _log_density(past.points, future.points), _log_density(future.points, past.points)
        cloud.weigh(np.concatenate([forth + past.fit, back + future.fit]))
    return cloud


def _log_density(points: FloatArray, others: FloatArray) -> FloatArray:
    """Return the log of the kernel density of `others` at points (K, 4) -> (K,), floored far away."""
    dx = points[:, None, 0] - others[:, 0]
    dy = points[:, None, 1] - others[:, 1]
    kernels = np.exp(-0.5 * (dx * dx + dy * dy) / _BANDWIDTH**2)
    return np.asarray(np.log(kernels.mean(axis=1) + 1e-6))
