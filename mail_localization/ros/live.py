"""Play a recording to the real node over DDS and collect its poses."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import rclpy
from geometry_msgs.msg import PoseWithCovarianceStamped
from rclpy.context import Context
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import HistoryPolicy, QoSProfile

from mail_localization.data.recording import Recording, Topics, open_bag
from mail_localization.data.wifi_mapping import scan_from_json
from mail_localization.data.wifi_settings import settings_for
from mail_localization.errors import EvaluationError, RecordingError
from mail_localization.ros.conversions import pose_from_msg
from mail_localization.ros.localizer_node import NAME
from mail_localization.ros.player import Player, PlaySettings
from mail_localization.ros.session import TOPICS
from mail_localization.types import PoseEstimate

START_TIMEOUT = 90.0
"""Time the node may take to load its model and subscribe on a busy machine, s."""
QUIET = 1.5
"""Silence on `pose` that says the node has caught up, s."""
SETTLE = 0.5
"""Pause before the first message, s."""
STOP_TIMEOUT = 15.0
"""Time the node may take to stop, s."""
LOCALHOST = {"ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}


@dataclass
class LiveResult:
    """What the node published, and what it complained about."""

    estimates: list[PoseEstimate] = field(default_factory=list)
    latency_ms: list[float] = field(default_factory=list)
    """From publishing the newest sample used to receiving the pose; above the real rate it includes queueing."""
    problems: list[str] = field(default_factory=list)
    """Warnings and errors of the node."""


def replay_live(
    model: Path, recording: Path, topics: Topics = Topics(), rate: float = 1.0, hop: int = 0, odometry: bool = False,
    backend: str = "auto",
) -> LiveResult:  # fmt: skip
    """Start localizer_node as its own process, play a recording to it and return what it published.

    Raises:
        EvaluationError: the node died, did not subscribe, or did not stop.
        RecordingError: the recording cannot be read, or holds none of the topics.
    """
    Recording(recording, topics)  # Refuses a bag without usable topics before a process is started.
    # A domain and a namespace of our own: nothing else on the machine hears us, or is heard.
    # Up to 101 a domain's ports stay below the system's ephemeral ones.
    domain, namespace = random.SystemRandom().randint(1, 101), f"/live_{os.getpid()}_{random.getrandbits(32):08x}"
    parameters = _parameters(model, recording, topics, rate, namespace) | {"hop": hop, "backend": backend}
    if odometry:
        parameters["odom_source"] = "topic"
    with _process(parameters, namespace, domain) as node, _participant(domain, namespace) as ours:
        collector = _Collector(ours, namespace)
        player = _player(ours, recording, topics, rate, namespace)
        with _spinning(ours):
            _wait(lambda: _connected(ours, player, namespace), node)
            # Matched is what our side knows; the node's side of best effort follows unseen.
            time.sleep(SETTLE)
            player.play(collector.observe)
            _wait(lambda: time.monotonic() - collector.last_heard > QUIET, node)
        node.stop()
        return LiveResult(collector.estimates, collector.latency_ms, node.problems())


class _Collector:
    """Keep the poses and how long after their newest sample they came."""

    def __init__(self, ours: Node, namespace: str) -> None:
        self.estimates: list[PoseEstimate] = []
        self.latency_ms: list[float] = []
        self.last_heard = time.monotonic()
        self._sent: dict[int, float] = {}
        everything = QoSProfile(history=HistoryPolicy.KEEP_ALL)
        ours.create_subscription(PoseWithCovarianceStamped, f"{namespace}/pose", self._hear, everything)

    def observe(self, topic: str, t_ns: int, raw: bytes) -> None:
        """Note when a message leaves."""
        self._sent[_stamp(raw, t_ns)] = self.last_heard = time.monotonic()

    def _hear(self, msg: PoseWithCovarianceStamped) -> None:
        self.last_heard = time.monotonic()
        estimate = pose_from_msg(msg)
        self.estimates.append(estimate)
        sent = self._sent.get(estimate.t_ns)
        if sent is not None:
            self.latency_ms.append((self.last_heard - sent) * 1e3)


class _NodeProcess:
    """localizer_node as a process, with its words in a file."""

    def __init__(self, command: list[str], env: dict[str, str], words: Path) -> None:
        self._words = words
        with words.open("wb") as file:
            self._process = subprocess.Popen(command, env=env, stdout=file, stderr=file, stdin=subprocess.DEVNULL)

    @property
    def pid(self) -> int:
        return self._process.pid

    def check(self) -> None:
        """Raise EvaluationError if the node has ended."""
        code = self._process.poll()
        if code is not None:
            raise EvaluationError(f"{NAME} ended with code {code}: {self.last_words()}")

    def stop(self) -> None:
        """Interrupt the node as Ctrl-C does; EvaluationError unless it ends with 0."""
        self._process.send_signal(signal.SIGINT)
        try:
            code = self._process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired as err:
            raise EvaluationError(f"{NAME} did not stop within {STOP_TIMEOUT:g} s: {self.last_words()}") from err
        if code != 0:
            raise EvaluationError(f"{NAME} stopped with code {code}: {self.last_words()}")

    def kill(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()

    def last_words(self) -> str:
        """Return the node's last lines."""
        lines = self._words.read_text(errors="replace").strip().splitlines()
        return " | ".join(lines[-5:]) or "it said nothing"

    def problems(self) -> list[str]:
        """Return the lines in which the node warns."""
        lines = self._words.read_text(errors="replace").splitlines()
        return [line for line in lines if line.startswith(("[WARN]", "[ERROR]", "[FATAL]"))]


