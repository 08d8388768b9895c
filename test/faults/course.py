"""A walk round a circle without end: the place, and what every sensor reads there, follow from the stamp alone.

So any estimate, whatever happened to the traffic before it, is judged by its own stamp.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import yaml

from mail_localization.data.recording import RecordingInfo, write_recording
from mail_localization.methods import METHODS
from mail_localization.training.options import TrainOptions
from mail_localization.types import (
    ImuSample,
    MagneticSample,
    OdometrySample,
    ReferencePose,
    Sample,
    Vector3,
    WifiReading,
    WifiScan,
)

RADIUS = 4.0
LAP = 20.0
"""Time of a lap, s: 1.26 m/s."""
WINDOW = 1.0
"""Window of the magnetic model, s."""
RATES = {"mag": 50.0, "imu": 50.0, "odom": 20.0, "wifi": 2.0}
STREAMS = {"magnetic_nn": ("mag", "imu", "odom"), "wifi_knn": ("wifi",)}
"""Model -> the streams that its node is given."""
_CONFIG = {
    "magnetic_nn": {
        "window": {"length": round(WINDOW * 50), "hop": 5},
        "magnetic": {"components": "gravity_aligned", "transform": "raw"},
    },
    "wifi_knn": {},
}
_ACCESS_POINTS = [(6.0 * math.cos(k), 6.0 * math.sin(k)) for k in range(8)]


def place(t_ns: int) -> tuple[float, float]:
    """Return where the walker is at an instant, m."""
    angle = _angle(t_ns)
    return RADIUS * math.cos(angle), RADIUS * math.sin(angle)


def sample(stream: str, t_ns: int, noise: np.random.Generator) -> Sample:
    """Return what a sensor reads at an instant."""
    if stream == "mag":
        return MagneticSample(t_ns, _field(_angle(t_ns), noise))
    if stream == "imu":
        a, w = noise.normal(0.0, 0.02, 3), noise.normal(0.0, 0.002, 3)
        return ImuSample(t_ns, (float(a[0]), float(a[1]), 9.81 + float(a[2])), (float(w[0]), float(w[1]), float(w[2])))
    if stream == "odom":
        return OdometrySample(t_ns, *place(t_ns), 0.0)
    return WifiScan(t_ns, tuple(_readings(place(t_ns), noise)))


def write_models(folder: Path, methods: tuple[str, ...] = tuple(STREAMS)) -> dict[str, Path]:
    """Survey the course in two rounds and make the models."""
    folder.mkdir(parents=True, exist_ok=True)
    rounds = [_write_round(folder / f"round_{k}", k) for k in range(2)]
    for method in methods:
        kind, out = METHODS[method], folder / method
        kind.train(kind.config.from_mapping(_CONFIG[method]), rounds, out, TrainOptions(progress=False))
    return {method: folder / method for method in methods}


def write_config(path: Path, method: str) -> Path:
    """Write the method's configuration as YAML."""
    path.write_text(yaml.safe_dump(_CONFIG[method]))
    return path


def samples(start_ns: int, seconds: float, seed: int, streams: tuple[str, ...] = tuple(RATES)) -> Iterator[Sample]:
    """Yield the samples of all streams from a start on, each stream in order."""
    noise = np.random.default_rng(seed)
    for stream in streams:
        for k in range(round(seconds * RATES[stream])):
            yield sample(stream, start_ns + round(k * 1e9 / RATES[stream]), noise)


def _write_round(path: Path, number: int) -> Path:
    start_ns, seconds = (1_700_000_000 + 1000 * number) * 10**9, 1.3 * LAP
    marks = [ReferencePose(t, *place(t)) for t in range(start_ns, start_ns + round(seconds * 1e9), 200_000_000)]
    write_recording(path, [*samples(start_ns, seconds, number), *marks], RecordingInfo(site="circle"))
    return path


def _angle(t_ns: int) -> float:
    lap_ns = round(LAP * 1e9)
    return 2 * math.pi * (t_ns % lap_ns) / lap_ns


def _field(angle: float, noise: np.random.Generator) -> Vector3:
    n = noise.normal(0.0, 1e-7, 3)
    x = 18e-6 + 6e-6 * math.sin(angle) + 3e-6 * math.sin(5 * angle)
    y = 4e-6 + 5e-6 * math.cos(2 * angle) + 2e-6 * math.cos(7 * angle)
    z = -40e-6 + 6e-6 * math.cos(angle) + 3e-6 * math.sin(4 * angle)
    return x + float(n[0]), y + float(n[1]), z + float(n[2])


def _readings(at: tuple[float, float], noise: np.random.Generator) -> Iterator[WifiReading]:
    for number, access_point in enumerate(_ACCESS_POINTS):
        distance = max(math.dist(at, access_point), 0.5)
        yield WifiReading(f"02:00:00:00:00:{number:02x}", -35.0 - 25.0 * math.log10(distance) + float(noise.normal()))
