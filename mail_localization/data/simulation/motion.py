"""How people and robots move along a route: path, speed, stops, gait and attitude of what they carry."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mail_localization.config import Settings, setting
from mail_localization.data.simulation import rotations
from mail_localization.data.simulation.noise import SmoothNoise, gaussian_smooth
from mail_localization.types import FloatArray

GRAVITY = np.array([0.0, 0.0, -9.80665])
"""Acceleration of free fall in `map`, m/s^2."""
RATE_HZ = 200.0
"""Rate at which motion is computed; the sensors sample it."""


class MotionSettings(Settings):
    """How a path is followed."""

    corner: float = setting(0.35, "rounding of corners, standard deviation along the path, m", minimum=0.1, maximum=0.5)
    lateral: float = setting(0.12, "standard deviation of the offset from the route, m", minimum=0.0, maximum=0.5)
    lateral_limit: float = setting(0.3, "largest offset from the route, m", minimum=0.01, maximum=0.35)
    lateral_scale: float = setting(4.0, "distance over which the offset changes, m", minimum=1.0)
    speed_variation: float = setting(0.05, "relative standard deviation of the speed", minimum=0.0, maximum=0.2)
    speed_scale: float = setting(6.0, "distance over which the speed changes, m", minimum=1.0)
    turn_slowing: float = setting(0.3, "speed in a bend is divided by 1 + this times the curvature, m", minimum=0.0)
    stops: int = setting(1, "short stops on the way", minimum=0, maximum=20)
    stop_duration: float = setting(2.0, "mean time of standing at a stop, s", minimum=0.0, maximum=60.0)
    ramp: float = setting(0.8, "time to come to rest or to set off, s", minimum=0.2, maximum=5.0)
    pause: float = setting(1.5, "time of standing at the start and at the end, s", minimum=0.0, maximum=60.0)
    step_hz: float = setting(1.9, "steps a second at 1.3 m/s", minimum=0.5, maximum=4.0)
    bounce: float = setting(0.018, "amplitude of the vertical motion at 1.3 m/s, m; 0 for wheels", minimum=0.0)
    surge: float = setting(0.006, "amplitude of the forward motion at 1.3 m/s, m", minimum=0.0)
    sway: float = setting(0.012, "amplitude of the sideways motion at 1.3 m/s, m", minimum=0.0)


class WheelSettings(MotionSettings):
    """How a wheeled robot follows a path: closely, steadily, without steps."""

    lateral: float = setting(0.03, "standard deviation of the offset from the route, m", minimum=0.0, maximum=0.5)
    speed_variation: float = setting(0.02, "relative standard deviation of the speed", minimum=0.0, maximum=0.2)
    turn_slowing: float = setting(0.5, "speed in a bend is divided by 1 + this times the curvature, m", minimum=0.0)
    bounce: float = setting(0.0, "amplitude of the vertical motion at 1.3 m/s, m; 0 for wheels", minimum=0.0)
    surge: float = setting(0.0, "amplitude of the forward motion at 1.3 m/s, m", minimum=0.0)
    sway: float = setting(0.0, "amplitude of the sideways motion at 1.3 m/s, m", minimum=0.0)


@dataclass(frozen=True)
class Trajectory:
    """True planar motion of the carrier on a uniform clock, frame `map`."""

    t: FloatArray
    """(n,) s from the start."""
    position: FloatArray
    """(n, 2) m."""
    heading: FloatArray
    """(n,) unwrapped, counter-clockwise from x, rad."""
    speed: FloatArray
    """(n,) m/s."""
    phase: FloatArray
    """(n,) phase of the gait, rad; one step is 2 pi."""

    def position_at(self, t: FloatArray) -> FloatArray:
        """Return (m, 2) at times `t` (m,)."""
        return np.stack([np.interp(t, self.t, axis) for axis in self.position.T], axis=1)


def follow(route: FloatArray, speed: float, settings: MotionSettings, rng: np.random.Generator) -> Trajectory:
    """Follow the corners (K, 2) of a route at about `speed` m/s on straights.

    A little smoothing in time makes the path's second derivative, which the accelerometer sees, finite.
    """
    s, path = _path(route, settings, rng)
    tangent = np.gradient(path, s, axis=0)
    course = np.unwrap(np.arctan2(tangent[:, 1], tangent[:, 0]))
    curvature = np.abs(np.gradient(course, s))
    pace = speed * (1.0 + SmoothNoise(rng, settings.speed_variation, settings.speed_scale)(s))
    pace /= 1.0 + settings.turn_slowing * curvature
    moving = np.concatenate([[0.0], np.cumsum(np.diff(s) / ((pace[1:] + pace[:-1]) / 2.0))])
    t, elapsed = _with_stops(float(moving[-1]), settings, rng)
    along = np.interp(elapsed, moving, s)
    sigma = 0.05 * RATE_HZ
    position = gaussian_smooth(np.stack([np.interp(along, s, axis) for axis in path.T], axis=1), sigma)
    heading = gaussian_smooth(np.interp(along, s, course), sigma)
    velocity = np.gradient(position, t, axis=0)
    now = np.linalg.norm(velocity, axis=1)
    # Step frequency grows with the root of the speed, step length likewise (Grieve and Gear 1966).
    steps = settings.step_hz * np.sqrt(now / 1.3)
    return Trajectory(t, position, heading, now, 2.0 * np.pi * np.cumsum(steps) / RATE_HZ)


def body_displacement(trajectory: Trajectory, settings: MotionSettings) -> FloatArray:
    """Return the gait's displacement (n, 3) in the body frame (forward, left, up), m.

    Up and forward swing once a step, sideways once a stride; a second harmonic stands for the heel strike.
    """
    size, phase = trajectory.speed / 1.3, trajectory.phase
    up = settings.bounce * (np.cos(phase) + 0.1 * np.cos(2.0 * phase + 0.7))
    forward = settings.surge * np.sin(phase)
    left = settings.sway * np.sin(phase / 2.0)
    return size[:, None] * np.stack([forward, left, up], axis=1)


def sensor_position(trajectory: Trajectory, arm: FloatArray, settings: MotionSettings) -> FloatArray:
    """Return (n, 3) of a sensor at `arm` (3,) (forward, left, up from the floor) in `map`, m."""
    ground = np.insert(trajectory.position, 2, 0.0, axis=1)
    in_body = arm + body_displacement(trajectory, settings)
    return ground + rotations.rotate(rotations.about_axis(2, trajectory.heading), in_body)


def specific_force(position: FloatArray, world_t_sensor: FloatArray) -> FloatArray:
    """Return what an ideal accelerometer reads along a path (n, 3), m/s^2: R^T (a - g), +9.8 upwards at rest."""
    velocity = np.gradient(position, 1.0 / RATE_HZ, axis=0)
    acceleration = np.gradient(velocity, 1.0 / RATE_HZ, axis=0)
    return rotations.rotate(rotations.conjugate(world_t_sensor), acceleration - GRAVITY)


def _path(route: FloatArray, settings: MotionSettings, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Return arc lengths (m,) and points (m, 2) of the rounded route with its smooth lateral offset."""
    legs = np.linalg.norm(np.diff(route, axis=0), axis=1)
    corners = np.concatenate([[0.0], np.cumsum(legs)])
    step = 0.02
    s = np.arange(0.0, corners[-1], step)
    line = np.stack([np.interp(s, corners, axis) for axis in route.T], axis=1)
    smooth = gaussian_smooth(line, settings.corner / step)
    tangent = np.gradient(smooth, step, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    offset = SmoothNoise(rng, settings.lateral, settings.lateral_scale)(s)
    offset = settings.lateral_limit * np.tanh(offset / settings.lateral_limit)
    path = smooth + offset[:, None] * np.stack([-tangent[:, 1], tangent[:, 0]], axis=1)
    length = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(path, axis=0), axis=1))])
    return length, path


