"""Sensors over DDS in real time, with something that comes between them and the wire."""

from __future__ import annotations

import threading
import time
from collections import Counter
from typing import Any, Protocol

import numpy as np
from rclpy.node import Node
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy

from faults.course import RATES, sample
from mail_localization.ros import conversions
from mail_localization.ros.conversions import time_to_msg

TO_MSG: dict[str, Any] = {
    "mag": conversions.magnetic_to_msg,
    "imu": conversions.imu_to_msg,
    "odom": conversions.odometry_to_msg,
    "wifi": conversions.wifi_to_msg,
}
TOPICS = {"imu": "imu/data", "mag": "imu/mag", "wifi": "wifi/scan", "odom": "odom"}


class Tamper(Protocol):
    """What is done to the traffic while a fault lasts."""

    expected: Counter[str]
    """What the node must have counted of it, by the name of its counter (`*`: of any); grows as messages are spoilt."""

    def __call__(self, stream: str, msg: Any) -> list[Any]:
        """Return the messages (or CDR bytes) that are published instead of one."""

    def end(self) -> list[tuple[str, Any]]:
        """Return what is still held back when the fault ends, with its stream."""


class Traffic:
    """Publish what the sensors read, each at its rate, from a thread of its own."""

    def __init__(self, node: Node, streams: tuple[str, ...], reliable: bool = True) -> None:
        reliability = ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT
        qos = QoSProfile(depth=10_000, history=HistoryPolicy.KEEP_LAST, reliability=reliability)
        kinds = {stream: type(TO_MSG[stream](sample(stream, 0, np.random.default_rng(0)))) for stream in streams}
        self.publishers = {stream: node.create_publisher(kinds[stream], TOPICS[stream], qos) for stream in streams}
        self.offset_ns = 0
        """Lead of the sensors' clock over the real one, ns."""
        self.sent: Counter[str] = Counter()
        self._tamper: Tamper | None = None
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(10.0)

    @property
    def matched(self) -> bool:
        """Whether somebody listens to every stream."""
        return all(publisher.get_subscription_count() > 0 for publisher in self.publishers.values())

    def tamper(self, tamper: Tamper | None) -> None:
        """Put a tamper between the sensors and the wire, or take it away."""
        with self._lock:
            before, self._tamper = self._tamper, tamper
            for stream, msg in before.end() if before is not None else ():
                self._publish(stream, msg)

    def _run(self) -> None:
        noise = np.random.default_rng(0)
        due = dict.fromkeys(self.publishers, time.time_ns())
        while not self._stop.is_set():
            stream = min(due, key=lambda name: due[name])
            wait = (due[stream] - time.time_ns()) * 1e-9
            if wait > 0:
                self._stop.wait(wait)
                continue
            with self._lock:
                msg = TO_MSG[stream](sample(stream, due[stream] + self.offset_ns, noise))
                for out in [msg] if self._tamper is None else self._tamper(stream, msg):
                    self._publish(stream, out)
            due[stream] += round(1e9 / RATES[stream])

    def _publish(self, stream: str, msg: Any) -> None:
        self.publishers[stream].publish(msg)
        self.sent[stream] += 1


def restamped(msg: Any, t_ns: int) -> Any:
    """Set a message's stamp."""
    msg.header.stamp = time_to_msg(t_ns)
    return msg
