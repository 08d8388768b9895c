from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from surveys import write_survey
from wifi_surveys import write_wifi_survey

from mail_localization.data.recording import Recording, Topics
from mail_localization.errors import MailLocalizationError, RecordingError, TrainingError
from mail_localization.localizer import load_localizer
from mail_localization.matching.wifi_knn import WifiKnnConfig
from mail_localization.methods import METHODS
from mail_localization.models.artifact import load_model
from mail_localization.training.options import TrainOptions
from mail_localization.training.wifi_knn import train

QUIET = TrainOptions(progress=False)
GIVEN = WifiKnnConfig.from_mapping(
    {"knn": {"k": 3, "distance": "sorensen", "representation": "exponential", "device_gain": "remove"}}
)
"""Nothing to choose, and so quick."""


def errors_on(model: Path, recording: Path) -> np.ndarray:
    probe = Recording(recording)
    estimates = list(load_localizer(model).localize(probe.samples()))
    truth = probe.reference().at(np.array([e.t_ns for e in estimates]))
    return np.linalg.norm(np.array([e.position for e in estimates]) - truth, axis=1)


@pytest.mark.parametrize("kind", ["knn", "horus"])
def test_another_walk_is_located(kind: str, tmp_path: Path) -> None:
    paths = write_wifi_survey(tmp_path, speeds=(1.0, 0.8, 1.2, 0.9))
    train(WifiKnnConfig(kind=kind), paths[:3], tmp_path / "model", QUIET)
    errors = errors_on(tmp_path / "model", paths[3])
    assert len(errors) > 15
    assert errors.mean() < 1.5
    card, _ = load_model(tmp_path / "model")
    assert WifiKnnConfig.from_mapping(card.settings).chosen
    assert len(card.access_points) == 9
    assert card.metrics["held_out"]["mean_m"] < 2.0


def test_phone_of_another_gain_is_located(tmp_path: Path) -> None:
    paths = write_wifi_survey(tmp_path, speeds=(1.0, 0.8, 1.2, 0.9), gains=(0.0, 0.0, 0.0, -12.0))
    train(GIVEN, paths[:3], tmp_path / "model", QUIET)
    assert errors_on(tmp_path / "model", paths[3]).mean() < 2.5


def test_same_seed_gives_the_same_model(tmp_path: Path) -> None:
    paths = write_wifi_survey(tmp_path, length=20.0)
    for name in ("one", "two"):
        train(WifiKnnConfig(), paths, tmp_path / name, QUIET)
    one, two = load_model(tmp_path / "one"), load_model(tmp_path / "two")
    assert one[0].settings == two[0].settings
    assert one[1].keys() == two[1].keys()
    assert all(np.array_equal(one[1][key], two[1][key], equal_nan=key == "rssi") for key in one[1])


def test_given_settings_are_kept(tmp_path: Path) -> None:
    config = WifiKnnConfig.from_mapping({"knn": {"k": 5, "distance": "cosine", "representation": "exponential"}})
    train(config, write_wifi_survey(tmp_path), tmp_path / "model", QUIET)
    card, _ = load_model(tmp_path / "model")
    knn = card.settings["knn"]
    assert (knn["k"], knn["distance"], knn["representation"]) == (5, "cosine", "exponential")
    assert knn["device_gain"] in {"keep", "remove"}


def test_validation_recordings_are_not_in_the_map(tmp_path: Path) -> None:
    paths = write_wifi_survey(tmp_path)
    train(GIVEN, paths[:2], tmp_path / "model", TrainOptions(progress=False, validation=(paths[2],)))
    card, tensors = load_model(tmp_path / "model")
    assert [entry["role"] for entry in card.training_recordings] == ["train", "train", "validation"]
    scans = sum(Recording(path).counts["/wifi/scan"] for path in paths[:2])
    assert len(tensors["positions"]) == scans


def test_survey_of_two_walks_is_enough(tmp_path: Path) -> None:
    train(GIVEN, write_wifi_survey(tmp_path, speeds=(1.0, 0.8)), tmp_path / "model", QUIET)
    assert METHODS["wifi_knn"].config is WifiKnnConfig
    assert errors_on(tmp_path / "model", tmp_path / "walk_0").mean() < 1.0


def test_recording_without_wifi_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match=r"walk_.*no Wi-Fi scans on topic '/wifi/scan' .*topics\.wifi"):
        train(WifiKnnConfig(), write_survey(tmp_path, seconds=10.0), tmp_path / "model", QUIET)


def test_wrong_topic_is_named(tmp_path: Path) -> None:
    options = TrainOptions(progress=False, topics=Topics(wifi="/phone/wifi"))
    with pytest.raises(MailLocalizationError, match=r"walk_0.*'/phone/wifi'.*/wifi/scan"):
        train(WifiKnnConfig(), write_wifi_survey(tmp_path), tmp_path / "model", options)


def test_single_recording_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"walk_0.*record a second round"):
        train(WifiKnnConfig(), write_wifi_survey(tmp_path, speeds=(1.0,)), tmp_path / "model", QUIET)


def test_no_access_point_is_refused(tmp_path: Path) -> None:
    config = WifiKnnConfig.from_mapping({"wifi": {"min_fingerprints": 500}})
    with pytest.raises(TrainingError, match=r"walk_.*no access point .*500 or more \(wifi\.min_fingerprints\)"):
        train(config, write_wifi_survey(tmp_path), tmp_path / "model", QUIET)


def test_fewer_fingerprints_than_k_are_refused(tmp_path: Path) -> None:
    config = WifiKnnConfig.from_mapping({"knn": {"k": 200}})
    with pytest.raises(TrainingError, match=r"walk_.*\d+ scans on topic '/wifi/scan' .*fewer than knn\.k 200"):
        train(config, write_wifi_survey(tmp_path), tmp_path / "model", QUIET)
