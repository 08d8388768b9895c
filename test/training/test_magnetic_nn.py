from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from surveys import write_survey

from mail_localization.data.recording import Recording
from mail_localization.errors import TrainingError
from mail_localization.localizer import load_localizer
from mail_localization.matching.magnetic_nn import MagneticNnConfig
from mail_localization.models.artifact import load_model
from mail_localization.training import magnetic_nn
from mail_localization.training.magnetic_nn import train
from mail_localization.training.options import TrainOptions

CONFIG = MagneticNnConfig.from_mapping({"window": {"length": 250}})
QUIET = TrainOptions(progress=False)


def test_walk_at_another_speed_is_located(tmp_path: Path) -> None:
    paths = write_survey(tmp_path, speeds=(1.0, 1.2, 1.1))
    train(CONFIG, paths[:2], tmp_path / "model", QUIET)
    probe = Recording(paths[2])
    estimates = list(load_localizer(tmp_path / "model").localize(probe.samples()))
    truth = probe.reference().at(np.array([e.t_ns for e in estimates]))
    errors = np.linalg.norm(np.array([e.position for e in estimates]) - truth, axis=1)
    assert len(estimates) > 60
    assert np.median(errors) < 1.0
    card, _ = load_model(tmp_path / "model")
    assert [entry["name"] for entry in card.training_recordings] == ["walk_0", "walk_1"]


def test_covariance_is_the_second_moment_of_held_out_errors(tmp_path: Path) -> None:
    """Two walks, each matched against the other: errors along x only, so y keeps the floor of 0.05 m."""
    train(CONFIG, write_survey(tmp_path), tmp_path / "model", QUIET)
    card, _ = load_model(tmp_path / "model")
    assert card.covariance[1][1] == pytest.approx(0.05**2)
    assert card.covariance[0][0] > 0.05**2
    assert card.metrics["held_out"]["windows"] > 100


def test_of_a_large_survey_some_recordings_tell_the_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = write_survey(tmp_path, speeds=(1.0, 1.2, 1.1))
    train(CONFIG, paths, tmp_path / "all", QUIET)
    monkeypatch.setattr(magnetic_nn, "_MATCHED", 2)
    train(CONFIG, paths, tmp_path / "some", QUIET)
    windows = [load_model(tmp_path / name)[0].metrics["held_out"]["windows"] for name in ("all", "some")]
    stored = [len(load_model(tmp_path / name)[1]["positions"]) for name in ("all", "some")]
    assert windows[0] == stored[0] == stored[1] > windows[1] > windows[0] / 2, "all are kept, two of three matched"


def test_one_recording_is_not_enough(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"1 recordings have an unbroken window .* record a second round"):
        train(CONFIG, write_survey(tmp_path, speeds=(1.0,)), tmp_path / "model", QUIET)


def test_recordings_of_one_name_are_all_surveyed(tmp_path: Path) -> None:
    """Monday's and Tuesday's first walk: the same folder name under two folders."""
    days = [write_survey(tmp_path / day, speeds=(speed,))[0] for day, speed in (("monday", 1.0), ("tuesday", 1.2))]
    train(CONFIG, days, tmp_path / "model", QUIET)
    card, tensors = load_model(tmp_path / "model")
    assert card.metrics["held_out"]["windows"] == len(tensors["positions"])
    assert tensors["positions"][:, 0].max() > 1.1 * 40
