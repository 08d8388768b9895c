"""What a unit costs as the whole grows: length of a trace, number of recordings, size of the survey."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from bench import site, surveys
from mail_localization.data.recording import Recording, Topics, write_recording
from mail_localization.data.traces import load_traces
from mail_localization.evaluation.replay import Task, replay_offline
from mail_localization.methods import METHODS
from mail_localization.preprocess.magnetic import MagneticSettings
from mail_localization.preprocess.windows import WindowSettings
from mail_localization.training.options import TrainOptions
from mail_localization.types import ReferencePose

TRACE = (1, 2, 4)
"""Lengths, as multiples of one recording's."""
RECORDINGS = (2, 4, 8)
SURVEY = (1000, 2000, 4000, 8000)
REPLAYED = ("mail", "magnetic_nn", "wifi_knn", "maloc", "magicol")
TRAINED = ("magnetic_nn", "wifi_knn", "maloc", "magicol")
QUERIES = 100


def run(scratch: Path) -> None:
    """Print three tables of processor time per unit; linear in the whole is a unit that always costs the same."""
    torch.set_num_threads(1)
    _traces(scratch)
    _recordings(scratch)
    _surveys()


def _traces(scratch: Path) -> None:
    _, test = site.recordings(scratch)
    paths = [_longer(test[0], times, scratch) for times in TRACE]
    minutes = [Recording(path).duration / 60 for path in paths]
    _head("length of a trace", "minutes", minutes, "ms for a second of it")
    for method in REPLAYED:
        folder = site.model(scratch, method)
        tasks = [Task(method, folder, path.name, path) for path in paths]
        seconds = [_seconds(lambda task=task: list(replay_offline([task]))) for task in tasks]
        _row(f"evaluate {method}", minutes, seconds, 1e3 / 60)


def _recordings(scratch: Path) -> None:
    train, _ = site.recordings(scratch)
    walked = [path for path in train if "robot" not in path.name]
    # Each again under another name: training tells recordings apart by that, and matches each with the others.
    paths = [_named(walked[k % len(walked)], scratch / "many" / f"{k:02}") for k in range(max(RECORDINGS))]
    minutes = sum(Recording(path).duration for path in paths) / len(paths) / 60
    _head("number of recordings", f"recordings of {minutes:.1f} min", RECORDINGS, "ms for each")
    window, magnetic = WindowSettings(), MagneticSettings()
    read = [_seconds(lambda n=n: load_traces(paths[:n], Topics(), window, magnetic)) for n in RECORDINGS]
    _row("read for training", RECORDINGS, read, 1e3)
    for method in TRAINED:
        folder = scratch / "many_models" / method
        seconds = [_seconds(partial(_train, method, paths[:n], folder / str(n))) for n in RECORDINGS]
        _row(f"train {method}", RECORDINGS, seconds, 1e3)
    tasks = [Task("magicol", site.model(scratch, "magicol"), path.name, path) for path in paths]
    seconds = [_seconds(lambda n=n: list(replay_offline(tasks[:n]))) for n in RECORDINGS]
    _row("evaluate magicol", RECORDINGS, seconds, 1e3)


def _surveys() -> None:
    _head("size of the survey", "windows, fingerprints, or metres of way", SURVEY, "ms for a search")
    for name, made in surveys.SEARCHES.items():
        searches = [made(size) for size in SURVEY]
        for search in searches:
            search()
        seconds = [_seconds(lambda search=search: [search() for _ in range(QUERIES)]) / QUERIES for search in searches]
        _row(name, [1.0] * len(SURVEY), seconds, 1e3, SURVEY)


def _train(method: str, paths: list[Path], out: Path) -> None:
    METHODS[method].train(METHODS[method].config(), paths, out, TrainOptions(progress=False))


def _longer(path: Path, times: int, scratch: Path) -> Path:
    """Write a recording that repeats another, one time after the other without a gap."""
    bag = Recording(path)
    reference = bag.reference()
    marks = [
        ReferencePose(t_ns, x, y)
        for t_ns, (x, y) in zip(reference.t_ns.tolist(), reference.position.tolist(), strict=True)
    ]
    once = [*bag.samples(), *marks]
    length = max(sample.t_ns for sample in once) - min(sample.t_ns for sample in once) + 10_000_000
    samples = [dataclasses.replace(sample, t_ns=sample.t_ns + k * length) for k in range(times) for sample in once]
    out = scratch / "longer" / f"{times}"
    write_recording(out, samples, bag.info)
    return out


def _named(path: Path, link: Path) -> Path:
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(path.resolve())
    return link


def _seconds(work: Callable[[], Any]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def _head(axis: str, what: str, sizes: Sequence[float], unit: str) -> None:
    print(f"\n{axis} ({what}); processor time, {unit}; order: 1 is linear in the whole, 2 quadratic, 0 no matter")
    print(f"{'':28}{''.join(f'{size:10.4g}' for size in sizes)}{'order':>8}", flush=True)


def _row(
    name: str, units: Sequence[float], seconds: Sequence[float], scale: float, sizes: Sequence[float] = ()
) -> None:
    """Print costs for each unit, and the power of the size with which the whole grows; sizes: where not the units."""
    sizes = sizes or units
    costs = "".join(f"{scale * spent / count:10.3g}" for count, spent in zip(units, seconds, strict=True))
    order = math.log(seconds[-1] / seconds[0]) / math.log(sizes[-1] / sizes[0])
    print(f"{name:28}{costs}{order:8.2f}", flush=True)
