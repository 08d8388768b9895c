"""A node under traffic, and one fault after the other done to it."""

from __future__ import annotations

import contextlib
import fnmatch
import random
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import rclpy
from rclpy.context import Context
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node

from faults.course import STREAMS, WINDOW
from faults.node import START_TIMEOUT, NodeProcess, Observer, wait_until
from faults.table import Fault
from faults.traffic import Traffic

RECOVERY = WINDOW + 2.0
"""Time from the end of a fault to correct estimates, s."""
MEMORY_MB = 20.0
"""Growth of the node's memory by a fault."""
TOLERANCE = {"magnetic_nn": 1.0, "wifi_knn": 2.5}
"""Largest error of a correct estimate of the model, m."""


@dataclass(frozen=True)
class Result:
    """What was seen of one fault."""

    name: str
    done: str
    recovery: float | None
    """Time to correct estimates after its end, s; None where the row is not about estimates."""
    memory_mb: float
    """Growth of the node's memory."""
    seen: str
    """What the node said of it."""


class Bench:
    """The node, its traffic and its observer, each started once."""

    def __init__(
        self, folder: Path, model: Path, method: str, node: Node, domain: int, reliable: bool = True, *arguments: str
    ) -> None:
        self.observer = Observer(node, TOLERANCE[method])
        self.traffic = Traffic(node, STREAMS[method], reliable)
        self.domain = domain
        """ROS domain of this bench alone."""
        self.process = NodeProcess(folder, domain, "-p", f"model:={model}", *arguments)

    def start(self) -> None:
        """Start the traffic once the node listens, and wait until it is localized and its memory is steady."""
        wait_until(lambda: self.traffic.matched or not self.process.alive, lambda: self.process.words, START_TIMEOUT)
        self.traffic.start()
        self.settle()

    def settle(self) -> None:
        """Wait until the estimates are right."""
        since = time.monotonic()
        wait_until(
            lambda: self.observer.recovered(since) is not None, lambda: self._told("not localized"), START_TIMEOUT
        )

    def inflict(self, fault: Fault) -> Result:
        """Do a fault, and return what was seen; AssertionError where that is not what must be seen."""
        self.settle()
        counters, memory = dict(self.observer.counters), self.process.memory_mb
        tamper, began = fault.tamper(), time.monotonic()
        self.traffic.offset_ns += round(fault.clock * 1e9)
        self.traffic.tamper(tamper)
        time.sleep(fault.seconds)
        self.traffic.tamper(None)
        ended = time.monotonic()
        recovery = self._recovery(fault, ended)
        if fault.right:
            worst = self.observer.worst(began, ended)
            assert worst <= self.observer.tolerance, f"{fault.name}: a pose was wrong by {worst:.1f} m meanwhile"
        seen = "; ".join(filter(None, [self._counted(fault, tamper, counters), self._warned(fault, began)]))
        growth = self.process.memory_mb - memory
        assert growth < MEMORY_MB, f"{fault.name}: memory grew by {growth:.1f} MB"
        return Result(fault.name, fault.done, recovery, growth, seen or "-")

    def _warned(self, fault: Fault, began: float) -> str:
        """Return the warning of the status that the fault names."""
        if not fault.told:
            return ""
        warnings = [text for when, name, text in self.observer.warnings if name == fault.told and when >= began]
        assert warnings, f"{fault.name}: {fault.told} did not warn: {self.observer.warnings[-10:]}"
        return max(set(warnings), key=warnings.count)

    def _recovery(self, fault: Fault, ended: float) -> float:
        while (recovery := self.observer.recovered(ended)) is None:
            assert self.process.alive, f"{fault.name}: the node died: {self.process.words[-3000:]}"
            assert time.monotonic() - ended < RECOVERY + 5.0, self._told(f"{fault.name}: no recovery")
            time.sleep(0.02)
        assert recovery <= RECOVERY, f"{fault.name}: recovery took {recovery:.1f} s"
        return recovery

    def _counted(self, fault: Fault, tamper: object, before: dict[str, int]) -> str:
        """Wait for the diagnostics to count what was spoilt; say what they counted."""
        expected: dict[str, int] = getattr(tamper, "expected", {})

        def growth(name: str) -> int:
            after = self.observer.counters
            return sum(after[key] - before.get(key, 0) for key in after if fnmatch.fnmatch(key, name))

        deadline = time.monotonic() + 6.0
        while time.monotonic() < deadline and any(growth(name) < count for name, count in expected.items()):
            time.sleep(0.1)
        for name, count in expected.items():
            assert growth(name) >= count, (
                f"{fault.name}: {name} {growth(name)} counted of {count}: {self.observer.counters}"
            )
        grown = {name: count - before.get(name, 0) for name, count in self.observer.counters.items()}
        return ", ".join(f"{name} {count}" for name, count in sorted(grown.items()) if count)

    def _told(self, what: str) -> str:
        heard = [f"{error:.1f} m" for _, error in self.observer.heard[-5:]]
        return f"{what}; last errors {heard}; {self.observer.counters}; {self.process.words[-3000:]}"


@contextlib.contextmanager
def participant(domain: int) -> Iterator[Node]:
    """Yield a spinning ROS node of our own, in a context of its own."""
    context = Context()
    rclpy.init(args=[], context=context, domain_id=domain)
    node = rclpy.create_node(f"faults_{random.getrandbits(32):08x}", context=context, use_global_arguments=False)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)

    def spin() -> None:
        with contextlib.suppress(ExternalShutdownException):
            executor.spin()

    thread = threading.Thread(target=spin, daemon=True)
    thread.start()
    try:
        yield node
    finally:
        executor.shutdown()
        thread.join(10.0)
        rclpy.try_shutdown(context=context)


@contextlib.contextmanager
def bench(
    folder: Path, model: Path, method: str, *arguments: str, reliable: bool = True, lead: float = 0.0
) -> Iterator[Bench]:
    """Yield a node that is localized under traffic; stop both at the end.

    Args:
        lead: how far the sensors' clock is ahead of the node's, s.
    """
    # Up to 101 a domain's ports stay below the system's ephemeral ones.
    domain = random.SystemRandom().randint(1, 101)
    with participant(domain) as node:
        ours = Bench(folder, model, method, node, domain, reliable, *arguments)
        ours.traffic.offset_ns = round(lead * 1e9)
        try:
            ours.start()
            yield ours
        finally:
            ours.traffic.stop()
            ours.process.kill()
