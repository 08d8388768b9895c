"""Import and offline evaluation in times real time: on one core, and on all of them."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch

from bench import site
from bench.raw import write_raw
from mail_localization.data.sources.importer import ImportOptions, import_all, plan_import
from mail_localization.evaluation.replay import Replay, Task, replay_offline
from mail_localization.workers import HERE, Spread

SOURCE = "indoor-location-20"
RUNS = (
    ("magnetic_nn", 0), ("magnetic_nn", 5), ("mail", 0), ("mail", 5), ("mmloc_plus", 0), ("wifi_knn", 0),
    ("pdr", 0), ("maloc", 0), ("magicol", 0),
)  # fmt: skip
"""Method and samples between estimates at 50 Hz; 0: as shipped."""
PASSES = 3
"""Times that each method replays all recordings; the median counts."""
SPREAD = ("mail", "maloc")
"""Methods that are replayed on all cores, too."""
BUSY = 5.0
"""Work for each core there, s: the start of its process must not count for much."""


def run(scratch: Path) -> None:
    """Print a row per kind of work: one core by processor time, all cores by the clock on the wall."""
    torch.set_num_threads(1)
    train, test = site.recordings(scratch)
    cores = os.cpu_count() or 1
    print(f"{'work':28}{'estimates/s':>12}{'x real time, one core':>24}{f'all {cores} cores':>14}{'ratio':>8}")
    _row(f"import {SOURCE}", None, *_imports(scratch, [path for path in train if "robot" not in path.name]))
    for method, hop in RUNS:
        tasks = [Task(method, site.model(scratch, method), path.name, path, hop=hop) for path in test]
        passes = [_timed(lambda tasks=tasks: replay_offline(tasks), time.process_time) for _ in range(PASSES)]
        replays, seconds = sorted(passes, key=lambda timed: timed[1])[PASSES // 2]
        recorded, count = _recorded(replays), sum(len(replay.estimates) for replay in replays)
        everywhere = None
        if method in SPREAD and not hop:
            more = _repeated(tasks, BUSY * cores / seconds)
            found, wall = _timed(lambda more=more: replay_offline(more, Spread(cores)), time.perf_counter)
            everywhere = _recorded(found) / wall
        _row(f"evaluate {method}", count / recorded, recorded / seconds, everywhere)


def _imports(scratch: Path, recordings: list[Path]) -> tuple[float, float]:
    """Return times real time of importing raw traces on one core and on all of them."""
    for path in recordings:
        write_raw(path, scratch / "raw" / f"{path.name}.txt")
    plan = plan_import(SOURCE, scratch / "raw")
    options = ImportOptions(SOURCE, scratch / "imported")
    alone, seconds = _timed(lambda: import_all(plan, options, HERE), time.process_time)
    duration = sum(result.duration for result in alone)
    cores = os.cpu_count() or 1
    more = scratch / "more_raw"
    more.mkdir()
    for number in range(1 + round(BUSY * cores / seconds)):
        for file in plan:
            (more / f"{number}_{file.name}").hardlink_to(file)
    plan = plan_import(SOURCE, more)
    results, wall = _timed(lambda: import_all(plan, options, Spread(cores)), time.perf_counter)
    return duration / seconds, sum(result.duration for result in results) / wall


def _timed(work: Callable[[], Iterable[Any]], clock: Callable[[], float]) -> tuple[list[Any], float]:
    started = clock()
    return list(work()), clock() - started


def _repeated(tasks: list[Task], times: float) -> list[Task]:
    return [dataclasses.replace(task, recording=f"{task.recording}-{n}") for n in range(round(times)) for task in tasks]


def _recorded(replays: list[Replay]) -> float:
    return sum(replay.duration for replay in replays)


def _row(name: str, rate: float | None, one: float, everywhere: float | None) -> None:
    estimates = "-" if rate is None else f"{rate:.1f}"
    spread = "-" if everywhere is None else f"{everywhere:.0f}"
    ratio = "-" if everywhere is None else f"{everywhere / one:.2f}"
    print(f"{name:28}{estimates:>12}{one:24.0f}{spread:>14}{ratio:>8}", flush=True)
