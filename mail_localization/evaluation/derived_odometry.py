"""Odometry as a robot would have measured it on the way that the reference shows, where a recording has none."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator

import numpy as np

from mail_localization.data.reference import Reference
from mail_localization.motion.planar import rotation, wrapped
from mail_localization.motion.pose_filter import DriftSettings
from mail_localization.types import FloatArray, OdometrySample, Sample

RATE_HZ = 20.0
STRAIGHT = 0.5
"""The base turns from one direction to the next on so much way to either side, m."""
SCALE_STDDEV = 0.02
"""Of the error of the wheels' radius, share."""


def derived_odometry(reference: Reference, drift: DriftSettings, seed: int = 0) -> list[OdometrySample]:
    """Return odometry poses from the reference's start to its end, drifting as `drift` says.

    The frame starts at the base, looking along it, as wheel odometry does: where that lies in the map is not told.
    Beside the random walks of `drift` there is an error of scale, which no filter's random walk describes.
    """
    rng = np.random.default_rng(seed)
    t_ns = np.arange(reference.start_ns, reference.end_ns + 1, round(1e9 / RATE_HZ), dtype=np.int64)
    position = reference.at(t_ns)
    way = _ways(position)
    yaw = _courses(way, position)
    length = np.diff(way)
    turned = np.abs(np.diff(yaw))
    heading_walk = rng.normal(size=len(length)) * np.sqrt(drift.heading**2 * length + drift.turn**2 * turned)
    error = np.concatenate([[0.0], heading_walk.cumsum()]) - yaw[0]
    step = np.diff(position, axis=0) * (1.0 + SCALE_STDDEV * rng.normal())
    cosine, sine = np.cos(error[:-1]), np.sin(error[:-1])
    noise = rng.normal(size=(len(length), 2)) * drift.distance * np.sqrt(length)[:, None]
    steps = np.stack([cosine * step[:, 0] - sine * step[:, 1], sine * step[:, 0] + cosine * step[:, 1]], axis=1) + noise
    x, y = np.vstack([np.zeros(2), steps.cumsum(axis=0)]).T
    values = zip(t_ns.tolist(), x.tolist(), y.tolist(), (yaw + error).tolist(), strict=True)
    return [OdometrySample(t, a, b, wrapped(turn)) for t, a, b, turn in values]


def laid_at_start(odometry: list[OdometrySample], reference: Reference) -> FloatArray:
    """Return the map positions (n, 2) of derived odometry that is told where it starts, and how turned."""
    t_ns = np.array([pose.t_ns for pose in odometry], dtype=np.int64)
    true = reference.at(t_ns)
    turn = float(_courses(_ways(true), true)[0])
    return np.asarray(true[0] + np.array([(pose.x, pose.y) for pose in odometry]) @ rotation(turn).T)


def with_odometry(samples: Iterable[Sample], odometry: Iterable[OdometrySample]) -> Iterator[Sample]:
    """Yield samples and odometry in the order of their stamps."""
    return heapq.merge(odometry, samples, key=lambda sample: sample.t_ns)


def _ways(position: FloatArray) -> FloatArray:
    """Return the way from the start (n,) along positions (n, 2), m."""
    return np.concatenate([[0.0], np.linalg.norm(np.diff(position, axis=0), axis=1).cumsum()])


def _courses(way: FloatArray, position: FloatArray) -> FloatArray:
    """Return the direction of travel (n,), unwrapped, rad: across the next bit of way, so that no turn is a jump."""
    here = np.arange(len(way))
    ahead = np.searchsorted(way, way + STRAIGHT).clip(max=len(way) - 1)
    behind = (np.searchsorted(way, way - STRAIGHT, side="right") - 1).clip(min=0)
    chord = position[np.maximum(ahead, here)] - position[behind]
    return np.unwrap(np.arctan2(chord[:, 1], chord[:, 0]))
