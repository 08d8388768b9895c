"""Running a graph of tasks on workers, each task after those it needs, finished ones not again."""

from __future__ import annotations

import contextlib
import fcntl
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from tqdm import tqdm

from mail_localization.data.cache import NO_CACHE, Cache
from mail_localization.errors import EvaluationError
from mail_localization.experiments.step import Step, run_step
from mail_localization.experiments.tasks import Store, Task
from mail_localization.workers import Spread, open_workers
from mail_localization.workers.calls import Answer, Workers

SHOWN = 4
"""Running tasks that the progress bar names."""


@dataclass
class Outcome:
    """What became of the tasks of a run."""

    reused: int = 0
    """Finished in an earlier run."""
    stale: int = 0
    """Finished in an earlier run, by other code: run anew, or reused if that was asked for."""
    done: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    """Task folder -> why."""


def run_tasks(
    tasks: Mapping[str, Task], root: Path, store: Store, spread: Spread, progress: bool = True, cache: Cache = NO_CACHE
) -> Outcome:
    """Run every task that is not finished; one that fails is recorded and the rest goes on.

    Args:
        tasks: by folder; every need is among them.
        root: folder of all recordings.
        store: the tasks' folders.
        spread: where tasks run.
        progress: draw a bar on the standard error stream.
        cache: of what was made of recordings.

    Raises:
        EvaluationError: another run works in the same folder.
        ClusterError: the cluster cannot be used, or is gone.
    """
    with _locked(store.runs), open_workers(spread) as workers:
        run = _Run(tasks, partial(Step, store=store, root=root.resolve(), cache=cache), store, workers, progress)
        try:
            run.work()
        finally:
            run.close()
    return run.outcome


class _Run:
    """One run: what waits, what is in work, and what has come of it."""

    def __init__(
        self, tasks: Mapping[str, Task], step: Callable[[Task], Step], store: Store, workers: Workers, progress: bool
    ) -> None:
        self.outcome = Outcome(stale=sum(map(store.stale, tasks.values())))
        self._step, self._store, self._workers = step, store, workers
        self._waiting = dict(tasks)
        self._rank = _ranks(tasks)
        self._settled: set[str] = set()
        self._running: dict[int, tuple[Task, float]] = {}
        """Number of the call -> task and when it was begun."""
        self._begun = 0
        total = sum(task.minutes for task in tasks.values())
        self._count = len(tasks)
        pause = 0.5 if sys.stderr.isatty() else 30.0
        self._bar = tqdm(
            total=total, mininterval=pause, miniters=0, disable=not progress, dynamic_ncols=True,
            bar_format="{desc} {percentage:3.0f}%|{bar:20}| {elapsed}<{remaining}{postfix}",
        )  # fmt: skip
        if self.outcome.stale and not store.any_code:
            self._bar.write(
                f"{self.outcome.stale} finished tasks were made by other code than this and are run anew "
                "(--keep-stale keeps them)", file=sys.stderr,
            )  # fmt: skip

    def work(self) -> None:
        """Keep the workers busy until every task is settled."""
        while self._waiting or self._running:
            self._reuse()
            self._start()
            self._show()
            if self._running:
                for number, answer in self._workers.wait():
                    self._take(number, answer)
        self._show()

    def close(self) -> None:
        """Leave the last state of the bar on the screen."""
        self._bar.close()

    def _ready(self) -> list[Task]:
        """Return the tasks whose needs are settled, the start of the longest chain first."""
        ready = [task for task in self._waiting.values() if self._settled.issuperset(task.needs)]
        return sorted(ready, key=lambda task: -self._rank[task.folder])

    def _reuse(self) -> None:
        """Settle what an earlier run has finished; that may make more of it ready."""
        while found := [task for task in self._ready() if self._store.finished(task)]:
            for task in found:
                self.outcome.reused += 1
                self._settle(task)

    def _start(self) -> None:
        """Give ready tasks to the workers; what must run alone waits for the end of all others."""
        ready = self._ready()
        shared = [task for task in ready if not task.alone]
        if not shared and not self._running and all(task.alone for task in self._waiting.values()):
            shared = ready[:1]
        for task in shared[: max(0, self._workers.free())]:
            del self._waiting[task.folder]
            self._running[self._begun] = task, time.monotonic()
            self._workers.begin(self._begun, run_step, self._step(task))
            self._begun += 1

    def _take(self, number: int, answer: Answer) -> None:
        """Settle the task of an answer; where the worker did not come to it, its failure is kept here."""
        task, _ = self._running.pop(number)
        if answer.error:
            self._store.write_failure(task, answer.error)
        if error := answer.error or answer.value:
            self.outcome.failed[task.folder] = error
            self._bar.write(f"{task.name}: {error}", file=sys.stderr)
        else:
            self.outcome.done += 1
        self._settle(task)

    def _settle(self, task: Task) -> None:
        self._waiting.pop(task.folder, None)
        self._settled.add(task.folder)
        self._bar.update(task.minutes)

    def _show(self) -> None:
        """Say how much is done and what is running, for how long."""
        now = time.monotonic()
        running = [f"{task.name} {(now - since) / 60:.1f} min" for task, since in self._running.values()]
        more = [f"{len(running) - SHOWN} more"] if len(running) > SHOWN else []
        self._bar.set_description_str(f"{len(self._settled)}/{self._count} tasks", refresh=False)
        self._bar.set_postfix_str(", ".join(running[:SHOWN] + more), refresh=False)
        # update(0) draws when it is time to, in a log file only now and then.
        self._bar.update(0)
        if sys.stderr.isatty():
            self._bar.refresh()


def _ranks(tasks: Mapping[str, Task]) -> dict[str, float]:
    """Return for each task the expected minutes of the longest chain that begins with it."""
    users: dict[str, list[str]] = {folder: [] for folder in tasks}
    for folder, task in tasks.items():
        for need in task.needs:
            users[need].append(folder)
    ranks: dict[str, float] = {}

    def rank(folder: str) -> float:
        if folder not in ranks:
            ranks[folder] = tasks[folder].minutes + max(map(rank, users[folder]), default=0.0)
        return ranks[folder]

    for folder in tasks:
        rank(folder)
    return ranks


@contextlib.contextmanager
def _locked(runs: Path) -> Iterator[None]:
    """Keep a second run out of the folder."""
    try:
        runs.mkdir(parents=True, exist_ok=True)
        lock = (runs / ".lock").open("w")
    except OSError as err:
        raise EvaluationError(f"{runs}: not usable as output folder: {err.strerror}; choose another --out") from err
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as err:
            raise EvaluationError(f"{runs}: another `compare` works here; wait for it or choose another --out") from err
        yield