def _parameters(model: Path, recording: Path, topics: Topics, rate: float, namespace: str) -> dict[str, Any]:
    """Return the node's parameters that make it give what the offline evaluation gives."""
    # Odometry that the method itself does not use stays unused offline too.
    parameters: dict[str, Any] = {"model": str(model.resolve()), "use_sim_time": True, "odom_source": "none"}
    # The clock's steps grow with the rate, and where the node is busy it takes several at once.
    parameters["max_time_jump"] = 60.0 * max(rate, 1.0)
    with open_bag(recording) as reader:
        # Told, the node listens at once; else it would first have to find a publisher on the graph.
        types = [connection.msgtype for connection in reader.connections if connection.topic == topics.wifi]
    if types:
        wifi = settings_for(topics.wifi_mapping, types[0])
        parameters |= {f"wifi.{name}": value for name, value in wifi.to_mapping().items()} | {"wifi.type": types[0]}
    if rate > 1.0:
        # Faster than the node can compute, best effort would lose samples: let the player wait for it.
        for topic in TOPICS.values():
            prefix = f"qos_overrides.{namespace}/{topic}.subscription"
            parameters |= {f"{prefix}.reliability": "reliable", f"{prefix}.history": "keep_all"}
    return parameters


@contextlib.contextmanager
def _process(parameters: dict[str, Any], namespace: str, domain: int) -> Iterator[_NodeProcess]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "parameters.yaml"
        file.write_text(json.dumps({"/**": {"ros__parameters": parameters}}))
        ros_arguments = ["--ros-args", "-r", f"__ns:={namespace}", "--params-file", str(file)]
        command = [sys.executable, "-m", "mail_localization.ros.localizer_node", *ros_arguments]
        env = os.environ | {"OMP_NUM_THREADS": "1", "ROS_DOMAIN_ID": str(domain)} | LOCALHOST
        node = _NodeProcess(command, env, Path(folder) / "words.txt")
        try:
            yield node
        finally:
            node.kill()


@contextlib.contextmanager
def _participant(domain: int, namespace: str) -> Iterator[Node]:
    """Create a node of our own in a context of its own, so that the caller's ROS stays untouched."""
    context = Context()
    before = {name: os.environ.get(name) for name in LOCALHOST}
    os.environ.update(LOCALHOST)  # Only read from the environment, while the context is initialized.
    try:
        rclpy.init(args=[], context=context, domain_id=domain)
    finally:
        for name in LOCALHOST:
            del os.environ[name]
        os.environ.update({name: value for name, value in before.items() if value is not None})
    try:
        yield rclpy.create_node("live_evaluator", namespace=namespace, context=context, use_global_arguments=False)
    finally:
        rclpy.try_shutdown(context=context)


@contextlib.contextmanager
def _spinning(ours: Node) -> Iterator[None]:
    """Receive in a thread, so that waiting for the next message does not delay an arrival's time."""
    executor = SingleThreadedExecutor(context=ours.context)
    executor.add_node(ours)

    def spin() -> None:
        with contextlib.suppress(ExternalShutdownException):
            executor.spin()

    thread = threading.Thread(target=spin, daemon=True)
    thread.start()
    try:
        yield
    finally:
        executor.shutdown()
        thread.join(STOP_TIMEOUT)


def _player(ours: Node, recording: Path, topics: Topics, rate: float, namespace: str) -> Player:
    names = {getattr(topics, stream): f"{namespace}/{topic}" for stream, topic in TOPICS.items()}
    everything = QoSProfile(history=HistoryPolicy.KEEP_ALL)
    return Player(ours, [recording], PlaySettings(rate=rate, clock=True, only=tuple(names)), names, everything)


def _connected(ours: Node, player: Player, namespace: str) -> bool:
    """Tell whether the node is there and each of its subscriptions that the recording feeds is matched."""
    if ours.count_publishers(f"{namespace}/pose") == 0 or ours.count_subscribers("/clock") == 0:
        return False
    wanted = [publisher for publisher in player.publishers.values() if ours.count_subscribers(publisher.topic_name)]
    return all(publisher.get_subscription_count() > 0 for publisher in wanted)


def _wait(condition: Callable[[], bool], node: _NodeProcess) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    while not condition():
        node.check()
        if time.monotonic() > deadline:
            raise EvaluationError(f"{NAME} was not ready within {START_TIMEOUT:g} s: {node.last_words()}")
        time.sleep(0.02)


def _stamp(raw: bytes, t_ns: int) -> int:
    """Return the stamp of a serialized message: of its header, or of the Wi-Fi JSON."""
    # CDR: 4 bytes of encapsulation (the second tells the byte order), then the header's seconds and nanoseconds,
    # or for a String its length and text.
    order = "<" if raw[1] & 1 else ">"
    if raw[8:9] == b"{":
        with contextlib.suppress(RecordingError):
            return scan_from_json(raw[8:].rstrip(b"\0").decode(errors="replace"), t_ns).t_ns
    if len(raw) < 12:
        return t_ns
    seconds, nanoseconds = struct.unpack_from(f"{order}iI", raw, 4)
    return int(seconds) * 1_000_000_000 + int(nanoseconds) or t_ns
