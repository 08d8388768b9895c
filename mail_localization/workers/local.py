"""Worker processes on this machine."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing import connection, get_context
from typing import Any, NoReturn

from mail_localization.workers.calls import Answer, Function, attempt, prepare_process

MEMORY = 1500.0
"""A worker that has used this much is replaced: buffers for one call's shapes are of no use to the next, MiB."""
ATTEMPTS = 2
"""A call whose process dies is made so often: what kills a second one is the call itself."""
_DIED = f"its worker process died, {ATTEMPTS} times, out of memory perhaps; try --jobs 1"


@dataclass(frozen=True, eq=False)
class _Call:
    number: int
    function: Function
    argument: Any
    attempts: int = 1


@dataclass(eq=False)
class _Worker:
    process: Any
    pipe: connection.Connection
    call: _Call | None = None


class LocalWorkers:
    """Processes that are started when there is work, and share nothing with this one."""

    def __init__(self, jobs: int) -> None:
        self._jobs = jobs
        self._workers: list[_Worker] = []

    def free(self) -> int:
        """Return how many more calls can be begun now."""
        return self._jobs - len(self._busy)

    def begin(self, number: int, function: Function, argument: Any) -> None:
        """Have a call made by an idle worker."""
        self._begin(_Call(number, function, argument))

    def wait(self, seconds: float = 1.0) -> list[tuple[int, Answer]]:
        """Return the answers that are there, after waiting for the first for so long at most."""
        pipes = {one.pipe: one for one in self._busy}
        answers = []
        for pipe in connection.wait(list(pipes), timeout=seconds) if pipes else []:
            one = pipes[pipe]  # type: ignore[index]
            call, one.call = one.call, None
            assert call is not None
            try:
                answer, memory = one.pipe.recv()
            except (EOFError, OSError):
                self._part_with(one)
                if call.attempts < ATTEMPTS:
                    self._begin(_Call(call.number, call.function, call.argument, call.attempts + 1))
                    continue
                answer, memory = Answer(error=_DIED), 0.0
            if memory > MEMORY:
                self._part_with(one)
            answers.append((call.number, answer))
        return answers

    def close(self) -> None:
        """End all workers now, whatever they do."""
        for one in self._workers:
            one.process.terminate()
        for one in self._workers:
            one.process.join(1)
            if one.process.is_alive():
                one.process.kill()
                one.process.join()
            one.pipe.close()
        self._workers.clear()

    @property
    def _busy(self) -> list[_Worker]:
        return [one for one in self._workers if one.call is not None]

    def _begin(self, call: _Call) -> None:
        one = next((one for one in self._workers if one.call is None), None) or self._new_worker()
        one.call = call
        # A worker that died idle answers with the end of its pipe, as one that dies at work.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            one.pipe.send((call.function, call.argument))

    def _new_worker(self) -> _Worker:
        """Start a process that shares nothing with this one: a forked child of torch's threads can hang."""
        spawn = get_context("spawn")
        ours, theirs = spawn.Pipe()
        process = spawn.Process(target=_work, args=(theirs,), daemon=True)
        with _one_thread():
            process.start()
        theirs.close()
        one = _Worker(process, ours)
        self._workers.append(one)
        return one

    def _part_with(self, one: _Worker) -> None:
        self._workers.remove(one)
        one.process.terminate()
        one.pipe.close()


def _work(calls: connection.Connection) -> None:
    """Make calls until the connection closes, answering each with (answer, peak memory in MiB)."""
    # An interrupt is the parent's to handle; it ends its workers, and they tidy up on their way.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _leave)
    threading.Thread(target=_die_with, args=(os.getppid(),), daemon=True).start()
    prepare_process()
    while True:
        try:
            function, argument = calls.recv()
        except EOFError:
            return
        answer = attempt(function, argument)
        calls.send((answer, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))


def _leave(*_: object) -> NoReturn:
    sys.exit(0)


def _die_with(parent: int) -> None:
    """End this process when its parent is gone, killed perhaps: nobody else would."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


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
