"""Small synthetic Wi-Fi surveys for tests: a corridor of 40 m with an access point every 5 m, heard up to 20 m away."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from surveys import SECOND_NS, START_NS

from mail_localization.data.recording import RecordingInfo, write_recording
from mail_localization.types import MagneticSample, ReferencePose, Sample, WifiReading, WifiScan

ACCESS_POINTS = {f"00:11:22:33:{number:02x}:10": 5.0 * number for number in range(9)}


def scan_at(x: float, t_ns: int, gain: float = 0.0, noise: float = 0.0, seed: int = 0) -> WifiScan:
    """Scan at x metres: -40 dBm beside an access point, 2.5 dB less per metre, with a device's gain and noise, dB."""
    rng = np.random.default_rng(seed)
    readings = []
    for name, place in ACCESS_POINTS.items():
        distance = abs(x - place)
        if distance <= 20.0:
            level = -40.0 - 2.5 * distance + gain + noise * rng.normal()
            readings.append(WifiReading(name, level, age=0.1))
    return WifiScan(t_ns, tuple(readings))


def wifi_walk(
    speed: float = 1.0,
    start_ns: int = START_NS,
    gain: float = 0.0,
    noise: float = 1.0,
    seed: int = 0,
    length: float = 40,
) -> list[Sample | ReferencePose]:
    """Walk along the corridor with a scan every 2 s and a reference every second."""
    seconds = int(length / speed)
    samples: list[Sample | ReferencePose] = []
    for k in range(seconds + 1):
        t_ns = start_ns + k * SECOND_NS
        samples.append(ReferencePose(t_ns, speed * k, 0.0))
        samples.append(MagneticSample(t_ns, (2e-5, 0.0, 4e-5)))
        if k % 2 == 0:
            samples.append(scan_at(speed * k, t_ns, gain, noise, seed=1000 * seed + k))
    return samples


def write_wifi_survey(
    folder: Path, speeds: tuple[float, ...] = (1.0, 0.8, 1.2), gains: tuple[float, ...] = (), length: float = 40.0
) -> list[Path]:
    """Write one walk per speed and return the recordings."""
    paths = []
    for number, speed in enumerate(speeds):
        path = folder / f"walk_{number}"
        gain = gains[number] if gains else 0.0
        walk = wifi_walk(speed, START_NS + number * 1000 * SECOND_NS, gain, seed=number, length=length)
        write_recording(path, walk, RecordingInfo(site="test", device=f"phone {gain:+g} dB"))
        paths.append(path)
    return paths
