"""A worker process: takes tasks, runs their steps, and keeps what they find."""

from __future__ import annotations

import importlib
import os
import resource
import signal
import threading
import time
import traceback
from multiprocessing.connection import Connection
from pathlib import Path

from tqdm import tqdm

from mail_localization.errors import MailLocalizationError
from mail_localization.experiments.tasks import LOG, Context, Store, Task


def main(tasks: Connection, root: Path, runs: Path) -> None:
    """Run tasks until the connection closes, answering each with (error or "", peak memory in MiB)."""
    # An interrupt is the parent's to handle; it ends its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_die_with, args=(os.getppid(),), daemon=True).start()
    # A lock between processes would be left behind when the parent ends this one.
    tqdm.set_lock(threading.RLock())
    store = Store(runs)
    while True:
        try:
            task = tasks.recv()
        except EOFError:
            return
        error = _run(task, store, root)
        tasks.send((error, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))


def _run(task: Task, store: Store, root: Path) -> str:
    """Run one task and keep its result, or why it has none."""
    started = time.monotonic()
    try:
        folder = store.begin(task)
        _log_into(folder / LOG)
        module, _, function = task.step.partition(":")
        step = getattr(importlib.import_module(module), function)
        result = step(Context(root, store.runs, folder), **task.arguments)
        store.write(task, result, time.monotonic() - started)
        return ""
    except MailLocalizationError as err:
        return _failed(task, store, str(err))
    except Exception as err:
        # A bug in one method must not end the comparison of the others; its traceback is kept.
        return _failed(task, store, f"{type(err).__name__}: {err} (traceback in {store.runs / task.folder / LOG})")


def _failed(task: Task, store: Store, error: str) -> str:
    line = " ".join(error.split())
    details = traceback.format_exc()
    # Standard error is the task's log.
    traceback.print_exc()
    try:
        store.write_failure(task, line, details)
    except MailLocalizationError as err:
        return str(err)
    return line


def _log_into(path: Path) -> None:
    """Send all output of this process, that of libraries too, to a file."""
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for stream in (1, 2):
        os.dup2(log, stream)
    os.close(log)


def _die_with(parent: int) -> None:
    """End this process when its parent is gone, killed perhaps: nobody else would."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)
