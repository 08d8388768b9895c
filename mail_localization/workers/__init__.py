"""Many independent calls spread over worker processes of this machine, or of several through Dask.

`each` is what most callers want; whoever decides himself what is begun next takes `open_workers`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from mail_localization.errors import importing
from mail_localization.workers.calls import Answer, Workers, attempt
from mail_localization.workers.local import LocalWorkers


@dataclass(frozen=True)
class Spread:
    """Where calls are made."""

    jobs: int = 1
    """Worker processes on this machine."""
    scheduler: str = ""
    """Address of a Dask scheduler, whose workers are taken instead."""


HERE = Spread()
"""One call after the other, in this process where that will do."""


@contextlib.contextmanager
def open_workers(spread: Spread) -> Iterator[Workers]:
    """Start or reach workers; at the end whatever they still do is given up.

    Raises:
        ClusterError: the scheduler cannot be reached, or a worker of it is not fit.
        MissingDependencyError: Dask is not installed.
    """
    workers: Workers
    if spread.scheduler:
        with importing("--scheduler"):
            from mail_localization.workers.cluster import DaskWorkers
        workers = DaskWorkers(spread.scheduler)
    else:
        workers = LocalWorkers(spread.jobs)
    with contextlib.closing(workers):
        yield workers


def each(function: Callable[[Any], Any], items: Sequence[Any], spread: Spread) -> Iterator[tuple[int, Answer]]:
    """Call a module's function with every item; yield index and answer as they come.

    What goes wrong with one item is its answer. One job, or one item, needs no other process.
    """
    if not spread.scheduler and min(spread.jobs, len(items)) <= 1:
        for index, item in enumerate(items):
            yield index, attempt(function, item)
        return
    waiting, unanswered = iter(enumerate(items)), len(items)
    with open_workers(spread) as workers:
        while unanswered:
            while workers.free() > 0 and (call := next(waiting, None)):
                index, item = call
                workers.begin(index, function, item)
            for index, answer in workers.wait():
                unanswered -= 1
                yield index, answer
