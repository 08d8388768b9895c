"""Running a graph of tasks on worker processes, each task after those it needs, finished ones not again."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from multiprocessing import connection, get_context
from pathlib import Path
from typing import Any

from tqdm import tqdm

from mail_localization.errors import EvaluationError
from mail_localization.experiments import worker
from mail_localization.experiments.tasks import Store, Task

MEMORY = 1500.0
"""A worker that has used this much is replaced: buffers for one network's shapes are of no use to the next, MiB."""


@dataclass
class Outcome:
    """What became of the tasks of a run."""

    reused: int = 0
    """Finished in an earlier run."""
    done: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    """Task folder -> why."""


@dataclass(eq=False)
class _Worker:
    process: Any
    pipe: connection.Connection
    task: Task | None = None
    since: float = 0.0


def run_tasks(tasks: Mapping[str, Task], root: Path, runs: Path, jobs: int, progress: bool = True) -> Outcome:
    """Run every task that is not finished; one that fails is recorded and the rest goes on.

    Args:
        tasks: by folder; every need is among them.
        root: folder of all recordings.
        runs: folder of all tasks.
        jobs: worker processes.
        progress: draw a bar on the standard error stream.

    Raises:
        EvaluationError: another run works in the same folder.
    """
    with _locked(runs):
        run = _Run(tasks, root, runs, progress)
        try:
            run.work(jobs)
        finally:
            run.close()
    return run.outcome


class _Run:
    """One run: what waits, what is in work, and what has come of it."""

    def __init__(self, tasks: Mapping[str, Task], root: Path, runs: Path, progress: bool) -> None:
        self.outcome = Outcome()
        self._root, self._runs, self._store = root, runs, Store(runs)
        self._waiting = dict(tasks)
        self._rank = _ranks(tasks)
        self._settled: set[str] = set()
        self._workers: list[_Worker] = []
        total = sum(task.minutes for task in tasks.values())
        self._count = len(tasks)
        pause = 0.5 if sys.stderr.isatty() else 30.0
        self._bar = tqdm(
            total=total, mininterval=pause, miniters=0, disable=not progress, dynamic_ncols=True,
            bar_format="{desc} {percentage:3.0f}%|{bar:20}| {elapsed}<{remaining}{postfix}",
        )  # fmt: skip

    def work(self, jobs: int) -> None:
        """Keep the workers busy until every task is settled."""
        while self._waiting or self._busy:
            self._reuse()
            self._start(jobs)
            self._show()
            self._collect()
        self._show()

    def close(self) -> None:
        """End all workers now, whatever they do."""
        self._bar.close()
        for one in self._workers:
            one.process.terminate()
        for one in self._workers:
            one.process.join(1)
            if one.process.is_alive():
                one.process.kill()
            one.pipe.close()

    @property
    def _busy(self) -> list[_Worker]:
        return [one for one in self._workers if one.task is not None]

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

    def _start(self, jobs: int) -> None:
        """Give ready tasks to idle workers; what must run alone waits for the end of all others."""
        ready = self._ready()
        shared = [task for task in ready if not task.alone]
        if not shared and not self._busy and all(task.alone for task in self._waiting.values()):
            shared = ready[:1]
        for task in shared[: jobs - len(self._busy)]:
            idle = (one for one in self._workers if one.task is None and one.process.is_alive())
            one = next(idle, None) or self._new_worker()
            del self._waiting[task.folder]
            one.task, one.since = task, time.monotonic()
            one.pipe.send(task)

    def _collect(self) -> None:
        """Wait a moment for answers, and take them."""
        pipes = {one.pipe: one for one in self._busy}
        for pipe in connection.wait(list(pipes), timeout=1.0) if pipes else []:
            one = pipes[pipe]  # type: ignore[index]
            task = one.task
            assert task is not None
            one.task = None
            try:
                error, memory = one.pipe.recv()
            except (EOFError, OSError):
                error, memory = "its worker process died, out of memory perhaps; try --jobs 1", float("inf")
                self._store.write_failure(task, error)
            if error:
                self.outcome.failed[task.folder] = error
                self._bar.write(f"{task.name}: {error}", file=sys.stderr)
            else:
                self.outcome.done += 1
            self._settle(task)
            if memory > MEMORY:
                self._workers.remove(one)
                one.process.terminate()
                one.pipe.close()

    def _settle(self, task: Task) -> None:
        self._waiting.pop(task.folder, None)
        self._settled.add(task.folder)
        self._bar.update(task.minutes)

    def _show(self) -> None:
        """Say how much is done and what is running, for how long."""
        now = time.monotonic()
        running = ", ".join(f"{one.task.name} {(now - one.since) / 60:.1f} min" for one in self._busy if one.task)
        self._bar.set_description_str(f"{len(self._settled)}/{self._count} tasks", refresh=False)
        self._bar.set_postfix_str(running, refresh=False)
        # update(0) draws when it is time to, in a log file only now and then.
        self._bar.update(0)
        if sys.stderr.isatty():
            self._bar.refresh()

    def _new_worker(self) -> _Worker:
        """Start a process that shares nothing with this one: a forked child of torch's threads can hang."""
        spawn = get_context("spawn")
        ours, theirs = spawn.Pipe()
        process = spawn.Process(target=worker.main, args=(theirs, self._root, self._runs), daemon=True)
        with _one_thread():
            process.start()
        theirs.close()
        one = _Worker(process, ours)
        self._workers.append(one)
        return one


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
def _one_thread() -> Iterator[None]:
    """Let processes started here use one thread each; two would wait for each other more than they do."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


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
