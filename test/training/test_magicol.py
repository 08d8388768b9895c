from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from surveys import write_survey

from mail_localization.data.recording import Recording
from mail_localization.errors import TrainingError
from mail_localization.localizer import load_localizer
from mail_localization.matching.magicol import MagicolConfig
from mail_localization.models.artifact import load_model
from mail_localization.training.magicol import train
from mail_localization.training.options import TrainOptions

SMALL = {"particles": {"most": 300, "fewest": 100}}
CONFIG = MagicolConfig.from_mapping(SMALL)
QUIET = TrainOptions(progress=False)


def test_walk_at_another_speed_is_located(tmp_path: Path) -> None:
    paths = write_survey(tmp_path, speeds=(1.0, 1.2, 1.1))
    train(CONFIG, paths[:2], tmp_path / "model", QUIET)
    probe = Recording(paths[2])
    localizer = load_localizer(tmp_path / "model")
    estimates = list(localizer.localize(probe.samples(localizer.inputs)))
    truth = probe.reference().at(np.array([e.t_ns for e in estimates]))
    errors = np.linalg.norm(np.array([e.position for e in estimates]) - truth, axis=1)
    assert len(estimates) > 30
    assert np.median(errors) < 1.0
    card, tensors = load_model(tmp_path / "model")
    assert [entry["name"] for entry in card.training_recordings] == ["walk_1", "walk_0"]
    assert card.settings["motion"]["source"] == "none"
    assert len(tensors["starts"]) == 2
    assert card.metrics["usual_cost"] > 0


def test_validation_recordings_are_not_mapped(tmp_path: Path) -> None:
    paths = write_survey(tmp_path, speeds=(1.0, 1.2))
    train(CONFIG, paths[:1], tmp_path / "model", TrainOptions(progress=False, validation=(paths[1],)))
    card, tensors = load_model(tmp_path / "model")
    assert len(tensors["starts"]) == 1
    assert [entry["role"] for entry in card.training_recordings] == ["train", "validation"]


def test_one_recording_is_not_enough(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="record a second round"):
        train(CONFIG, write_survey(tmp_path, speeds=(1.0,)), tmp_path / "model", QUIET)


def test_paths_shorter_than_a_sequence_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"walk_\d: no path of 3.0 m .* lower sequence.shortest"):
        config = MagicolConfig.from_mapping({**SMALL, "sequence": {"shortest": 3.0}})
        train(config, write_survey(tmp_path, seconds=2.0), tmp_path / "model", QUIET)
