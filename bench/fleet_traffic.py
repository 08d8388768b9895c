"""Publish the magnetometers of many targets, hear their poses, and read the node's CPU time: a process of its own."""

from __future__ import annotations

import json
import math
import sys
import time
from typing import Any

import rclpy
from geometry_msgs.msg import PoseWithCovarianceStamped
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import MagneticField

from bench.traffic import cpu_seconds, resident_mb

WARM_UP, SECONDS = 12.0, 10.0
"""Time to fill the windows before the measurement, and its length, s."""
START_TIMEOUT = 120.0


class Traffic:
    """The publishers of all targets, each in turn, and the subscriptions to their poses."""

    def __init__(self, node: Node, targets: int) -> None:
        self._node = node
        self._publishers = [
            node.create_publisher(MagneticField, f"/robot_{k}/imu/mag", qos_profile_sensor_data) for k in range(targets)
        ]
        self._poses: list[Any] = [
            node.create_subscription(PoseWithCovarianceStamped, f"/robot_{k}/pose", lambda _: None, 10)
            for k in range(targets)
        ]
        self.heard = 0
        self.late_ms: list[float] = []

    def matched(self) -> bool:
        """Tell whether every target listens, and every pose would be heard."""
        listening = all(publisher.get_subscription_count() for publisher in self._publishers)
        return listening and all(subscription.handle.get_publisher_count() for subscription in self._poses)

    def run(self, rate_hz: int, seconds: float) -> None:
        """Publish for so long, at even intervals."""
        began, sent = time.monotonic(), 0
        step = 1 / (rate_hz * len(self._publishers))
        while (now := time.monotonic() - began) < seconds:
            while sent * step <= now:
                _publish(self._publishers[sent % len(self._publishers)])
                sent += 1
            self._hear()
            time.sleep(0.01)

    def _hear(self) -> None:
        for subscription in self._poses:
            with subscription.handle:
                taken = subscription.handle.take_message(subscription.msg_type, subscription.raw)
            if taken is not None:
                stamp = taken[0].header.stamp
                self.heard += 1
                self.late_ms.append((time.time_ns() - stamp.sec * 1_000_000_000 - stamp.nanosec) * 1e-6)


def _publish(publisher: Publisher) -> None:
    now_ns = time.time_ns()
    t = (now_ns % 10**12) * 1e-9
    field = MagneticField()
    field.magnetic_field.x, field.magnetic_field.y = 2e-5 + 5e-6 * math.sin(t), 1e-5 * math.cos(0.7 * t)
    field.header.stamp.sec, field.header.stamp.nanosec = divmod(now_ns, 1_000_000_000)
    publisher.publish(field)


def main(pid: int, rate_hz: int, targets: int) -> None:
    """Print what was measured, as JSON."""
    rclpy.init(args=[])
    node = Node("traffic")
    traffic = Traffic(node, targets)
    deadline = time.monotonic() + START_TIMEOUT
    while not traffic.matched():
        if time.monotonic() > deadline:
            raise SystemExit("the fleet does not listen")
        time.sleep(0.1)
    traffic.run(rate_hz, WARM_UP)
    traffic.heard, traffic.late_ms = 0, []
    cpu, began = cpu_seconds(pid), time.monotonic()
    traffic.run(rate_hz, SECONDS)
    seconds = time.monotonic() - began
    share = (cpu_seconds(pid) - cpu) / seconds
    result = {"cpu_share": share, "memory_mb": resident_mb(pid), "rate": traffic.heard / seconds}
    print(json.dumps(result | {"late_ms": traffic.late_ms}))
    node.destroy_node()
    rclpy.shutdown()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
