"""Publish sensor messages at full rate, collect the poses, and read the node's CPU time: a process of its own."""

from __future__ import annotations

import json
import math
import os
import sys
import time
from pathlib import Path

import rclpy
from geometry_msgs.msg import PoseWithCovarianceStamped
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Imu, MagneticField

WARM_UP = 13.0
"""Time to fill the node's first window before the measurement, s."""


class Traffic(Node):
    """Two publishers on timers, and the time each pose takes to come back."""

    def __init__(self, mag_hz: int, imu_hz: int) -> None:
        super().__init__("traffic")
        self.sent_ns: dict[int, int] = {}
        self.latency_ms: list[float] = []
        self._mag = self.create_publisher(MagneticField, "imu/mag", qos_profile_sensor_data)
        self._imu = self.create_publisher(Imu, "imu/data", qos_profile_sensor_data)
        self.create_subscription(PoseWithCovarianceStamped, "pose", self._on_pose, 100)
        self.create_timer(1 / mag_hz, self._send_mag)
        self.create_timer(1 / imu_hz, self._send_imu)

    def matched(self) -> bool:
        """Tell whether the node listens to both topics."""
        return self._mag.get_subscription_count() > 0 and self._imu.get_subscription_count() > 0

    def _send_mag(self) -> None:
        message = MagneticField()
        t = self._stamp(message)
        message.magnetic_field.x = 2e-5 + 5e-6 * math.sin(t)
        message.magnetic_field.y = 1e-5 * math.cos(0.7 * t)
        message.magnetic_field.z = -4e-5
        self._mag.publish(message)

    def _send_imu(self) -> None:
        message = Imu()
        self._stamp(message)
        message.linear_acceleration.z = 9.81
        message.orientation_covariance[0] = -1.0
        self._imu.publish(message)

    def _stamp(self, message: MagneticField | Imu) -> float:
        now_ns = time.time_ns()
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(now_ns, 1_000_000_000)
        self.sent_ns[now_ns] = time.monotonic_ns()
        return (now_ns % 10**12) * 1e-9

    def _on_pose(self, message: PoseWithCovarianceStamped) -> None:
        stamp_ns = message.header.stamp.sec * 1_000_000_000 + message.header.stamp.nanosec
        if stamp_ns in self.sent_ns:
            self.latency_ms.append((time.monotonic_ns() - self.sent_ns[stamp_ns]) * 1e-6)


def main() -> None:
    """Run the traffic and print one JSON object."""
    pid, seconds, mag_hz, imu_hz = int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    rclpy.init()
    traffic = Traffic(mag_hz, imu_hz)
    deadline = time.monotonic() + 60
    while not traffic.matched():
        if time.monotonic() > deadline:
            raise SystemExit("the node did not subscribe within 60 s")
        rclpy.spin_once(traffic, timeout_sec=0.1)
    _spin(traffic, WARM_UP)
    traffic.latency_ms.clear()
    before, started = cpu_seconds(pid), time.monotonic()
    _spin(traffic, seconds)
    wall = time.monotonic() - started
    result = {
        "seconds": wall,
        "cpu_share": (cpu_seconds(pid) - before) / wall,
        "memory_mb": resident_mb(pid),
        "latency_ms": traffic.latency_ms,
    }
    print(json.dumps(result))
    rclpy.shutdown()


def _spin(node: Node, seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        rclpy.spin_once(node, timeout_sec=0.05)


def cpu_seconds(pid: int) -> float:
    """Return the processor time a process has taken, s."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_mb(pid: int) -> float:
    """Return the memory a process holds, MB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


if __name__ == "__main__":
    main()
