"""Offline evaluation in times real time, on one core."""

from __future__ import annotations

import time
from pathlib import Path

from bench import site
from mail_localization.data.recording import Recording
from mail_localization.localizer import load_localizer

HOPS = (25, 5)
"""Samples between estimates at 50 Hz: 2 and 10 estimates a second."""


def run(scratch: Path) -> None:
    """Print a row per model and rate of estimates."""
    _, test = site.recordings(scratch)
    models = {
        "magnetic_nn": site.model(scratch, "magnetic_nn", components="sensor"),
        "mail": site.model(scratch, "mail", components="sensor"),
        "mail, gravity aligned": site.model(scratch, "mail", components="gravity_aligned"),
    }
    print(f"{'model':24}{'estimates/s':>12}{'estimates':>11}{'x real time':>13}{'add() p50, ms':>15}{'p99':>8}")
    for name, folder in models.items():
        for hop in HOPS:
            seconds, wall, count = _replay(folder, test, hop)
            latency = _latency(folder, test[0], hop)
            print(
                f"{name:24}{50 / hop:12.0f}{count:11}{seconds / wall:13.0f}"
                f"{latency[len(latency) // 2]:15.2f}{latency[int(len(latency) * 0.99)]:8.2f}"
            )


def _replay(folder: Path, test: list[Path], hop: int) -> tuple[float, float, int]:
    """Return recorded seconds, wall seconds (reading the bag included) and the number of estimates."""
    localizer = load_localizer(folder, hop)
    seconds, count, started = 0.0, 0, time.perf_counter()
    for path in test:
        recording = Recording(path)
        localizer.reset()
        count += sum(1 for _ in localizer.localize(recording.samples(localizer.inputs)))
        seconds += recording.duration
    return seconds, time.perf_counter() - started, count


def _latency(folder: Path, path: Path, hop: int) -> list[float]:
    """Return the sorted times of the calls that gave an estimate, sample by sample, ms."""
    localizer, taken = load_localizer(folder, hop), []
    for sample in Recording(path).samples():
        started = time.perf_counter()
        if localizer.add(sample) is not None:
            taken.append((time.perf_counter() - started) * 1e3)
    return sorted(taken[1:])
