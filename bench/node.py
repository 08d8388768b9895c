"""The live node: its share of a core, memory and latency by sensor rate and rate of estimates."""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from bench import site

SECONDS = 12.0
RATES = (50, 100, 200)
"""Rates of the IMU and of the magnetometer (which has 100 Hz at most), Hz."""
HOPS = (50, 5, 1)
"""Samples between estimates at 50 Hz: 1, 10 and 50 estimates a second."""


def run(scratch: Path) -> None:
    """Print a row for every rate of the sensors and of the estimates, with MAIL's default network."""
    model = site.model(scratch, "mail", components="gravity_aligned")
    columns = ("IMU", "mag.", "estimates/s", "given", "of a core", "memory", "latency p50", "p99")
    print("".join(f"{name:>12}" for name in columns))
    for rate, hop in itertools.product(RATES, HOPS):
        _print(min(rate, 100), rate, hop, _measured(model, min(rate, 100), rate, hop))


def _measured(model: Path, mag_hz: int, imu_hz: int, hop: int) -> dict[str, Any]:
    environment = os.environ | {
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
        "ROS_DOMAIN_ID": str(random.SystemRandom().randint(1, 100)),
    }
    parameters = ["-p", f"model:={model}", "-p", f"hop:={hop}"]
    node = subprocess.Popen(
        [sys.executable, "-m", "mail_localization.ros.localizer_node", "--ros-args", *parameters],
        env=environment, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        traffic = [sys.executable, "-m", "bench.traffic", str(node.pid), str(SECONDS), str(mag_hz), str(imu_hz)]
        output = subprocess.run(traffic, env=environment, check=True, capture_output=True, text=True).stdout
    finally:
        node.send_signal(signal.SIGINT)
        node.wait(timeout=20)
    measured: dict[str, Any] = json.loads(output)
    return measured


def _print(mag_hz: int, imu_hz: int, hop: int, result: dict[str, Any]) -> None:
    latency = np.array(result["latency_ms"])
    p50, p99 = np.quantile(latency, [0.5, 0.99])
    figures = (
        f"{imu_hz} Hz", f"{mag_hz} Hz", f"{50 / hop:.0f}", f"{len(latency) / result['seconds']:.1f}/s",
        f"{result['cpu_share']:.1%}", f"{result['memory_mb']:.0f} MB", f"{p50:.1f} ms", f"{p99:.1f} ms",
    )  # fmt: skip
    print("".join(f"{figure:>12}" for figure in figures), flush=True)
