from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from surveys import corridor_walk, write_survey

from mail_localization.cli import main
from mail_localization.localizer import load_localizer
from mail_localization.matching.magnetic_nn import MagneticNnConfig
from mail_localization.models.artifact import WEIGHTS_FILE, load_model
from mail_localization.training.magnetic_nn import train
from mail_localization.training.options import TrainOptions
from mail_localization.types import MagneticSample


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Path]]:
    folder = tmp_path_factory.mktemp("site")
    walks = write_survey(folder, speeds=(1.0, 1.2, 1.1, 0.9, 1.05, 0.95), seconds=20.0)
    config = MagneticNnConfig.from_mapping({"window": {"length": 100, "hop": 10}})
    train(config, walks[:2], folder / "model", TrainOptions(progress=False))
    return folder / "model", walks


def test_covariance_becomes_that_of_the_given_recordings(
    trained: tuple[Path, list[Path]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, walks = trained
    own = shutil.copytree(model, tmp_path / "model")
    assert main(["calibrate", str(own), "--bags", *map(str, walks[2:])]) == 0
    told = capsys.readouterr()
    assert "4 recordings" in told.out
    assert "each recording by the others: mean NEES" in told.out
    assert "warning" not in told.err
    card, _ = load_model(own)
    assert card.calibration["recordings"] == [path.name for path in walks[2:]]
    assert 1.4 < card.metrics["calibration"]["calibrated"]["nees_mean"] < 2.8
    assert (own / WEIGHTS_FILE).read_bytes() == (model / WEIGHTS_FILE).read_bytes()
    # What the node publishes is what was learned, not what the card said of itself before.
    samples = [sample for sample in corridor_walk(1.1, 6.0) if isinstance(sample, MagneticSample)]
    stddev = np.sqrt([np.trace(e.covariance) / 2 for e in load_localizer(own).localize(samples)])
    assert np.median(stddev) == pytest.approx(card.calibration["stddev"], rel=0.5)
    # Calibrating again starts from the method itself.
    assert main(["calibrate", str(own), "--bags", *map(str, walks[2:])]) == 0
    assert load_model(own)[0].calibration == card.calibration


def test_recordings_of_the_training_are_warned_of(
    trained: tuple[Path, list[Path]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = shutil.copytree(trained[0], tmp_path / "model")
    assert main(["calibrate", str(own), "--bags", str(trained[1][0])]) == 0
    assert "was made from recordings of the same name (walk_0)" in capsys.readouterr().err


def test_recordings_without_an_estimate_leave_the_model_alone(
    trained: tuple[Path, list[Path]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = shutil.copytree(trained[0], tmp_path / "model")
    short = write_survey(tmp_path / "short", speeds=(1.0,), seconds=1.0)
    assert main(["calibrate", str(own), "--bags", str(short[0])]) == 1
    assert "gave no estimate that has a reference" in capsys.readouterr().err
    assert load_model(own)[0].calibration == load_model(trained[0])[0].calibration
