"""Walks for tests of motion: a phone held flat, bouncing twice a second, along straight legs."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path

import numpy as np
from surveys import SECOND_NS, START_NS, field_at

from mail_localization.data.recording import RecordingInfo, write_recording
from mail_localization.types import ImuSample, MagneticSample, OdometrySample, ReferencePose, Sample

G = 9.80665
STEP_HZ = 2.0
BOUNCE = 2.0
"""Amplitude of the vertical acceleration, m/s^2."""

Corners = tuple[tuple[float, float], ...]
SQUARE: Corners = ((0.0, 0.0), (12.0, 0.0), (12.0, 12.0), (0.0, 12.0))


def place_at(corners: Corners, way: float) -> tuple[float, float, float]:
    """Return x, y and course after some way along the legs."""
    for (x0, y0), (x1, y1) in pairwise(corners):
        length = math.hypot(x1 - x0, y1 - y0)
        if way <= length + 1e-9:
            break
        way -= length
    part = min(way / length, 1.0)
    return x0 + part * (x1 - x0), y0 + part * (y1 - y0), math.atan2(y1 - y0, x1 - x0)


def length_of(corners: Corners) -> float:
    """Return the length of the legs, m."""
    return sum(math.dist(a, b) for a, b in pairwise(corners))


def walk(
    corners: Corners = SQUARE,
    speed: float = 1.2,
    rate_hz: float = 50.0,
    *,
    attitude: bool = True,
    gravity: bool = True,
    mounting: float = 0.4,
    stand: float = 4.0,
    start_ns: int = START_NS,
    seed: int = 0,
) -> list[Sample | ReferencePose]:
    """Stand, walk the legs, stand; a reference every half second while walking.

    Args:
        corners: ends of the legs, m.
        speed: m/s, two steps a second.
        rate_hz: of IMU and magnetometer.
        attitude: give the samples an orientation.
        gravity: leave it in the acceleration.
        mounting: yaw of the phone less the course, rad.
        stand: duration of standing before and after, s.
        start_ns: stamp of the first sample.
        seed: of the noise.
    """
    rng = np.random.default_rng(seed)
    moving = length_of(corners) / speed
    samples: list[Sample | ReferencePose] = []
    yaw, dt = place_at(corners, 0.0)[2] + mounting, 1.0 / rate_hz
    for k in range(round((moving + 2 * stand) * rate_hz)):
        t_ns, seconds = start_ns + round(k * 1e9 / rate_hz), k * dt - stand
        walking = 0.0 <= seconds <= moving
        x, y, course = place_at(corners, speed * min(max(seconds, 0.0), moving))
        rate = math.remainder(course + mounting - yaw, 2 * math.pi) / dt
        rate = max(-2.0, min(2.0, rate))
        yaw += rate * dt
        bounce = BOUNCE * math.sin(2 * math.pi * STEP_HZ * seconds) if walking else 0.0
        force = rng.normal(0.0, 0.05, 3) + np.array([0.0, 0.0, bounce + (G if gravity else 0.0)])
        orientation = (0.0, 0.0, math.sin(yaw / 2), math.cos(yaw / 2)) if attitude else None
        samples.append(ImuSample(t_ns, tuple(force.tolist()), (0.0, 0.0, rate), orientation))
        noisy = (axis + 1e-7 * rng.normal() for axis in field_at(x + 0.7 * y))
        samples.append(MagneticSample(t_ns, tuple(noisy)))
    for k in range(int(2 * moving) + 1):
        x, y, _ = place_at(corners, speed * k / 2)
        samples.append(ReferencePose(start_ns + round((stand + k / 2) * SECOND_NS), x, y))
    return sorted(samples, key=lambda sample: sample.t_ns)


def drive(
    corners: Corners = SQUARE, speed: float = 0.5, rate_hz: float = 20.0, *, turned: float = 0.0,
    start_ns: int = START_NS,
) -> list[Sample | ReferencePose]:  # fmt: skip
    """Drive the legs with perfect odometry whose frame is turned against `map`; magnetometer and references too."""
    samples: list[Sample | ReferencePose] = []
    cosine, sine = math.cos(turned), math.sin(turned)
    for k in range(round(length_of(corners) / speed * rate_hz) + 1):
        t_ns = start_ns + round(k * 1e9 / rate_hz)
        x, y, course = place_at(corners, speed * k / rate_hz)
        odom = OdometrySample(t_ns, cosine * x - sine * y, sine * x + cosine * y, course + turned)
        samples += [odom, MagneticSample(t_ns, field_at(x + 0.7 * y)), ReferencePose(t_ns, x, y)]
    return samples


def write_walks(folder: Path, count: int = 3, rate_hz: float = 25.0, **options: object) -> list[Path]:
    """Write walks of several speeds along the square and return the recordings."""
    paths = []
    for number in range(count):
        samples = walk(
            speed=1.1 + 0.1 * number,
            start_ns=START_NS + number * 1000 * SECOND_NS,
            seed=number,
            rate_hz=rate_hz,
            **options,
        )  # type: ignore[arg-type]
        paths.append(folder / f"walk_{number}")
        write_recording(paths[-1], samples, RecordingInfo(site="test"))
    return paths
