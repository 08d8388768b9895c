"""Faults of the process and of what surrounds it: each runs a node of its own."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rosgraph_msgs.msg import Clock
from std_msgs.msg import String

from faults.harness import MEMORY_MB, RECOVERY, Bench, Result, bench, participant
from faults.hostile import hostile_texts, string_cdr
from faults.node import START_TIMEOUT, NodeProcess, wait_until
from mail_localization.models.artifact import WEIGHTS_FILE
from mail_localization.ros.conversions import time_to_msg

SECOND_START = 40.0
"""Time until a restarted node is right again, its start and the discovery of the traffic included, s."""


@dataclass(frozen=True)
class Place:
    """Where a fault happens: a folder to write to, and the models."""

    scratch: Path
    models: dict[str, Path]

    @property
    def magnetic(self) -> Path:
        return self.models["magnetic_nn"]


def killed(place: Place) -> Result:
    """SIGKILL under traffic, then a new process."""
    with bench(place.scratch, place.magnetic, "magnetic_nn") as ours:
        ours.process.kill()
        time.sleep(1.0)
        began, began_wall = time.monotonic(), time.time()
        ours.process.start()
        wait_until(lambda: ours.observer.recovered(began) is not None, lambda: ours.process.words, SECOND_START)
        start_up = ours.process.ready_at() - began_wall
        recovery = (ours.observer.recovered(began) or 0.0) - start_up
        seen = f"{start_up:.1f} s of start-up before"
        return Result("killed and restarted", "SIGKILL, then a new process", _in_time(recovery), 0.0, seen)


def stopped(place: Place, name: str, signals: list[int]) -> Result:
    """Signals under traffic."""
    with bench(place.scratch, place.magnetic, "magnetic_nn") as ours:
        code, seconds = ours.process.stop(signals)
        assert code == 0, f"{name}: exit code {code}: {ours.process.words[-3000:]}"
        assert "Traceback" not in ours.process.words, ours.process.words
        return Result(name, "under traffic", None, 0.0, f"exit code 0 after {seconds:.1f} s")


def model_missing(place: Place) -> Result:
    """A folder that is not there."""
    return _refused(place, "model folder missing", "not there", place.scratch / "nowhere", "no such model folder")


def model_truncated(place: Place) -> Result:
    """Weights cut in half."""
    folder = place.scratch / "truncated"
    shutil.copytree(place.magnetic, folder)
    weights = folder / WEIGHTS_FILE
    weights.write_bytes(weights.read_bytes()[: weights.stat().st_size // 2])
    return _refused(place, "model folder truncated", "weights cut in half", folder, "damaged")


def _refused(place: Place, name: str, done: str, model: Path, reason: str) -> Result:
    node = NodeProcess(place.scratch, 0, "-p", f"model:={model}")
    try:
        code = node.process.wait(START_TIMEOUT)
    finally:
        node.kill()
    fatal = [line for line in node.words.splitlines() if "[FATAL]" in line]
    assert code == 1 and len(fatal) == 1 and reason in fatal[0], f"{name}: exit code {code}: {node.words}"
    assert "Traceback" not in node.words, node.words
    return Result(name, done, None, 0.0, f"exit code 1, one line: “{reason}”")


def model_replaced(place: Place) -> Result:
    """Deleted, then half a folder in its place, then whole again, while the node runs."""
    folder = place.scratch / "replaced"
    shutil.copytree(place.magnetic, folder)
    with bench(place.scratch, folder, "magnetic_nn") as ours:
        began = time.monotonic()
        shutil.rmtree(folder)
        time.sleep(1.0)
        folder.mkdir()
        shutil.copy(place.magnetic / WEIGHTS_FILE, folder)
        time.sleep(1.0)
        _stayed_right(ours, "model replaced", began)
        return Result(
            "model folder replaced",
            "deleted, then half a folder in its place, while the node runs",
            0.0,
            0.0,
            "the loaded model goes on",
        )


def clock_absent(place: Place) -> Result:
    """use_sim_time without /clock; then /clock comes, at the sensors' time."""
    with (
        bench(place.scratch, place.magnetic, "magnetic_nn", "-p", "use_sim_time:=true") as ours,
        participant(ours.domain) as node,
    ):
        publisher = node.create_publisher(Clock, "/clock", 10)
        began = time.monotonic()
        while time.monotonic() - began < 3.0:
            publisher.publish(Clock(clock=time_to_msg(time.time_ns() + ours.traffic.offset_ns)))
            time.sleep(0.02)
        _stayed_right(ours, "/clock absent", began)
        return Result(
            "/clock absent",
            "use_sim_time, no /clock for a while",
            0.0,
            0.0,
            "localized by the stamps, before and after",
        )


def slow_consumer(place: Place) -> Result:
    """A reliable subscriber of `pose` that is stopped (SIGSTOP) for 5 s."""
    with bench(place.scratch, place.magnetic, "magnetic_nn") as ours:
        memory = ours.process.memory_mb
        consumer = subprocess.Popen(
            [sys.executable, "-c", _CONSUMER], env=ours.process.environment, stdout=subprocess.PIPE
        )
        try:
            assert consumer.stdout is not None
            assert consumer.stdout.readline() == b"heard\n"
            consumer.send_signal(signal.SIGSTOP)
            began = time.monotonic()
            time.sleep(5.0)
            _stayed_right(ours, "slow consumer", began)
        finally:
            consumer.kill()
            consumer.wait()
        growth = ours.process.memory_mb - memory
        return Result(
            "slow consumer", "a reliable subscriber of `pose` stopped for 5 s", 0.0, growth, "poses to others go on"
        )


