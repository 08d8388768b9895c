"""Threads that each run torch's operations on one core: no operation waits for a core that others have taken."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any, TypeVar

import torch

Result = TypeVar("Result")


def spread(function: Callable[..., Result], *arguments: Sequence[Any], threads: int) -> list[Result]:
    """Map a function over arguments, as `map` does, in so many threads and without recording gradients."""

    def run(*each: Any) -> Result:
        with torch.no_grad():
            return function(*each)

    if threads == 1:
        return list(map(run, *arguments))
    return list(_workers(threads).map(run, *arguments))


@lru_cache(maxsize=1)
def _workers(count: int) -> ThreadPoolExecutor:
    before, started = torch.get_num_threads(), threading.Barrier(count + 1)

    def start() -> None:
        torch.get_num_threads()  # only after a first look does torch keep a thread's own number
        torch.set_num_threads(1)
        torch.set_flush_denormal(True)
        started.wait()

    workers = ThreadPoolExecutor(count, "mail_localization_torch", initializer=start)
    for _ in range(count):
        workers.submit(int)
    started.wait()
    torch.set_num_threads(before)  # threads started later would take over a worker's 1
    return workers
