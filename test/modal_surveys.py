"""Walks along the test corridor with magnetometer, IMU and Wi-Fi."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from surveys import SECOND_NS, START_NS, field_at

from mail_localization.data.recording import RecordingInfo, write_recording
from mail_localization.types import ImuSample, MagneticSample, ReferencePose, Sample, WifiReading, WifiScan

RATE = 20.0
ACCESS_POINTS = {f"00:11:22:33:44:{k:02x}": 5.0 * k for k in range(8)}
"""Address -> its place along the corridor, m."""


def scan_at(t_ns: int, x: float, age: float = 0.0, prefix: str = "") -> WifiScan:
    """Return what a phone at x hears; a prefix makes the addresses those of another site."""
    levels = {name: -40.0 - 2.5 * abs(x - place) for name, place in ACCESS_POINTS.items()}
    heard = tuple(WifiReading(prefix + name, level, age) for name, level in levels.items() if level > -95.0)
    return WifiScan(t_ns, heard)


def modal_walk(
    speed: float = 1.0, seconds: float = 30.0, start_ns: int = START_NS, seed: int = 0,
    streams: Iterable[str] = ("mag", "imu", "wifi"), wifi_age: float = 0.0,
) -> list[Sample | ReferencePose]:  # fmt: skip
    """Walk along x; the vertical acceleration swings with the steps, the more the faster."""
    rng = np.random.default_rng(seed)
    samples: list[Sample | ReferencePose] = []
    for k in range(round(seconds * RATE) + 1):
        t = k / RATE
        t_ns, x = start_ns + round(t * 1e9), speed * t
        if "mag" in streams:
            noisy = tuple(axis + 1e-7 * rng.normal() for axis in field_at(x))
            samples.append(MagneticSample(t_ns, noisy))  # type: ignore[arg-type]
        if "imu" in streams:
            swing = 2.0 * speed * math.sin(2 * math.pi * 1.4 * t)
            samples.append(ImuSample(t_ns, (0.1 * rng.normal(), 0.0, 9.8 + swing), (0.0, 0.0, 0.0)))
        if "wifi" in streams and k % round(2 * RATE) == 0:
            samples.append(scan_at(t_ns, x, wifi_age))
    return samples + [ReferencePose(start_ns + k * SECOND_NS, speed * k, 0.0) for k in range(int(seconds) + 1)]


def without_references(walk: list[Sample | ReferencePose]) -> list[Sample]:
    """Return the samples alone."""
    return [sample for sample in walk if not isinstance(sample, ReferencePose)]


def write_modal_survey(
    folder: Path, speeds: tuple[float, ...] = (0.9, 1.0, 1.1), streams: Iterable[str] = ("mag", "imu", "wifi"),
    seconds: float = 30.0, wifi_age: float = 0.0,
) -> list[Path]:  # fmt: skip
    """Write one walk per speed and return the recordings."""
    paths = []
    for number, speed in enumerate(speeds):
        path = folder / f"walk_{number}"
        start_ns = START_NS + number * 1000 * SECOND_NS
        walk = modal_walk(speed, seconds, start_ns, number, streams, wifi_age)
        write_recording(path, walk, RecordingInfo(site="test"))
        paths.append(path)
    return paths
