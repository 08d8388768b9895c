"""Millions of messages, one in a hundred of them bad, and what they leave in memory."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from rclpy.qos import HistoryPolicy, QoSProfile

from faults.course import LAP, RATES, place, sample
from faults.harness import MEMORY_MB, TOLERANCE, bench, participant
from faults.node import memory_mb, wait_until
from faults.traffic import TO_MSG, TOPICS, restamped
from mail_localization.ros.localizer_node import LocalizerNode

STREAMS = ("mag", "imu", "odom")
BAD_EVERY = 100
POSES_PER_MESSAGE = 10.0 / sum(RATES[stream] for stream in STREAMS)
"""The model gives ten poses a second."""
LONG_AGO_NS = 1_600_000_000_000_000_000
"""Stamps of the first lap: as in a recording, for they run faster than the node's clock."""


@dataclass(frozen=True)
class Soak:
    """What a soak showed."""

    messages: int
    seconds: float
    steady_mb: float
    """Memory after a tenth of the messages."""
    peak_mb: float
    """Largest memory after that."""
    refused: int
    poses: int
    worst: float
    """Largest error among the last estimates, m."""

    def check(self) -> None:
        """Raise AssertionError where the node did not bear it."""
        growth = self.peak_mb - self.steady_mb
        assert growth < MEMORY_MB, f"memory grew by {growth:.1f} MB over {self.messages} messages"
        assert self.worst <= TOLERANCE["magnetic_nn"], f"the last estimates were wrong by {self.worst:.1f} m"
        expected = 0.95 * self.messages * POSES_PER_MESSAGE
        assert self.poses > expected, f"{self.poses} poses, {expected:.0f} expected"
        assert self.refused > 0.5 * self.messages / BAD_EVERY, f"{self.refused} of the bad messages were counted"

    def __str__(self) -> str:
        return (
            f"{self.messages:.0e} messages in {self.seconds / 60:.0f} min ({self.messages / self.seconds:.0f}/s), "
            f"memory {self.steady_mb:.1f} MB after a tenth, then at most {self.peak_mb:.1f} MB; "
            f"{self.refused} refused; {self.poses} poses, the last ones right within {self.worst:.2f} m"
        )


def lap(start_ns: int) -> list[tuple[str, int, Any]]:
    """Return one lap's messages as (stream, stamp, message), in the order of their stamps."""
    noise, messages = np.random.default_rng(0), []
    for stream in STREAMS:
        for k in range(round(LAP * RATES[stream])):
            t_ns = start_ns + round(k * 1e9 / RATES[stream])
            messages.append((stream, t_ns, TO_MSG[stream](sample(stream, t_ns, noise))))
    return sorted(messages, key=lambda message: message[1])


def traffic(count: int, start_ns: int) -> Iterator[tuple[str, Any]]:
    """Yield the lap over and over with rising stamps; each hundredth message is bad."""
    once = lap(start_ns)
    for number in range(count):
        laps, at = divmod(number, len(once))
        stream, t_ns, msg = once[at]
        # A lap later the field is the same, and the stamps go on.
        t_ns += laps * round(LAP * 1e9)
        yield ("mag", bad(number, t_ns)) if number % BAD_EVERY == 0 else (stream, restamped(msg, t_ns))


def bad(kind: int, t_ns: int) -> Any:
    """Return a magnetometer message that must be refused: not finite, saturated, late or of the future."""
    msg = TO_MSG["mag"](sample("mag", t_ns, np.random.default_rng(kind)))
    which = kind // BAD_EVERY % 4
    if which == 0:
        msg.magnetic_field.x = math.nan
    elif which == 1:
        msg.magnetic_field.z = 1.0
    else:
        restamped(msg, t_ns + (-300_000_000 if which == 2 else 3_600_000_000_000))
    return msg


