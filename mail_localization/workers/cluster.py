"""Workers of a Dask scheduler, on this machine or on others."""

from __future__ import annotations

import contextlib
import platform
import queue
from concurrent.futures import CancelledError
from dataclasses import dataclass, field
from typing import Any

from distributed import Client, Future, KilledWorker, Worker, get_worker

from mail_localization.errors import ClusterError
from mail_localization.workers.calls import Answer, Function, attempt, prepare_process
from mail_localization.workers.code import package_hash

REACHED, MANNED = 10.0, 30.0
"""How long the scheduler, and its first worker, are waited for, s."""


@dataclass(frozen=True)
class _Needs:
    """What scheduler and workers must have alike."""

    python: str = field(default_factory=lambda: ".".join(platform.python_version_tuple()[:2]))
    package: str = field(default_factory=package_hash)


class DaskWorkers:
    """The workers that a scheduler has, more or fewer from moment to moment.

    Dask gives a lost worker's calls to another one. What has taken several with it (its setting `allowed-failures`),
    and then once more as many without others of its kind beside it, is answered with an error.
    """

    def __init__(self, address: str) -> None:
        self._address, self._needs = address, _Needs()
        self._answered: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._calls: dict[int, tuple[Function, Any]] = {}
        """Those that are not answered."""
        self._futures: dict[int, Future[Answer]] = {}
        self._suspects: list[int] = []
        """Numbers of calls whose workers were lost, several times; the first of them is being made again."""
        try:
            self._client = Client(address, timeout=REACHED, set_as_default=False)
        except (OSError, TimeoutError, ValueError) as err:
            remedy = "start one with `dask scheduler`, or leave out --scheduler"
            raise ClusterError(f"--scheduler {address}: no Dask scheduler answers; {remedy}") from err
        try:
            # The scheduler reads what it hands on: it needs the same code.
            self._client.run_on_scheduler(_check, self._needs, "the scheduler")
            self._client.wait_for_workers(1, timeout=MANNED)
            self._client.run(_check_worker, self._needs)
        except TimeoutError as err:
            self.close()
            remedy = f"start some with `dask worker {address} --nthreads 1`"
            raise ClusterError(f"--scheduler {address}: it has no workers; {remedy}") from err
        except Exception as err:
            self.close()
            raise ClusterError(f"--scheduler {address}: not fit for this work: {err}") from err

    def free(self) -> int:
        """Return how many more calls can be begun now: one for each worker, so that few wait behind a deadly one."""
        return len(self._client.nthreads()) - len(self._calls)

    def begin(self, number: int, function: Function, argument: Any) -> None:
        """Have a call made by whichever worker is free first."""
        self._calls[number] = (function, argument)
        self._submit(number)

    def wait(self, seconds: float = 1.0) -> list[tuple[int, Answer]]:
        """Return the answers that are there, after waiting for the first for so long at most.

        Raises:
            ClusterError: the scheduler is gone, or a worker has come that is not fit.
        """
        numbers = []
        with contextlib.suppress(queue.Empty):
            numbers.append(self._answered.get(timeout=seconds))
            while True:
                numbers.append(self._answered.get_nowait())
        answers = [(number, answer) for number in numbers if (answer := self._answer(number)) is not None]
        for number, _ in answers:
            del self._calls[number]
        if self._suspects and self._suspects[0] not in self._futures:
            self._submit(self._suspects[0])
        return answers

    def close(self) -> None:
        """Give up every call that is not answered; workers that are at one are started anew by their nannies."""
        with contextlib.suppress(Exception):
            if self._futures:
                keys = {future.key for future in self._futures.values()}
                busy = [worker for worker, at in self._client.processing().items() if keys & set(at)]
                self._client.cancel(list(self._futures.values()))
                self._client.restart_workers(busy, timeout=REACHED, raise_for_error=False)
        self._client.close()

    def _submit(self, number: int) -> None:
        function, argument = self._calls[number]
        future = self._client.submit(_call, self._needs, function, argument, pure=False)
        self._futures[number] = future
        future.add_done_callback(lambda _: self._answered.put(number))

    def _answer(self, number: int) -> Answer | None:
        """Return a call's answer; None for one that has just become a suspect."""
        try:
            answer: Answer | None = self._futures.pop(number).result()
        except KilledWorker as err:
            # Dask blames all that were on the worker: each of them has another chance, one at a time.
            if number not in self._suspects:
                self._suspects.append(number)
                return None
            answer = Answer(error=f"it took {2 * err.allowed_failures + 2} workers with it, out of memory perhaps")
        except CancelledError as err:
            lost = "the connection is lost; what is finished is kept: run it again"
            raise ClusterError(f"--scheduler {self._address}: {lost}") from err
        if number in self._suspects:
            self._suspects.remove(number)
        return answer


def _call(needs: _Needs, function: Function, argument: Any) -> Answer:
    """Make a call on a worker; one that joined later is looked at here, too."""
    _check_worker(needs, get_worker())
    prepare_process()
    return attempt(function, argument)


def _check_worker(needs: _Needs, dask_worker: Worker) -> None:
    """Raise ClusterError on a worker that would fail at calls, or give other results."""
    _check(needs, f"worker {dask_worker.address}")
    if (threads := dask_worker.state.nthreads) != 1:
        raise ClusterError(f"worker {dask_worker.address} has {threads} threads; start it with --nthreads 1")


def _check(needs: _Needs, who: str) -> None:
    here = _Needs()
    if here.python != needs.python:
        raise ClusterError(f"{who} has Python {here.python}; give it {needs.python}, as here")
    if here.package != needs.package:
        raise ClusterError(f"{who} has another version of mail_localization; install the one that is here")
