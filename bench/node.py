"""The live node under full traffic: 200 Hz IMU, 100 Hz magnetometer, 10 estimates a second."""

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

SECONDS = 40.0
MAG_HZ, IMU_HZ, HOP = 100, 200, 5


def run(scratch: Path) -> None:
    """Print the node's share of a core, its estimates and their latency, first and last third."""
    model = site.model(scratch, "mail", components="gravity_aligned")
    environment = os.environ | {
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
        "ROS_DOMAIN_ID": str(random.SystemRandom().randint(1, 100)),
    }
    parameters = ["-p", f"model:={model}", "-p", f"hop:={HOP}"]
    node = subprocess.Popen(
        [sys.executable, "-m", "mail_localization.ros.localizer_node", "--ros-args", *parameters], env=environment
    )
    try:
        traffic = [sys.executable, "-m", "bench.traffic", str(node.pid), str(SECONDS), str(MAG_HZ), str(IMU_HZ)]
        output = subprocess.run(traffic, env=environment, check=True, capture_output=True, text=True).stdout
    finally:
        node.send_signal(signal.SIGINT)
        node.wait(timeout=20)
    _print(json.loads(output))


def _print(result: dict[str, list[float] | float]) -> None:
    latency = np.array(result["latency_ms"])
    third = len(latency) // 3
    print(f"IMU {IMU_HZ} Hz, magnetometer {MAG_HZ} Hz, {result['seconds']:.0f} s of traffic")
    print(f"node: {result['cpu_share']:.0%} of one core, {result['memory_mb']:.0f} MB resident")
    print(f"estimates: {len(latency)} ({len(latency) / result['seconds']:.1f}/s)")
    for name, part in (("first third", latency[:third]), ("last third", latency[-third:])):
        p50, p99 = np.quantile(part, [0.5, 0.99])
        print(f"from newest sample published to pose received, {name}: p50 {p50:.1f} ms, p99 {p99:.1f} ms")
