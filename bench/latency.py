"""Time on one core: MAIL's network by engine, every method from sample to estimate, an update of those that match."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench import site
from mail_localization.data.recording import Recording
from mail_localization.localizer import load_localizer, localizer_of
from mail_localization.matching.map_filter import MapFilter
from mail_localization.matching.sequences import MagneticMatcher
from mail_localization.models.artifact import ModelCard, load_model
from mail_localization.models.backend import NETWORK_FILE
from mail_localization.models.exported import kernel
from mail_localization.models.exported.mail import graph
from mail_localization.models.mail import Mail
from mail_localization.models.mail_settings import MailSettings
from mail_localization.training.export import network_of

LENGTH, HOP = 500, 50
ROUNDS = 150
SETTLE = 20
"""Hops until every window's sub-sequences are known."""
BLOCK = 10
"""Hops that an engine computes before it is the next one's turn."""
METHODS = ("mail", "jang", "mmloc_plus", "magicol", "maloc", "wifi_knn", "pdr", "magnetic_nn")
ESTIMATES = 150
"""Calls of add that are measured for each method."""
PARTICLES = 2000


def run(scratch: Path) -> None:
    """Print the tables."""
    torch.set_num_threads(1)
    print(f"MAIL's network, window {LENGTH} x 3, hop {HOP}, six scales, one thread, ms (p50 / p99, ratio of medians)")
    for hidden in (32, 64, 128):
        _network(hidden)
    print("\nevery method, from the sample that completes a window to the estimate, at its shipped settings, ms")
    print(f"{'method':14}{'backend':>14}{'p50':>9}{'p99':>9}")
    _, test = site.recordings(scratch)
    for method in METHODS:
        folder = site.model(scratch, method)
        for backend in ("torch", "onnxruntime") if NETWORK_FILE in load_model(folder)[1] else ("auto",):
            p50, p99 = np.quantile(_adds(folder, test[0], backend), [0.5, 0.99])
            print(f"{method:14}{'-' if backend == 'auto' else backend:>14}{p50:9.2f}{p99:9.2f}", flush=True)

    print("\none update of a method that matches, on a recording of that site, ms (p50 / p99)")
    _updates(scratch, test[0])


def _updates(scratch: Path, path: Path) -> None:
    card, tensors = load_model(site.model(scratch, "magicol"))
    localizer: Any = localizer_of(card, tensors)
    with _timed(MagneticMatcher, "find") as (taken, found):
        for _ in localizer.localize(Recording(path).samples(localizer.inputs)):
            pass
    windows = max(len(np.unique(match.positions, axis=0)) + match.other for match in found)
    print("magicol, search of {:,} survey windows{:9.2f} /{:7.2f}".format(windows, *np.quantile(taken, [0.5, 0.99])))
    card, tensors = load_model(site.model(scratch, "maloc"))
    card.settings["filter"]["particles"] |= {"most": PARTICLES, "fewest": PARTICLES}
    localizer = localizer_of(card, tensors)
    with _timed(MapFilter, "advance") as (taken, _):
        for _ in localizer.localize(Recording(path).samples(localizer.inputs)):
            pass
    p50, p99 = np.quantile(taken[1:], [0.5, 0.99])  # The first scatters several times as many.
    print(f"maloc, a motion of {PARTICLES:,} particles     {p50:9.2f} /{p99:7.2f}", flush=True)


@contextmanager
def _timed(owner: type, name: str) -> Iterator[tuple[list[float], list[Any]]]:
    """Note how long each call of a method takes, ms, and what it returns."""
    method, taken, returned = getattr(owner, name), [], []

    def timed(*args: Any) -> Any:
        started = time.perf_counter()
        result = method(*args)
        taken.append((time.perf_counter() - started) * 1e3)
        returned.append(result)
        return result

    setattr(owner, name, timed)
    try:
        yield taken, returned
    finally:
        setattr(owner, name, method)


def _network(hidden: int) -> None:
    """Time the engines on the same windows, a few hops each in turn: all see the same moments of the machine."""
    torch.manual_seed(0)
    settings = MailSettings(hidden=hidden)
    tensors = {name: value.numpy() for name, value in Mail(settings, LENGTH).state_dict().items()}
    content = {
        "window": {"length": LENGTH, "hop": HOP},
        "magnetic": {"transform": "gradient"},
        "network": settings.to_mapping(),
    }
    card = ModelCard("mail", content, [[1.0, 0.0], [0.0, 1.0]])
    tensors[NETWORK_FILE] = np.frombuffer(graph(card, tensors), dtype=np.uint8)
    rows = np.random.default_rng(0).normal(size=(LENGTH + HOP * (ROUNDS + SETTLE), 3)).astype(np.float32)
    engines: dict[str, tuple[Callable[..., Any], int]] = {"torch eager": (network_of(card, tensors, "torch"), 1)}
    for name, leave in (("ONNX Runtime", kernel.left_out), ("compiled kernel", nullcontext)):
        with leave():
            # Without anything in common between its windows, an engine computes each of them whole.
            engines[f"{name}, whole window"] = (network_of(card, tensors, "onnxruntime"), 1000)
            engines[f"{name}, streamed"] = (network_of(card, tensors, "onnxruntime"), 1)
    taken: dict[str, list[float]] = {name: [] for name in engines}
    ends = range(LENGTH, len(rows), HOP)
    for start in range(0, len(ends), BLOCK):
        for name, (engine, factor) in engines.items():
            taken[name] += _streamed(engine, rows, ends[start : start + BLOCK], factor)
    eager = np.median(taken["torch eager"][SETTLE:])
    for name, ms in taken.items():
        p50, p99 = np.quantile(ms[SETTLE:], [0.5, 0.99])
        print(f"hidden {hidden:4}  {name:28}{p50:8.2f} /{p99:7.2f}{eager / p50:8.1f} x", flush=True)


def _streamed(engine: Callable[..., Any], rows: np.ndarray, ends: range, factor: int) -> list[float]:
    """Return the time of every hop, ms; windows' ends are numbered `factor` times as far apart as they are."""
    taken = []
    for end in ends:
        window, number = rows[None, end - LENGTH : end], np.array([end * factor])
        started = time.perf_counter()
        engine(window, number)
        taken.append((time.perf_counter() - started) * 1e3)
    return taken


def _adds(folder: Path, path: Path, backend: str) -> list[float]:
    """Return the times of the calls of `add` that gave an estimate, ms."""
    localizer = load_localizer(folder, backend=backend)

    def timed() -> Any:
        for sample in Recording(path).samples(localizer.inputs):
            started = time.perf_counter()
            if localizer.add(sample) is not None:
                yield (time.perf_counter() - started) * 1e3

    return list(itertools.islice(timed(), 5, ESTIMATES + 5))
