"""Finished replays, kept beside a report so that an evaluation that was stopped goes on where it was."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import zipfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from mail_localization.data.association import Association, Estimates
from mail_localization.data.recording import RecordingInfo
from mail_localization.evaluation.outputs import write_atomic
from mail_localization.evaluation.replay import Replay, Task
from mail_localization.files import file_stamps
from mail_localization.workers.code import figures_hash

Part = TypeVar("Part", Estimates, Association)


@dataclass(frozen=True)
class KeptReplays:
    """One file for each; its name tells of all that goes into a replay: model, recording, settings, code."""

    folder: Path

    def read(self, task: Task) -> Replay | None:
        """Return the replay of a task; None where there is none, or it cannot be read."""
        try:
            with np.load(self._path(task), allow_pickle=False) as file:
                about = json.loads(str(file["about"]))
                estimates, association = _part(Estimates, file), _part(Association, file)
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None
        info, notes = RecordingInfo.from_json(about["info"]), tuple(about["notes"])
        return Replay(task, info, about["duration"], about["wall"], estimates, association, notes=notes)

    def write(self, replay: Replay) -> None:
        """Keep a replay; EvaluationError where that cannot be written."""
        about = {"info": replay.info.to_json(), "duration": replay.duration, "wall": replay.wall}
        arrays = {"about": np.array(json.dumps(about | {"notes": replay.notes}))}
        for part in (replay.estimates, replay.association):
            for field in dataclasses.fields(part):
                arrays[f"{type(part).__name__}.{field.name}"] = getattr(part, field.name)
        buffer = io.BytesIO()
        np.savez_compressed(buffer, allow_pickle=False, **arrays)
        write_atomic(self._path(replay.task), buffer.getvalue())

    def _path(self, task: Task) -> Path:
        # To read a whole bag for a hash would be half the work of replaying it.
        model, recording = _content(task.folder, file_stamps(task.folder)), file_stamps(task.path)
        settings = dataclasses.asdict(task) | {"folder": model, "path": recording}
        content = json.dumps([settings, figures_hash()], sort_keys=True)
        return self.folder / f"{hashlib.sha256(content.encode()).hexdigest()[:24]}.npz"


def _part(kind: type[Part], file: Any) -> Part:
    names = [field.name for field in dataclasses.fields(kind)]
    return kind(**{name: file[f"{kind.__name__}.{name}"] for name in names})


@lru_cache(maxsize=8)
def _content(model: Path, _: object) -> str:
    """Return a hash of a model folder's files, computed again when their stamps change."""
    digest = hashlib.sha256()
    for file in sorted(file for file in model.iterdir() if file.is_file()):
        digest.update(file.name.encode() + file.read_bytes())
    return digest.hexdigest()
