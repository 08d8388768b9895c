from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from surveys import write_survey

from mail_localization.data.recording import Topics
from mail_localization.errors import TrainingError
from mail_localization.localizer import load_localizer
from mail_localization.training.magnetic_nn import CONFIG, train
from mail_localization.training.options import TrainOptions
from mail_localization.training.probe import probe, split_survey


@pytest.fixture(scope="module")
def survey(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_survey(tmp_path_factory.mktemp("survey"), speeds=(1.0, 1.2, 1.1), seconds=20.0)


def test_all_recordings_serve_the_saved_model_where_none_is_kept_back(survey: list[Path]) -> None:
    split = split_survey(survey, TrainOptions(progress=False))
    assert len(split.validation) == 1
    assert sorted(split.training + split.validation) == survey == split.final


def test_recordings_kept_for_validation_stay_out_of_the_saved_model(survey: list[Path]) -> None:
    split = split_survey(survey, TrainOptions(progress=False, validation=(survey[1],)))
    assert split.validation == [survey[1]]
    assert split.training == split.final == [survey[0], survey[2]]


def test_errors_are_those_of_the_localizer(survey: list[Path], tmp_path: Path) -> None:
    train(CONFIG(), survey[:2], tmp_path / "model", TrainOptions(progress=False))
    errors = probe(load_localizer(tmp_path / "model"), survey[2:], Topics()).errors
    assert errors.shape == (21, 2)
    assert np.linalg.norm(errors, axis=1).mean() < 1.0


def test_recordings_without_an_estimate_are_named(survey: list[Path], tmp_path: Path) -> None:
    train(CONFIG(), survey[:2], tmp_path / "model", TrainOptions(progress=False))
    short = write_survey(tmp_path / "short", speeds=(1.0,), seconds=5.0)
    with pytest.raises(TrainingError, match=r"walk_0: method magnetic_nn gave no estimate .* needs mag"):
        probe(load_localizer(tmp_path / "model"), short, Topics())
