from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import yaml
from modal_surveys import write_modal_survey

from mail_localization.cli import main
from mail_localization.data.modal_traces import load_modal_traces
from mail_localization.data.recording import Topics
from mail_localization.data.reference import Reference
from mail_localization.errors import ModelError, TrainingError
from mail_localization.training.options import TrainOptions
from mail_localization.training.pretrain import PretrainConfig, displacements, load_lstm1, pretrain, turned

SMALL = {
    "lstm1": {"inertial": {"length": 20}, "hidden": 8, "step": 2},
    "training": {"epochs": 15, "batch": 16, "warmup": 0, "learning_rate": 0.01},
}
CONFIG = PretrainConfig.from_mapping(SMALL)
QUIET = TrainOptions(progress=False)


def test_faster_walks_are_told_from_slower_ones(tmp_path: Path) -> None:
    paths = write_modal_survey(tmp_path, speeds=(0.6, 1.0, 1.4, 0.6, 1.4), streams=("imu",))
    pretrain(CONFIG, paths[:3], tmp_path / "lstm1", dataclasses.replace(QUIET, validation=tuple(paths[3:])))
    from mail_localization.models.artifact import load_model

    card, _ = load_model(tmp_path / "lstm1")
    assert card.metrics["held_out"]["mean_m"] < 0.4 * card.metrics["always_the_mean_m"]


def test_displacement_is_seen_from_the_direction_of_travel_at_the_start(tmp_path: Path) -> None:
    """North 4 m in 4 s, then east 3 m in 3 s: 4 m forward and 3 m to the right."""
    path = write_modal_survey(tmp_path, speeds=(1.0,), streams=("imu",), seconds=7.0)[0]
    [trace] = load_modal_traces([path], Topics(), CONFIG.windows)
    start = trace.reference.start_ns
    stamps = start + np.array([0, 4, 7], dtype=np.int64) * 10**9
    corner = Reference(stamps, np.array([[5.0, 1.0], [5.0, 5.0], [8.0, 5.0]]))
    bent = dataclasses.replace(trace, reference=corner)
    np.testing.assert_allclose(displacements(bent, stamps[2:], 7.0), [[4.0, -3.0]], atol=1e-9)
    assert np.isnan(displacements(bent, stamps[1:2], 7.0)).all()


def test_turning_keeps_the_vertical_and_the_lengths() -> None:
    imu = np.array([[[1.0, 0.0, 9.8, 0.0, 2.0, 3.0]]], dtype=np.float32)
    np.testing.assert_allclose(turned(imu, np.array([np.pi / 2])), [[[0.0, 1.0, 9.8, -2.0, 0.0, 3.0]]], atol=1e-6)


def test_recordings_without_an_imu_are_named(tmp_path: Path) -> None:
    paths = write_modal_survey(tmp_path, streams=("mag",))
    with pytest.raises(TrainingError, match=r"walk_0.*no samples on topic '/imu/data' \(topics\.imu\)"):
        pretrain(CONFIG, paths, tmp_path / "lstm1", QUIET)


def test_folder_of_another_method_is_no_lstm1(tmp_path: Path) -> None:
    from mail_localization.models.artifact import ModelCard, save_model

    save_model(tmp_path / "m", ModelCard("mail", {}, [[1.0, 0.0], [0.0, 1.0]]), {"a": np.zeros(1)})
    with pytest.raises(ModelError, match=r"is a model of method 'mail'; --lstm1 takes a folder made by `pretrain`"):
        load_lstm1(tmp_path / "m")


def test_command_pretrains_and_tells_the_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_modal_survey(tmp_path / "bags", streams=("imu",), seconds=15.0)
    (tmp_path / "c.yaml").write_text(yaml.safe_dump({**SMALL, "training": {"epochs": 1, "batch": 16}}))
    arguments = ["pretrain", "--bags", str(tmp_path / "bags"), "--out", str(tmp_path / "lstm1")]
    assert main([*arguments, "--config", str(tmp_path / "c.yaml"), "--max-minutes", "1"]) == 0
    assert "held-out error of its displacement" in capsys.readouterr().out
    settings, tensors = load_lstm1(tmp_path / "lstm1")
    assert (settings.hidden, settings.inertial.length) == (8, 20)
    assert "lstm.weight_ih_l0" in tensors
