"""The node as a process, and what can be seen of it from outside."""

from __future__ import annotations

import math
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseWithCovarianceStamped
from rclpy.node import Node

from faults.course import place
from mail_localization.ros.conversions import pose_from_msg

START_TIMEOUT, STOP_TIMEOUT = 60.0, 20.0
COMMAND = [sys.executable, "-m", "mail_localization.ros.localizer_node", "--ros-args"]


def wait_until(condition: Callable[[], Any], what: str | Callable[[], str], seconds: float) -> None:
    """Poll; AssertionError with `what` after the time given."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what() if callable(what) else what
        time.sleep(0.02)


def memory_mb(process: int | str) -> float:
    """Return a process's resident memory without what it shares with others (libraries, DDS's segments)."""
    pages = Path(f"/proc/{process}/statm").read_text().split()
    return (int(pages[1]) - int(pages[2])) * os.sysconf("SC_PAGE_SIZE") / 2**20


class NodeProcess:
    """localizer_node, started and stopped as launch does it; what it says goes to a file."""

    def __init__(self, folder: Path, domain: int, *arguments: str) -> None:
        number = len(list(folder.glob("words_*")))
        self.words_file = folder / f"words_{number}.txt"
        self._command = [*COMMAND, *arguments]
        self.environment = os.environ | {"ROS_DOMAIN_ID": str(domain)}
        self.start()

    def start(self) -> None:
        with self.words_file.open("ab") as words:
            self.process = subprocess.Popen(
                self._command, env=self.environment, stdout=words, stderr=words, stdin=subprocess.DEVNULL
            )

    @property
    def words(self) -> str:
        return self.words_file.read_text(errors="replace")

    def ready_at(self) -> float:
        """Return when the node last said that it listens, s since 1970."""
        return float(re.findall(r"\[(\d+\.\d+)\] \[.*\]: localizing with", self.words)[-1])

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    @property
    def memory_mb(self) -> float:
        """Resident memory that is the process's own."""
        return memory_mb(self.process.pid)

    @property
    def cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self, signals: Sequence[int] = (signal.SIGINT,), pause: float = 0.02) -> tuple[int, float]:
        """Send signals and return the exit code and the seconds until it; kill what does not end."""
        started = time.monotonic()
        for number in signals:
            self.process.send_signal(number)
            time.sleep(pause)
        try:
            return self.process.wait(STOP_TIMEOUT), time.monotonic() - started
        finally:
            self.kill()

    def kill(self) -> None:
        if self.alive:
            self.process.kill()
        self.process.wait()


class Observer:
    """Hear the node's poses, and its diagnostics."""

    def __init__(self, ours: Node, tolerance: float) -> None:
        self.tolerance = tolerance
        """Largest error of a correct estimate, m."""
        self.heard: list[tuple[float, float]] = []
        """When each pose came (monotonic, s) and how wrong it was for its stamp (m)."""
        self.counters: dict[str, int] = {}
        """What the node says that it refused, by name."""
        self.warnings: list[tuple[float, str, str]] = []
        """When a status warned (monotonic, s), its name and its message."""
        ours.create_subscription(PoseWithCovarianceStamped, "pose", self._hear_pose, 1000)
        ours.create_subscription(DiagnosticArray, "/diagnostics", self._hear_diagnostics, 10)

    def _hear_pose(self, msg: PoseWithCovarianceStamped) -> None:
        estimate = pose_from_msg(msg)
        x, y = place(estimate.t_ns)
        self.heard.append((time.monotonic(), math.dist(estimate.position, (x, y))))

    def _hear_diagnostics(self, msg: DiagnosticArray) -> None:
        for status in msg.status:
            name = status.name.rpartition(": ")[2]
            if status.level[0]:
                self.warnings.append((time.monotonic(), name, status.message))
            if name == "messages":
                self.counters = {entry.key: int(entry.value) for entry in status.values}

    def worst(self, since: float, until: float) -> float:
        """Return the largest error heard in a span of time, 0 where nothing was heard."""
        return max((error for when, error in self.heard if since <= when < until), default=0.0)

    def recovered(self, since: float, settled: float = 1.0) -> float | None:
        """Return the seconds from an instant to the first pose from which on all are right for `settled` s."""
        later = [(when, error) for when, error in self.heard if when >= since]
        wrong = [when for when, error in later if not error <= self.tolerance]
        right = [when for when, _ in later if when > (wrong[-1] if wrong else -math.inf)]
        if len(right) < 4 or time.monotonic() - right[0] < settled or time.monotonic() - right[-1] > settled:
            return None
        return right[0] - since