def _with_stops(moving: float, settings: MotionSettings, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Return the clock t (n,) and the moving time (n,) at each instant: it stands still at start, stops and end."""
    ramp = settings.ramp
    # Each stop sits in its own stretch of the way, clear of the ends.
    share = (np.arange(settings.stops) + rng.uniform(0.2, 0.8, settings.stops)) / max(settings.stops, 1)
    standing = settings.stop_duration * rng.uniform(0.6, 1.4, settings.stops)
    lost = standing + ramp  # two half ramps
    begin = settings.pause + ramp / 2.0 + share * moving + np.concatenate([[0.0], np.cumsum(lost)[:-1]])[: len(lost)]
    total = moving + 2.0 * settings.pause + ramp + float(lost.sum())
    t = np.arange(0.0, total, 1.0 / RATE_HZ)
    pace = _smooth_step((t - settings.pause) / ramp) * _smooth_step((total - settings.pause - t) / ramp)
    for start, duration in zip(begin, standing, strict=True):
        rest = _smooth_step((t - start) / ramp) * _smooth_step((start + duration + 2.0 * ramp - t) / ramp)
        pace = pace * (1.0 - rest)
    elapsed = np.concatenate([[0.0], np.cumsum((pace[1:] + pace[:-1]) / (2.0 * RATE_HZ))])
    return t, np.minimum(elapsed, moving)


def _smooth_step(x: FloatArray) -> FloatArray:
    """Return 0 below 0, 1 above 1, and 3x^2 - 2x^3 between."""
    clipped = np.clip(x, 0.0, 1.0)
    return np.asarray(clipped * clipped * (3.0 - 2.0 * clipped))
