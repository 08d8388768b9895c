"""fleet_node by number of targets: its share of a core, its memory, and how late the poses are."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np

from bench import site

ROWS = ((10, 1), (10, 10), (10, 50), (10, 200), (50, 10), (50, 50))
"""Magnetometer rate, Hz, which is that of the model's windows too, and targets; each gets one estimate a second."""


def run(scratch: Path) -> None:
    """Print a row per magnetometer rate and number of targets."""
    print(f"{'Hz':>4}{'targets':>9}{'of a core':>11}{'MB':>6}{'estimates/s':>13}{'late, ms: p50':>15}{'p99':>6}")
    for rate_hz, targets in ROWS:
        _print(rate_hz, targets, _measured(site.mail_of_rate(scratch, rate_hz), rate_hz, targets))


def _measured(model: Path, rate_hz: int, targets: int) -> dict[str, float | list[float]]:
    environment = os.environ | {
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
        "ROS_DOMAIN_ID": str(random.SystemRandom().randint(1, 100)),
    }
    names = ", ".join(f"robot_{k}" for k in range(targets))
    parameters = ["-p", f"model:={model}", "-p", f"targets:=[{names}]", "-p", f"hop:={rate_hz}"]
    node = subprocess.Popen(
        [sys.executable, "-m", "mail_localization.ros.fleet_node", "--ros-args", *parameters, "--log-level", "error"],
        env=environment,
    )
    try:
        traffic = [sys.executable, "-m", "bench.fleet_traffic", str(node.pid), str(rate_hz), str(targets)]
        output = subprocess.run(traffic, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout
    finally:
        node.send_signal(signal.SIGINT)
        node.wait(timeout=60)
    result: dict[str, float | list[float]] = json.loads(output)
    return result


def _print(rate_hz: int, targets: int, result: dict[str, float | list[float]]) -> None:
    late = result["late_ms"]
    p50, p99 = np.quantile(late, [0.5, 0.99]) if late else (np.nan, np.nan)
    print(
        f"{rate_hz:4}{targets:9}{result['cpu_share']:11.1%}{result['memory_mb']:6.0f}{result['rate']:13.1f}"
        f"{p50:15.0f}{p99:6.0f}",
        flush=True,
    )
