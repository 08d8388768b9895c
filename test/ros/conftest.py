"""A small survey with its model, the node as a process, and a ROS node of the test's own."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from surveys import START_NS, corridor_walk, write_survey

from mail_localization.data.recording import RecordingInfo, write_recording
from mail_localization.matching.magnetic_nn import MagneticNnConfig
from mail_localization.training.magnetic_nn import train
from mail_localization.training.options import TrainOptions

DEADLINE = 40.0  # s; imports and discovery on a busy machine
WINDOW = {"length": 50, "hop": 5}  # 1 s at 50 Hz, ten estimates per second


@dataclass(frozen=True)
class Survey:
    model: Path
    probe: Path
    """A walk of 8 s that the model has not seen."""


@pytest.fixture(scope="session")
def survey(tmp_path_factory: pytest.TempPathFactory) -> Survey:
    folder = tmp_path_factory.mktemp("survey")
    config = MagneticNnConfig.from_mapping({"window": WINDOW})
    train(config, write_survey(folder, seconds=15.0), folder / "model", TrainOptions(progress=False))
    walk = corridor_walk(speed=1.1, seconds=8.0, start_ns=START_NS + 10**12, seed=9)
    write_recording(folder / "probe", walk, RecordingInfo())
    return Survey(folder / "model", folder / "probe")


def wait_until(condition: Callable[[], bool], what: str, deadline: float = DEADLINE) -> None:
    """Poll; fail with `what` after the deadline."""
    end = time.monotonic() + deadline
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.01)


class NodeProcess:
    """A node as its own process; what it says goes to a file."""

    def __init__(self, words: Path, *ros_arguments: str, executable: str = "localizer_node") -> None:
        self._words = words
        command = [sys.executable, "-m", f"mail_localization.ros.{executable}", "--ros-args", *ros_arguments]
        with words.open("wb") as file:
            self.process = subprocess.Popen(command, stdout=file, stderr=file)

    @property
    def words(self) -> str:
        return self._words.read_text()

    def wait_ready(self, said: str = "localizing with") -> None:
        wait_until(lambda: said in self.words or self.process.poll() is not None, f"{said}; {self.words}")
        assert self.process.poll() is None, self.words

    def stop(self) -> int:
        self.process.terminate()
        return self.process.wait(DEADLINE)


@pytest.fixture
def start_node(tmp_path: Path) -> Iterator[Callable[..., NodeProcess]]:
    """Start nodes with ROS arguments; they are killed at the end of the test."""
    started: list[NodeProcess] = []

    def start(*ros_arguments: str, executable: str = "localizer_node") -> NodeProcess:
        words = tmp_path / f"words_{len(started)}.txt"
        started.append(NodeProcess(words, *ros_arguments, executable=executable))
        return started[-1]

    yield start
    for node in started:
        node.process.kill()
        node.process.wait()


class Peer:
    """The test's own ROS node."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(node)

    def spin_until(self, condition: Callable[[], bool], what: str, deadline: float = DEADLINE) -> None:
        end = time.monotonic() + deadline
        while not condition():
            assert time.monotonic() < end, what
            self._executor.spin_once(timeout_sec=0.02)

    def spin_for(self, seconds: float, until: Callable[[], bool] = lambda: False) -> bool:
        """Spin for so long, or until the condition holds, and return whether it does."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and not until():
            self._executor.spin_once(timeout_sec=0.02)
        return until()


@pytest.fixture
def peer() -> Iterator[Peer]:
    rclpy.init(args=[])
    node = rclpy.create_node("peer")
    yield Peer(node)
    node.destroy_node()
    rclpy.shutdown()