def in_process(model: Path, count: int, tell: Callable[[str], None]) -> Soak:
    """Drive a node's own callbacks with real messages, as fast as it takes them."""
    rclpy.init(args=["--ros-args", "-p", f"model:={model}"])
    node = LocalizerNode()
    try:
        node.autostart()
        session, inputs = node.session, node.inputs
        assert session is not None and inputs is not None
        errors = _Errors(node)
        start, memory = time.monotonic(), _Memory(count, tell)
        for number, (stream, msg) in enumerate(traffic(count, LONG_AGO_NS)):
            inputs.receive(stream, msg)
            if number % 1000 == 0:
                # Timers, services, and what its own publications bring.
                rclpy.spin_once(node, timeout_sec=0)
                memory.note(number, memory_mb("self"))
        refused = sum(session.counters.values())
        return Soak(count, time.monotonic() - start, memory.steady, memory.peak, refused, errors.poses, errors.worst)
    finally:
        node.destroy_node()
        rclpy.try_shutdown()


def over_dds(scratch: Path, model: Path, count: int, tell: Callable[[str], None]) -> Soak:
    """Publish as fast as a node of its own process takes the messages, and watch it from outside."""
    arguments = []
    for topic in (TOPICS[stream] for stream in STREAMS):
        for setting in ("reliability:=reliable", "history:=keep_all"):
            arguments += ["-p", f"qos_overrides./{topic}.subscription.{setting}"]
    with bench(scratch, model, "magnetic_nn", *arguments) as ours, participant(ours.domain) as node:
        ours.traffic.stop()
        everything = QoSProfile(history=HistoryPolicy.KEEP_ALL)
        kinds = {stream: type(msg) for stream, _, msg in lap(0)}
        publishers = {stream: node.create_publisher(kinds[stream], TOPICS[stream], everything) for stream in STREAMS}
        wait_until(lambda: all(p.get_subscription_count() for p in publishers.values()), "no subscriptions", 30.0)
        start, memory = time.monotonic(), _Memory(count, tell)
        for number, (stream, msg) in enumerate(traffic(count, LONG_AGO_NS)):
            assert ours.process.alive, ours.process.words[-3000:]
            _send(publishers[stream], msg)
            if number % 1000 == 0:
                memory.note(number, ours.process.memory_mb)
        wait_until(lambda: _idle(ours.observer.heard), "the node does not catch up", 120.0)
        seconds = ours.observer.heard[-1][0] - start
        errors = [error for when, error in ours.observer.heard if when > start]
        refused, worst = sum(ours.observer.counters.values()), max(errors[-20:], default=math.inf)
        return Soak(count, seconds, memory.steady, memory.peak, refused, len(errors), worst)


class _Memory:
    """The memory after the first tenth, and the largest since."""

    def __init__(self, count: int, tell: Callable[[str], None]) -> None:
        self.steady = self.peak = 0.0
        self._count, self._tell, self._said = count, tell, 0

    def note(self, number: int, megabytes: float) -> None:
        """Take down what the process has after so many messages."""
        if number < self._count / 10:
            self.steady = self.peak = megabytes
        self.peak = max(self.peak, megabytes)
        if number * 20 // self._count > self._said:
            self._said = number * 20 // self._count
            self._tell(f"{number} messages, {megabytes:.1f} MB")


class _Errors:
    """Number of estimates and the error of the newest, heard where the node publishes."""

    def __init__(self, node: LocalizerNode) -> None:
        self._newest: list[float] = []
        self.poses = 0
        assert node.inputs is not None
        publish = node.inputs._consumer

        def heard(stream: str, message: Any, estimate: Any) -> None:
            if estimate is not None:
                self.poses += 1
                self._newest = [*self._newest[-19:], math.dist(estimate.position, place(estimate.t_ns))]
            publish(stream, message, estimate)

        node.inputs._consumer = heard

    @property
    def worst(self) -> float:
        assert self._newest, "no estimates"
        return max(self._newest)


def _send(publisher: Any, msg: Any) -> None:
    deadline = time.monotonic() + 60.0
    while True:
        try:
            publisher.publish(msg)
            return
        except RuntimeError:
            assert time.monotonic() < deadline, "the node takes nothing"


def _idle(heard: list[tuple[float, float]]) -> bool:
    return bool(heard) and time.monotonic() - heard[-1][0] > 3.0
