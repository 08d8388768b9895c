from __future__ import annotations

import dataclasses
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
import yaml
from surveys import write_survey

from mail_localization.data.recording import Recording
from mail_localization.errors import ConfigError, TrainingError
from mail_localization.localizer import load_localizer
from mail_localization.models.artifact import load_model
from mail_localization.training.checkpoint import FILE, Progress
from mail_localization.training.loop import TrainingSettings
from mail_localization.training.mail import MailConfig, train
from mail_localization.training.options import TrainOptions

SMALL = {
    "window": {"length": 100},
    "magnetic": {"transform": "raw"},
    "network": {"scales": [25, 50, 100], "hidden": 8, "embedding_hidden": 16, "embedding": 8, "dropout": 0.1},
    "training": {"epochs": 4, "batch": 20, "hop": 10, "augmentation": {"share": 0.3}},
}
CONFIG = MailConfig.from_mapping(SMALL)
QUIET = TrainOptions(progress=False, threads=1)


def _with(**training: object) -> MailConfig:
    return dataclasses.replace(CONFIG, training=dataclasses.replace(CONFIG.training, **training))


@pytest.fixture(scope="module")
def survey(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_survey(tmp_path_factory.mktemp("survey"), speeds=(1.0, 1.2, 1.1), seconds=15.0)


def test_trained_model_localizes_another_walk(survey: list[Path], tmp_path: Path) -> None:
    train(_with(epochs=40), survey[:2], tmp_path / "model", QUIET)
    probe = Recording(survey[2])
    estimates = list(load_localizer(tmp_path / "model").localize(probe.samples()))
    truth = probe.reference().at(np.array([estimate.t_ns for estimate in estimates]))
    errors = np.array([estimate.position for estimate in estimates]) - truth
    guess = truth - truth.mean(axis=0)
    assert np.linalg.norm(errors, axis=1).mean() < 0.25 * np.linalg.norm(guess, axis=1).mean()


def test_network_that_learned_nothing_is_told_of(
    survey: list[Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    train(_with(epochs=1, learning_rate=1e-6), survey, tmp_path / "idle", QUIET)
    assert "hardly below" in caplog.text
    assert "magnetic.transform" in caplog.text
    caplog.clear()
    train(_with(epochs=40), survey, tmp_path / "trained", QUIET)
    assert "hardly below" not in caplog.text


def test_model_folder_tells_how_it_was_made(survey: list[Path], tmp_path: Path) -> None:
    train(_with(epochs=2), survey, tmp_path / "model", QUIET)
    card, _ = load_model(tmp_path / "model")
    assert sorted(entry["role"] for entry in card.training_recordings) == ["train", "train", "validation"]
    assert MailConfig.from_mapping(card.settings) == _with(epochs=2)
    assert card.metrics["epochs"] == 2
    assert np.linalg.eigvalsh(np.array(card.covariance)).min() > 0
    rms = np.sqrt(np.trace(np.array(card.covariance)))
    assert rms >= card.metrics["held_out"]["mean_m"]


def test_explicit_validation_recordings_are_not_trained_on(survey: list[Path], tmp_path: Path) -> None:
    options = dataclasses.replace(QUIET, validation=(survey[0],))
    train(_with(epochs=1), survey, tmp_path / "model", options)
    card, _ = load_model(tmp_path / "model")
    roles = {entry["name"]: entry["role"] for entry in card.training_recordings}
    assert roles == {"walk_0": "validation", "walk_1": "train", "walk_2": "train"}


def test_one_recording_cannot_be_split(survey: list[Path], tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"walk_0: one recording cannot be split .* --validation"):
        train(CONFIG, survey[:1], tmp_path / "model", QUIET)


def test_recordings_shorter_than_the_window_are_named(survey: list[Path], tmp_path: Path) -> None:
    config = dataclasses.replace(CONFIG, window=dataclasses.replace(CONFIG.window, length=2000))
    with pytest.raises(TrainingError, match=r"walk_.*no unbroken 40\.0 s .* lower window\.length"):
        train(config, survey, tmp_path / "model", QUIET)


def test_same_seed_gives_the_same_weights_and_another_does_not(survey: list[Path], tmp_path: Path) -> None:
    weights = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        train(_with(epochs=1), survey, tmp_path / name, dataclasses.replace(QUIET, seed=seed))
        weights.append(load_model(tmp_path / name)[1]["head.weight"])
    np.testing.assert_array_equal(weights[0], weights[1])
    assert np.abs(weights[0] - weights[2]).max() > 1e-3


def test_killed_run_ends_with_the_weights_of_an_undisturbed_one(
    survey: list[Path], tmp_path: Path, python: str
) -> None:
    """SIGKILL in the midst of an epoch, as a power cut would; the second start continues from the checkpoint."""
    settings = {**SMALL, "training": {**SMALL["training"], "epochs": 12, "max_minutes": 1000.0}}
    config = MailConfig.from_mapping(settings)
    train(config, survey, tmp_path / "whole", QUIET)
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(settings))
    command = [python, "-m", "mail_localization", "train", "--method", "mail", "--bags", *map(str, survey), "--out",
               str(tmp_path / "killed"), "--config", str(tmp_path / "c.yaml"), "--threads", "1"]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not (tmp_path / "killed" / FILE).exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "the run ended before it could be killed"
    assert not (tmp_path / "killed" / "model.json").exists()
    train(config, survey, tmp_path / "killed", QUIET)
    whole, resumed = load_model(tmp_path / "whole")[1], load_model(tmp_path / "killed")[1]
    for name, weight in whole.items():
        np.testing.assert_array_equal(resumed[name], weight, err_msg=name)


def test_checkpoint_of_other_settings_or_recordings_is_refused(survey: list[Path], tmp_path: Path) -> None:
    train(_with(epochs=1), survey, tmp_path, QUIET)
    with pytest.raises(TrainingError, match=r"other settings\.training\.batch \(20, now 30\); give another --out"):
        train(_with(epochs=1, batch=30), survey, tmp_path, QUIET)
    with pytest.raises(TrainingError, match=r"other recordings\."):
        train(_with(epochs=1), survey[:2], tmp_path, QUIET)


def test_damaged_checkpoint_is_a_clear_error(survey: list[Path], tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"\x08\0\0\0\0\0\0\0no json!")
    with pytest.raises(TrainingError, match=r"damaged checkpoint: .* delete it to start anew"):
        train(CONFIG, survey, tmp_path, QUIET)


def test_time_limit_stops_with_the_best_model_so_far(survey: list[Path], tmp_path: Path) -> None:
    started = time.monotonic()
    train(_with(epochs=100_000, patience=100_000), survey, tmp_path, dataclasses.replace(QUIET, max_minutes=0.05))
    assert time.monotonic() - started < 30
    assert load_model(tmp_path)[0].metrics["held_out"]["windows"] > 0


def test_training_stops_when_validation_no_longer_improves(survey: list[Path], tmp_path: Path) -> None:
    train(_with(epochs=500, patience=2, stop_after=2, learning_rate=0.05), survey, tmp_path, QUIET)
    metrics = load_model(tmp_path)[0].metrics
    assert metrics["best_epoch"] + 4 == metrics["epochs"] < 500


def test_diverging_loss_is_a_clear_error(survey: list[Path], tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"epoch \d+: the loss is (nan|inf); lower learning_rate"):
        train(_with(epochs=300, learning_rate=10.0, warmup=0, weight_decay=1e6), survey, tmp_path, QUIET)


def test_scale_longer_than_the_window_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"network\.scales: 500 exceeds window\.length 300"):
        MailConfig.from_mapping({"window": {"length": 300}})


def test_missing_cuda_is_a_clear_error(survey: list[Path], tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("this machine has CUDA")
    with pytest.raises(TrainingError, match="finds no CUDA device"):
        train(CONFIG, survey, tmp_path, dataclasses.replace(QUIET, device="cuda"))


def test_cosine_schedule_falls_to_zero_over_the_epochs() -> None:
    settings = TrainingSettings(schedule="cosine", warmup=10, learning_rate=0.1)
    assert settings.rate(5, of=100, decays=3) == pytest.approx(0.05, rel=0.01)
    assert settings.rate(50, of=100, decays=3) == pytest.approx(0.05)
    assert settings.rate(100, of=100, decays=0) == pytest.approx(0.0)
    assert not settings.waits_too_long(Progress(planned=100, waited=1000))


def test_plateau_schedule_falls_with_each_decay() -> None:
    settings = TrainingSettings(warmup=10, learning_rate=0.1, decay=0.5, patience=3)
    assert settings.rate(50, of=100, decays=2) == pytest.approx(0.025)
    assert settings.waits_too_long(Progress(planned=100, waited=3))
    assert not settings.waits_too_long(Progress(planned=100, waited=2))
