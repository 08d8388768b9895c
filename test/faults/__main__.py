"""Run the faults, and write what was seen into docs/reliability.md: `make faults`."""

from __future__ import annotations

import argparse
import math
import os
import random
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

# Before rclpy is imported: nothing else on the network hears us, or is heard.
os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
os.environ["ROS_DOMAIN_ID"] = str(random.SystemRandom().randint(1, 100))
os.environ.setdefault("OMP_NUM_THREADS", "1")

from faults import bags, disk, models, processes, report, soak, writes
from faults.course import write_config, write_models
from faults.fuzzing import fuzz
from faults.harness import Result, bench
from faults.table import FAULTS

PARTS = ("traffic", "processes", "disk", "fuzz", "soak", "dds")
A_DAY = 86_400.0


def main() -> int:
    """Run the parts asked for; 1 where something failed."""
    parser = argparse.ArgumentParser(prog="make faults", description=__doc__)
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}; none = all")
    parser.add_argument("--inputs", type=int, default=100_000, help="damaged inputs of the fuzzers in all")
    parser.add_argument("--messages", type=int, default=10_000_000, help="messages of the soak through the callbacks")
    parser.add_argument("--dds", type=int, default=1_000_000, help="messages of the soak over DDS")
    arguments = parser.parse_args()
    run = Run(arguments)
    with tempfile.TemporaryDirectory() as folder:
        for part in arguments.parts or PARTS:
            print(f"== {part}", flush=True)
            getattr(run, part)(Path(folder))
    return run.failures > 0


class Run:
    """The parts, each of which writes its section of the page."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self._arguments = arguments
        self._models: dict[str, Path] = {}
        self.failures = 0

    def traffic(self, folder: Path) -> None:
        """Faults of running traffic, one after the other on one node, and on one that hears an old recording."""
        results: list[Result] = []
        for recorded in (False, True):
            lead = -1000.3 * A_DAY if recorded else 0.0
            with bench(folder, self._made(folder)["magnetic_nn"], "magnetic_nn", lead=lead) as ours:
                for fault in FAULTS:
                    if fault.recorded == recorded:
                        self._try(results, fault.name, lambda fault=fault: ours.inflict(fault))  # type: ignore[misc]
        self._put("traffic", report.table(results))

    def processes(self, folder: Path) -> None:
        """Faults of the process and of what surrounds it."""
        results: list[Result] = []
        place = processes.Place(folder, self._made(folder))
        for name, fault in processes.PROCESS_FAULTS.items():
            self._try(results, name, lambda fault=fault: fault(place))  # type: ignore[misc]
        self._put("processes", report.table(results))

    def disk(self, folder: Path) -> None:
        """A full disk under each command that writes."""
        made, real = self._made(folder), disk.may_mount(folder / "mount")
        means = "a tmpfs of so many kB" if real else "files limited to so many kB (no root here to mount a small disk)"
        lines = [f"{means}.\n\n| command | room, kB | refused with one clear line | done |\n|---|---|---|---|\n"]
        config = write_config(folder / "config.yaml", "magnetic_nn")
        rounds = [folder / "models" / "round_0", folder / "models" / "round_1"]
        for write in writes.writes(made["magnetic_nn"], rounds, config):
            try:
                failed, done = disk.fill(write, folder / "disk", real)
            except AssertionError as err:
                lines.append(f"| {write.name} | {self._failed(write.name, err)} | - | - |\n")
                continue
            lines.append(f"| {write.name} | {', '.join(map(str, write.sizes_kb))} | {failed} | {done} |\n")
        self._put("disk", "".join(lines))

    def fuzz(self, folder: Path) -> None:
        """Damaged bags, messages and models."""
        inputs = self._arguments.inputs
        kinds: list[tuple[type[Any], int]] = [
            (bags.BagFiles, inputs // 5), (bags.BagMessages, inputs // 2), (models.ModelFolders, inputs * 3 // 10),
        ]  # fmt: skip
        lines = ["| input | damaged | refused | slowest | growth of memory |\n|---|---|---|---|---|\n"]
        for number, (kind, count) in enumerate(kinds):
            scratch = folder / f"fuzz_{number}"
            scratch.mkdir()
            try:
                done = fuzz(kind(scratch), count)
            except AssertionError as err:
                lines.append(f"| {kind.name} | {self._failed(kind.name, err)} | - | - | - |\n")
                continue
            lines.append(
                f"| {done.name} | {done.inputs} | {done.refusals} | {done.slowest:.1f} s | {done.growth_mb:.0f} MB |\n"
            )
        self._put("fuzz", "".join(lines))

    def soak(self, folder: Path) -> None:
        """Many messages through a node's callbacks."""
        self._soak("soak", lambda model: soak.in_process(model, self._arguments.messages, _say), folder)

    def dds(self, folder: Path) -> None:
        """Many messages over DDS."""
        self._soak("dds", lambda model: soak.over_dds(folder, model, self._arguments.dds, _say), folder)

    def _soak(self, name: str, run: Callable[[Path], soak.Soak], folder: Path) -> None:
        try:
            seen = run(self._made(folder)["magnetic_nn"])
            seen.check()
            self._put(name, f"{seen}.")
        except AssertionError as err:
            self._put(name, self._failed(name, err))

    def _made(self, folder: Path) -> dict[str, Path]:
        if not self._models:
            self._models = write_models(folder / "models")
        return self._models

    def _try(self, results: list[Result], name: str, fault: Callable[[], Result]) -> None:
        try:
            results.append(fault())
            print(f"{results[-1]}", flush=True)
        except AssertionError as err:
            results.append(Result(name, "", None, math.nan, self._failed(name, err)))

    def _failed(self, name: str, err: AssertionError) -> str:
        """Count and print a failure; return what the page says of it."""
        self.failures += 1
        print(f"FAILED {name}: {err}", file=sys.stderr, flush=True)
        traceback.print_exc(limit=-1)
        return f"**failed**: {str(err).splitlines()[0][:200]}"

    def _put(self, section: str, lines: str) -> None:
        print(lines, flush=True)
        options = {
            "fuzz": f" --inputs {self._arguments.inputs}",
            "soak": f" --messages {self._arguments.messages}",
            "dds": f" --dds {self._arguments.dds}",
        }
        report.put(section, lines, f'make faults PARTS="{section}{options.get(section, "")}"')


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
