from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
from surveys import corridor_walk, write_survey

from mail_localization.data.recording import RecordingInfo, write_recording
from mail_localization.evaluation import kept
from mail_localization.evaluation.kept import KeptReplays
from mail_localization.evaluation.replay import Replay, Task, replay_offline
from mail_localization.matching.magnetic_nn import MagneticNnConfig
from mail_localization.training.magnetic_nn import train
from mail_localization.training.options import TrainOptions


@pytest.fixture
def replay(tmp_path: Path) -> Replay:
    survey = write_survey(tmp_path / "survey", speeds=(1.0, 1.2), seconds=10.0)
    train(
        MagneticNnConfig.from_mapping({"window": {"length": 100}}),
        survey,
        tmp_path / "nn",
        TrainOptions(progress=False),
    )
    write_recording(
        tmp_path / "walk", corridor_walk(1.1, 8.0), RecordingInfo(device="phone", origin_lat_lon=(1.0, 2.0))
    )
    (outcome,) = replay_offline([Task("nn", tmp_path / "nn", "walk", tmp_path / "walk")])
    assert isinstance(outcome, Replay)
    return dataclasses.replace(outcome, notes=("first", "second"))


def test_a_replay_comes_back_as_it_was(replay: Replay, tmp_path: Path) -> None:
    store = KeptReplays(tmp_path / "kept")
    assert store.read(replay.task) is None
    store.write(replay)
    again = store.read(replay.task)
    assert again is not None
    for name in ("task", "info", "duration", "wall", "latency_ms", "notes"):
        assert getattr(again, name) == getattr(replay, name), name
    for part in ("estimates", "association"):
        for field in dataclasses.fields(getattr(replay, part)):
            expected = getattr(getattr(replay, part), field.name)
            np.testing.assert_array_equal(getattr(getattr(again, part), field.name), expected)
    assert len(again.estimates) > 5


def test_what_goes_into_a_replay_and_changes_makes_it_another(
    replay: Replay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, task = KeptReplays(tmp_path / "kept"), replay.task
    store.write(replay)
    assert store.read(dataclasses.replace(task, hop=7)) is None
    monkeypatch.setattr(kept, "figures_hash", lambda: "other code")
    assert store.read(task) is None
    monkeypatch.undo()
    assert store.read(task) is not None
    card = task.folder / "model.json"
    card.write_text(card.read_text() + "\n")
    assert store.read(task) is None, "another model"
    store.write(replay)
    shutil.rmtree(task.path)
    write_recording(task.path, corridor_walk(1.0, 8.0), RecordingInfo())
    assert store.read(task) is None, "another recording of the same name"


def test_a_damaged_file_is_no_replay(replay: Replay, tmp_path: Path) -> None:
    store = KeptReplays(tmp_path / "kept")
    store.write(replay)
    (file,) = (tmp_path / "kept").iterdir()
    for damaged in (file.read_bytes()[:-100], b"", b"nonsense"):
        file.write_bytes(damaged)
        assert store.read(replay.task) is None


def test_a_model_that_changes_is_loaded_anew(replay: Replay, tmp_path: Path) -> None:
    task = replay.task
    survey = write_survey(tmp_path / "other", speeds=(0.8, 1.0), seconds=10.0)
    shutil.rmtree(task.folder)
    train(MagneticNnConfig.from_mapping({"window": {"length": 50}}), survey, task.folder, TrainOptions(progress=False))
    (again,) = replay_offline([task])
    assert isinstance(again, Replay)
    assert len(again.estimates) > len(replay.estimates), "a shorter window fills earlier"
