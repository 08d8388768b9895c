"""What a worker does with one task: runs its step, and keeps what that finds."""

from __future__ import annotations

import contextlib
import importlib
import os
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mail_localization.data.cache import Cache
from mail_localization.errors import MailLocalizationError
from mail_localization.experiments.tasks import LOG, Context, Store, Task


@dataclass(frozen=True, eq=False)
class Step:
    """A task, and where its files are: a worker may be on another machine that sees the same folders."""

    task: Task
    store: Store
    root: Path
    """Folder of all recordings."""
    cache: Cache


def run_step(step: Step) -> str:
    """Run one task and keep its result, or why it has none; return the error, empty if there is none."""
    task, store = step.task, step.store
    started = time.monotonic()
    try:
        folder = store.begin(task)
        with _logged_into(folder / LOG):
            try:
                module, _, function = task.step.partition(":")
                found = getattr(importlib.import_module(module), function)
                result = found(Context(step.root, store.runs, folder, step.cache), **task.arguments)
            except Exception:
                traceback.print_exc()
                raise
        store.write(task, result, time.monotonic() - started)
        return ""
    except MailLocalizationError as err:
        return _failed(task, store, str(err))
    except Exception as err:
        # A bug in one method must not end the comparison of the others; its traceback is kept.
        return _failed(task, store, f"{type(err).__name__}: {err} (traceback in {store.runs / task.folder / LOG})")


def _failed(task: Task, store: Store, error: str) -> str:
    line = " ".join(error.split())
    try:
        store.write_failure(task, line, traceback.format_exc())
    except MailLocalizationError as err:
        return str(err)
    return line


@contextlib.contextmanager
def _logged_into(path: Path) -> Iterator[None]:
    """Send all output of this process, that of libraries too, to a file."""
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    before = {stream: os.dup(stream) for stream in (1, 2)}
    try:
        for stream in before:
            os.dup2(log, stream)
        yield
    finally:
        for stream, copy in before.items():
            os.dup2(copy, stream)
            os.close(copy)
        os.close(log)