def best_effort_publishers(place: Place) -> Result:
    """Sensors that publish best effort; the other rows are reliable."""
    with bench(place.scratch, place.magnetic, "magnetic_nn", reliable=False) as ours:
        return Result(
            "QoS of publishers",
            "best effort; those of the other rows are reliable",
            0.0,
            0.0,
            f"{len(ours.observer.heard)} poses",
        )


def hostile_wifi(place: Place, count: int = 100_000) -> Result:
    """Hostile Wi-Fi messages at a thousand a second, then real scans."""
    with bench(place.scratch, place.models["wifi_knn"], "wifi_knn") as ours, participant(ours.domain) as node:
        publisher = node.create_publisher(String, "wifi/scan", 1000)
        _heard(ours, lambda: publisher.publish(String(data="not a scan")))
        before, began = _refused_scans(ours), time.monotonic()
        steady = peak = 0.0
        for number, text in enumerate(hostile_texts(count)):
            assert ours.process.alive, ours.process.words[-3000:]
            publisher.publish(string_cdr(text))
            time.sleep(0.1 if len(text) > 100_000 else 0.001)
            if number % 100 == 0:
                peak = max(peak, ours.process.memory_mb)
            if number <= count // 5:
                # By then every kind of bomb has been unpacked: from there on memory must stand still.
                steady = peak
        sent = time.monotonic() - began
        # The node has the rest of its queue before it: the fault ends when it has been read.
        wait_until(lambda: _quiet(ours), lambda: ours.process.words[-3000:], 300.0)
        recovery = _until_right(ours, time.monotonic())
        growth = peak - steady
        assert growth < MEMORY_MB, f"memory grew by {growth:.0f} MB"
        counted = _refused_scans(ours) - before
        assert counted > 0.9 * count, f"{counted} of {count} hostile messages were counted: {ours.observer.counters}"
        seen = f"{counted} messages refused, {count / sent:.0f}/s"
        return Result("hostile Wi-Fi", f"{count} damaged scans, bombs, bad UTF-8", recovery, growth, seen)


def _heard(ours: Bench, publish: Callable[[], None]) -> None:
    """Publish bad scans until the node counts them, and has counted all that it will.

    A busy node matches a publisher after the publisher matched it: what best effort sends until then is lost unseen.
    """
    before = _refused_scans(ours)

    def counted() -> bool:
        publish()
        time.sleep(0.1)
        return _refused_scans(ours) > before

    wait_until(counted, lambda: ours.process.words[-3000:], START_TIMEOUT)
    wait_until(lambda: _quiet(ours), lambda: ours.process.words[-3000:], START_TIMEOUT)


def _quiet(ours: Bench) -> bool:
    """Tell whether the node has refused nothing for a while."""
    before = sum(ours.observer.counters.values())
    time.sleep(3.0)
    return sum(ours.observer.counters.values()) == before


def _refused_scans(ours: Bench) -> int:
    """Count the Wi-Fi messages lost; a bad result leaves a scan that stays, a missing stamp is replaced."""
    kept = {"wifi.bad_result", "wifi.zero_stamp"}
    counters = ours.observer.counters.items()
    return sum(count for name, count in counters if name.startswith("wifi.") and name not in kept)


def _until_right(ours: Bench, ended: float) -> float:
    while (recovery := ours.observer.recovered(ended, settled=2.0)) is None:
        assert ours.process.alive, ours.process.words[-3000:]
        assert time.monotonic() - ended < RECOVERY + 8.0, f"no recovery: {ours.process.words[-3000:]}"
        time.sleep(0.05)
    return _in_time(recovery)


def _in_time(recovery: float) -> float:
    assert recovery <= RECOVERY, f"recovery took {recovery:.1f} s"
    return recovery


def _stayed_right(ours: Bench, name: str, began: float) -> None:
    now = time.monotonic()
    heard = [when for when, _ in ours.observer.heard if when >= began]
    assert ours.process.alive, f"{name}: {ours.process.words[-3000:]}"
    assert len(heard) > 3 * (now - began), (
        f"{name}: {len(heard)} poses in {now - began:.0f} s: {ours.process.words[-3000:]}"
    )
    worst = ours.observer.worst(began, now)
    assert worst <= ours.observer.tolerance, f"{name}: a pose was wrong by {worst:.1f} m"


_CONSUMER = """
import rclpy
from geometry_msgs.msg import PoseWithCovarianceStamped
from rclpy.qos import HistoryPolicy, QoSProfile
rclpy.init()
node = rclpy.create_node("slow")
heard = []
node.create_subscription(PoseWithCovarianceStamped, "pose", heard.append, QoSProfile(history=HistoryPolicy.KEEP_ALL))
while not heard:
    rclpy.spin_once(node)
print("heard", flush=True)
rclpy.spin(node)
"""

PROCESS_FAULTS: dict[str, Callable[[Place], Result]] = {
    "killed": killed,
    "SIGINT": lambda place: stopped(place, "SIGINT", [signal.SIGINT]),
    "SIGINT twice": lambda place: stopped(place, "SIGINT twice", [signal.SIGINT] * 2),
    "SIGTERM": lambda place: stopped(place, "SIGTERM", [signal.SIGTERM]),
    "model missing": model_missing,
    "model truncated": model_truncated,
    "model replaced": model_replaced,
    "clock absent": clock_absent,
    "slow consumer": slow_consumer,
    "best effort": best_effort_publishers,
    "hostile Wi-Fi": hostile_wifi,
}
