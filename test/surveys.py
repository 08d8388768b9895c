"""Small synthetic surveys for tests: a straight corridor whose field is a smooth function of the position."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from mail_localization.data.recording import RecordingInfo, write_recording
from mail_localization.types import ImuSample, MagneticSample, ReferencePose, Sample, Vector3

START_NS = 1_700_000_000_000_000_000
SECOND_NS = 1_000_000_000


def field_at(x: float) -> Vector3:
    """Field of the corridor at x metres, tesla."""
    return (
        20e-6 * math.sin(x) + 3e-5,
        15e-6 * math.cos(1.7 * x) + 5e-6 * math.sin(0.37 * x),
        1e-5 * math.sin(0.3 * x) + 2e-5,
    )


def corridor_walk(
    speed: float = 1.2, seconds: float = 40.0, rate_hz: float = 50.0, start_ns: int = START_NS, seed: int = 0
) -> list[Sample | ReferencePose]:
    """Walk along x from 0 at constant speed, magnetometer and level IMU, a reference every second."""
    rng = np.random.default_rng(seed)
    samples: list[Sample | ReferencePose] = []
    for k in range(round(seconds * rate_hz) + 1):
        t_ns = start_ns + round(k * 1e9 / rate_hz)
        x = speed * k / rate_hz
        noisy = tuple(axis + 1e-7 * rng.normal() for axis in field_at(x))
        samples.append(MagneticSample(t_ns, noisy))
        samples.append(ImuSample(t_ns, (0.0, 0.0, 9.8), (0.0, 0.0, 0.0)))
    marks = range(int(seconds) + 1)
    return samples + [ReferencePose(start_ns + k * SECOND_NS, speed * k, 0.0) for k in marks]


def write_survey(folder: Path, speeds: tuple[float, ...] = (1.0, 1.2), seconds: float = 40.0) -> list[Path]:
    """Write one corridor walk per speed and return the recordings."""
    paths = []
    for number, speed in enumerate(speeds):
        path = folder / f"walk_{number}"
        start_ns = START_NS + number * 1000 * SECOND_NS
        write_recording(path, corridor_walk(speed, seconds, start_ns=start_ns, seed=number), RecordingInfo(site="test"))
        paths.append(path)
    return paths
