from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from surveys import write_survey

from mail_localization.data.recording import Recording
from mail_localization.errors import ConfigError
from mail_localization.localizer import load_localizer
from mail_localization.models.jang import Jang, JangSettings
from mail_localization.training.jang import JangConfig, train
from mail_localization.training.loop import HISTORY_FILE
from mail_localization.training.options import TrainOptions

SMALL = {
    "window": {"length": 100},
    "magnetic": {"transform": "raw"},
    "network": {"hidden": 16, "layers": 2, "stride": 5},
    "training": {"epochs": 60, "batch": 20, "hop": 10, "learning_rate": 0.01, "loss": "distance"},
}


@pytest.fixture(scope="module")
def survey(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_survey(tmp_path_factory.mktemp("survey"), speeds=(1.0, 1.2, 1.1), seconds=15.0)


def test_trained_model_localizes_another_walk(survey: list[Path], tmp_path: Path) -> None:
    train(JangConfig.from_mapping(SMALL), survey[:2], tmp_path / "model", TrainOptions(progress=False))
    probe = Recording(survey[2])
    estimates = list(load_localizer(tmp_path / "model").localize(probe.samples()))
    truth = probe.reference().at(np.array([estimate.t_ns for estimate in estimates]))
    errors = np.array([estimate.position for estimate in estimates]) - truth
    guess = truth - truth.mean(axis=0)
    assert np.linalg.norm(errors, axis=1).mean() < 0.4 * np.linalg.norm(guess, axis=1).mean()


def test_history_tells_of_every_epoch(survey: list[Path], tmp_path: Path) -> None:
    config = JangConfig.from_mapping(SMALL | {"training": SMALL["training"] | {"epochs": 3}})  # type: ignore[operator]
    train(config, survey[:2], tmp_path / "model", TrainOptions(progress=False))
    rows = list(csv.DictReader((tmp_path / "model" / HISTORY_FILE).open()))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert all(float(row["loss"]) > 0 and float(row["validation_m"]) > 0 for row in rows)


def test_stride_averages_from_the_newest_sample_back() -> None:
    model = Jang(JangSettings(layers=1, hidden=4, stride=2)).eval()
    x = torch.randn(1, 7, 3)
    averaged = x[:, 1:].reshape(1, 3, 2, 3).mean(dim=2)
    plain = Jang(JangSettings(layers=1, hidden=4)).eval()
    plain.load_state_dict(model.state_dict())
    assert torch.allclose(model(x), plain(averaged))


def test_stride_too_long_for_the_window_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"network\.stride: 60 is over half of window\.length 100"):
        JangConfig.from_mapping({"window": {"length": 100}, "network": {"stride": 60}})
