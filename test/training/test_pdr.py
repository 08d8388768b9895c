from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from surveys import SECOND_NS, START_NS, write_survey
from walks import walk, write_walks

from mail_localization.data.recording import Recording, RecordingInfo, write_recording
from mail_localization.errors import ConfigError, TrainingError
from mail_localization.localizer import load_localizer, told_where
from mail_localization.methods import METHODS
from mail_localization.models.artifact import load_model
from mail_localization.training.options import TrainOptions
from mail_localization.training.pdr import PdrSurveyConfig, fitting_drift, train
from mail_localization.types import ReferencePose, WifiReading, WifiScan

NN = {
    "magnetic_nn": {
        "window": {"rate_hz": 10.0, "length": 50, "hop": 5},
        "match": {"stride": 1, "survey_hop": 2},
    }
}
QUIET = TrainOptions(progress=False)


def test_a_trained_folder_holds_all_it_needs(tmp_path: Path) -> None:
    paths = write_walks(tmp_path / "survey", attitude=False)
    assert METHODS["pdr"].config is PdrSurveyConfig
    METHODS["pdr"].train(PdrSurveyConfig(starters=NN), paths, tmp_path / "model", QUIET)
    card, _ = load_model(tmp_path / "model")
    # There is no Wi-Fi in the survey.
    assert card.settings["start"] == "magnetic_nn"
    assert card.settings["motion"]["source"] == "steps"
    assert card.metrics["held_out"]["mean_m"] < 3.0
    assert card.metrics["drift"] > 0
    recording = Recording(paths[0])
    localizer = load_localizer(tmp_path / "model")
    estimates = list(localizer.localize(recording.samples(localizer.inputs)))
    truth = recording.reference().at(np.array([estimate.t_ns for estimate in estimates]))
    errors = np.linalg.norm([estimate.position for estimate in estimates] - truth, axis=1)
    assert np.nanmedian(errors) < 2.0


def _with_wifi(folder: Path) -> list[Path]:
    """Write three walks with a scan every two seconds: five access points whose level falls with the distance."""
    places = [(-3.0, -3.0), (15.0, -3.0), (15.0, 15.0), (-3.0, 15.0), (6.0, 6.0)]
    paths = []
    for number in range(3):
        samples = walk(rate_hz=25.0, start_ns=START_NS + number * 1000 * SECOND_NS, seed=number)
        for pose in [sample for sample in samples if isinstance(sample, ReferencePose)][::4]:
            levels = [-40.0 - 20 * math.log10(1 + math.dist(place, (pose.x, pose.y))) for place in places]
            heard = [WifiReading(f"00:00:00:00:{n:02x}:00", level) for n, level in enumerate(levels, 1)]
            samples.append(WifiScan(pose.t_ns, tuple(heard)))
        paths.append(folder / f"walk_{number}")
        write_recording(paths[-1], samples, RecordingInfo(site="test"))
    return paths


def test_a_survey_with_wifi_starts_by_it(tmp_path: Path) -> None:
    paths = _with_wifi(tmp_path / "survey")
    train(PdrSurveyConfig(), paths, tmp_path / "model", QUIET)
    card, _ = load_model(tmp_path / "model")
    assert card.settings["start"] == "wifi_knn"
    assert len(card.access_points) == 5
    assert card.metrics["held_out"]["mean_m"] < 3.0
    assert load_localizer(tmp_path / "model").inputs == {"imu", "wifi"}


def test_a_given_start_needs_no_starter(tmp_path: Path) -> None:
    paths = write_walks(tmp_path / "survey")
    train(PdrSurveyConfig(start="given"), paths, tmp_path / "model", QUIET)
    localizer = load_localizer(tmp_path / "model")
    recording = Recording(paths[1])
    reference = recording.reference()
    assert list(localizer.localize(recording.samples())) == []
    localizer.reset()
    told = told_where(localizer, recording.samples(), reference.start_ns, reference.position[0], 0.3)
    assert len(list(localizer.localize(told))) > 50


def test_a_survey_without_motion_is_refused(tmp_path: Path) -> None:
    paths = write_survey(tmp_path / "survey", speeds=(1.0, 1.1, 1.2))
    with pytest.raises(TrainingError, match=r"neither steps \(topic '/imu/data'\) nor odometry"):
        train(PdrSurveyConfig(), paths, tmp_path / "model", QUIET)
    with pytest.raises(TrainingError, match="one recording"):
        train(PdrSurveyConfig(), paths[:1], tmp_path / "model", QUIET)


def test_unknown_starters_and_settings_are_named_with_their_file(tmp_path: Path) -> None:
    config = tmp_path / "pdr.yaml"
    config.write_text("starters: {mail: {}}")
    with pytest.raises(ConfigError, match=r"pdr.yaml: starters: 'mail' is not one of wifi_knn, magnetic_nn"):
        PdrSurveyConfig.from_yaml(config)
    config.write_text("starters: {magnetic_nn: {windw: {}}}")
    with pytest.raises(ConfigError, match=r"pdr.yaml: starters: magnetic_nn: unknown setting 'windw'"):
        PdrSurveyConfig.from_yaml(config)


def test_drift_is_what_makes_the_errors_fit() -> None:
    rng = np.random.default_rng(0)
    distances = rng.uniform(5.0, 50.0, 4000)
    offsets = rng.normal(size=(4000, 2)) * (0.08 * distances)[:, None]
    assert fitting_drift(offsets, np.full((4000, 2, 2), 1e-6 * np.eye(2)), distances) == pytest.approx(0.08, rel=0.05)
