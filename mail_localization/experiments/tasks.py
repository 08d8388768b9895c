"""One piece of work with a name, a key and a folder; and the folders in which finished work is kept.

A task is done again only when what goes into it changes: its arguments, the bytes of its recordings, the results it
builds on, or the package's code (comments apart).
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from mail_localization.data.cache import NO_CACHE, Cache
from mail_localization.errors import EvaluationError
from mail_localization.files import replace_file

RESULT, FAILURE, ATTEMPT, LOG = "result.json", "failed.json", "attempt.json", "log.txt"


@dataclass(frozen=True, eq=False)
class Task:
    """A function by its dotted name, with arguments that JSON can hold."""

    name: str
    """Readable; the folder is called after it."""
    step: str
    """`package.module:function`, called as function(context, **arguments), returns a JSON mapping."""
    arguments: dict[str, Any]
    inputs: dict[str, str] = field(default_factory=dict)
    """Recording (relative to --bags) -> hash of its bytes."""
    needs: tuple[str, ...] = ()
    """Folders of the tasks that must have ended before, well or not."""
    minutes: float = 0.1
    """Time expected, min: the longest chain is started first."""
    alone: bool = False
    """Run when all else is done and nothing beside it, as a measurement of time must."""

    @cached_property
    def folder(self) -> str:
        """Name of the task's folder: its name and a hash of all that goes into it."""
        content = [self.step, self.arguments, self.inputs, self.needs]
        digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
        return f"{self.name}-{digest[:10]}"


@dataclass(frozen=True)
class Context:
    """Where a step finds its files."""

    root: Path
    """Folder of all recordings."""
    runs: Path
    """Folder of all tasks."""
    folder: Path
    """The task's own folder."""
    cache: Cache = NO_CACHE
    """What was made of recordings."""

    def recordings(self, names: list[str]) -> list[Path]:
        """Return the paths of recordings named relative to the root."""
        return [self.root / name for name in names]


@dataclass(frozen=True)
class Store:
    """The folders of all tasks."""

    runs: Path
    code: str = ""
    """Hash of the code that results are made by."""
    any_code: bool = False
    """Take what other code has finished, too."""

    def result(self, folder: str) -> dict[str, Any] | None:
        """Return what the task in a folder found; None if it has not ended well."""
        content = _read(self.runs / folder / RESULT)
        return None if content is None else content["result"]

    def error(self, folder: str) -> str:
        """Return why the task in a folder failed; empty if it has not."""
        content = _read(self.runs / folder / FAILURE)
        return "" if content is None else str(content["error"])

    def finished(self, task: Task) -> bool:
        """Return whether the task has ended well, by this code, with the same results of others as are there now."""
        content = _read(self.runs / task.folder / RESULT)
        ours = content is not None and (self.any_code or content.get("code") == self.code)
        return ours and content is not None and content["needs"] == self._digests(task)

    def stale(self, task: Task) -> bool:
        """Return whether the task has ended well by other code."""
        content = _read(self.runs / task.folder / RESULT)
        return content is not None and content.get("code") != self.code

    def write(self, task: Task, result: Mapping[str, Any], seconds: float) -> None:
        """Keep a result."""
        description = {"name": task.name, "step": task.step, "arguments": task.arguments, "inputs": task.inputs}
        self._replace(task, RESULT, {"task": description, **self._basis(task), "seconds": seconds, "result": result})

    def write_failure(self, task: Task, error: str, traceback: str = "") -> None:
        """Keep why a task failed; it is tried again in the next run."""
        self._replace(task, FAILURE, {"error": error, "traceback": traceback})

    def begin(self, task: Task) -> Path:
        """Return the task's folder, ready for an attempt.

        What an earlier attempt left is kept, so that a training goes on from its checkpoint, unless that attempt
        built on other results, or was made by other code.
        """
        folder, basis = self.runs / task.folder, self._basis(task)
        if _read(folder / ATTEMPT) not in (None, basis):
            shutil.rmtree(folder, ignore_errors=True)
        for name in (RESULT, FAILURE):
            (folder / name).unlink(missing_ok=True)
        self._replace(task, ATTEMPT, basis)
        return folder

    def _basis(self, task: Task) -> dict[str, Any]:
        return {"needs": self._digests(task), "code": self.code}

    def _digests(self, task: Task) -> dict[str, str]:
        return {folder: _digest(self.runs / folder / RESULT) for folder in task.needs}

    def _replace(self, task: Task, name: str, content: dict[str, Any]) -> None:
        path = self.runs / task.folder / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(path, (json.dumps(content, indent=1, allow_nan=False) + "\n").encode())
        except OSError as err:
            raise EvaluationError(f"{path}: cannot be written: {err.strerror}; free some space") from err


def _read(path: Path) -> dict[str, Any] | None:
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return content
    except (OSError, ValueError):
        return None


def _digest(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return "failed"
