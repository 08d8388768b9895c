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

from mail_localization.matching.magicol_filter import MagicolFilter
from mail_localization.matching.particles import CloudEstimate, Particles, systematic
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
    points: FloatArray
    """(K, 4) equal particles x, y, heading bias, step scale of the forward filter."""


class Run:
    """An unbroken part of a recording as the forward filter saw it."""

    def __init__(self) -> None:
        self.instants: list[_Instant] = []

    def append(self, event: Event, way: Way, cloud: Particles) -> None:
        """Note where the forward filter stands after an event."""
        self.instants.append(_Instant(event, way, way.end, _sample(cloud)))


def smoothed(run: Run, backward: MagicolFilter) -> Iterator[tuple[int, CloudEstimate]]:
    """Yield stamp and combined cloud for each instant of a run, in order."""
    later = _backward(run, backward)
    newest = 0
    for instant, points in zip(run.instants, later, strict=True):
        both = _combined(instant.points, points, backward.cloud)
        newest = max(newest, instant.event.t_ns)
        if both is not None:
            yield newest, both


def _backward(run: Run, backward: MagicolFilter) -> list[FloatArray]:
    """Return the backward filter's particles (K, 4) at each instant of the run."""
    backward.reset()
    clouds: list[FloatArray] = []
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
        clouds.append(_sample(backward.cloud))
        if motion is not None and headed is not None:
            backward.move(headed)
    return clouds[::-1]


def _sample(cloud: Particles) -> FloatArray:
    if not len(cloud):
        return np.empty((0, 4))
    chosen = systematic(cloud.weights, _KEPT, 0.5)
    states = (cloud.x, cloud.y, cloud.heading_bias, cloud.step_scale)
    return np.stack([state[chosen] for state in states], axis=1)


def _combined(past: FloatArray, future: FloatArray, like: Particles) -> CloudEstimate | None:
    """Weigh the particles of each filter by the density of the other's."""
    if not len(past) and not len(future):
        return None
    cloud = Particles(like.settings, np.random.default_rng(0))
    if not len(past) or not len(future):
        points = past if len(past) else future
        cloud.spread(points[:, :2], points[:, 2], points[:, 3])
        return cloud.estimate()
    points = np.concatenate([past, future])
    cloud.spread(points[:, :2], points[:, 2], points[:, 3])
    cloud.weigh(np.concatenate([_log_density(past, future), _log_density(future, past)]))
    return cloud.estimate()


def _log_density(points: FloatArray, others: FloatArray) -> FloatArray:
    """Return the log of the kernel density of `others` at points (K, 4) -> (K,), floored far away."""
    dx = points[:, None, 0] - others[:, 0]
    dy = points[:, None, 1] - others[:, 1]
    kernels = np.exp(-0.5 * (dx * dx + dy * dy) / _BANDWIDTH**2)
    return np.asarray(np.log(kernels.mean(axis=1) + 1e-6))
