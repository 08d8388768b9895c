from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
from surveys import SECOND_NS, START_NS, corridor_walk, field_at, write_survey

from mail_localization.data.recording import Recording, RecordingInfo, Topics, write_recording
from mail_localization.errors import TrainingError
from mail_localization.localizer import load_localizer
from mail_localization.models.artifact import load_model
from mail_localization.training.maloc import CONFIG, train
from mail_localization.training.options import TrainOptions
from mail_localization.types import ImuSample, MagneticSample, OdometrySample, ReferencePose, Sample

QUIET = TrainOptions(progress=False)
FEW = {"start": 1000, "particles": {"most": 500, "fewest": 200}, "recovery": {"particles": 100, "candidates": 500}}


def rolled(seed: int, seconds: int = 30, noise: float = 0.05) -> list[Sample | ReferencePose]:
    """Roll along the corridor at 1 m/s; the odometry is the way with 5 % noise, in a frame of its own."""
    rng = np.random.default_rng(seed)
    samples: list[Sample | ReferencePose] = []
    start_ns, x, y, turn = START_NS + seed * 1000 * SECOND_NS, 0.0, 0.0, 1.0 + seed
    for k in range(seconds * 10 + 1):
        t_ns = start_ns + k * SECOND_NS // 10
        step = 0.1 * (1 + noise * rng.normal()) if k else 0.0
        x, y = x + step * math.cos(turn), y + step * math.sin(turn)
        samples.append(MagneticSample(t_ns, field_at(k / 10)))
        samples.append(OdometrySample(t_ns, x, y, turn))
        if k % 10 == 0:
            samples.append(ReferencePose(t_ns, k / 10, 0.0))
    return samples


def test_a_robots_odometry_is_used(tmp_path: Path) -> None:
    paths = [tmp_path / f"roll_{seed}" for seed in range(3)]
    for seed, path in enumerate(paths):
        write_recording(path, rolled(seed), RecordingInfo())
    train(CONFIG.from_mapping({"filter": FEW}), paths[:2], tmp_path / "model", QUIET)
    card, _ = load_model(tmp_path / "model")
    assert card.settings["motion"]["source"] == "odometry"
    localizer = load_localizer(tmp_path / "model")
    assert localizer.inputs == {"mag", "odom"}
    recording = Recording(paths[2])
    estimates = list(localizer.localize(recording.samples(localizer.inputs)))
    truth = recording.reference().at(np.array([e.t_ns for e in estimates]))
    errors = np.hypot(*(np.array([e.position for e in estimates]) - truth).T)
    assert np.median(errors) < 0.4


def test_a_survey_on_foot_makes_a_model_that_knows_its_errors(tmp_path: Path) -> None:
    train(CONFIG.from_mapping({"filter": FEW}), write_survey(tmp_path, (1.0, 1.1, 1.2)), tmp_path / "model", QUIET)
    card, tensors = load_model(tmp_path / "model")
    # The simulated IMU stands still: there are no steps in it.
    assert card.settings["motion"]["source"] == "none"
    assert card.metrics["held_out"]["windows"] > 20
    assert card.metrics["held_out"]["median_m"] < 3.0
    assert [entry["name"] for entry in card.training_recordings] == ["walk_0", "walk_1", "walk_2"]
    assert 0.9 < float(tensors["motion.speed_mean"][0]) < 1.3


def test_as_many_directions_are_told_apart_as_the_survey_asks_for(tmp_path: Path) -> None:
    """The corridor's field is the same in both directions; in the second survey the sensor turns with the walker."""
    found = []
    for turning in (False, True):
        paths = []
        for number in range(4):
            back = number % 2 == 1
            samples = rolled(number, seconds=20)
            sign = -1.0 if back and turning else 1.0
            walked: list[Sample | ReferencePose] = []
            for sample in samples:
                if isinstance(sample, ReferencePose) and back:
                    sample = dataclasses.replace(sample, x=20.0 - sample.x)
                if isinstance(sample, MagneticSample):
                    way = (sample.t_ns - samples[0].t_ns) * 1e-9
                    x, y, z = field_at(20.0 - way if back else way)
                    sample = MagneticSample(sample.t_ns, (sign * x, sign * y, z))
                walked.append(sample)
            paths.append(tmp_path / f"{turning}_{number}")
            write_recording(paths[-1], walked, RecordingInfo())
        train(CONFIG.from_mapping({"filter": FEW}), paths, tmp_path / f"model_{turning}", QUIET)
        found.append(load_model(tmp_path / f"model_{turning}")[0].metrics["directions"])
    assert found[0] == 1
    assert found[1] > 1


def test_recordings_kept_back_are_not_mapped(tmp_path: Path) -> None:
    paths = write_survey(tmp_path, (1.0, 1.2))
    options = TrainOptions(progress=False, validation=(paths[1],))
    train(CONFIG.from_mapping({"filter": FEW}), paths, tmp_path / "model", options)
    card, tensors = load_model(tmp_path / "model")
    assert {entry["name"]: entry["role"] for entry in card.training_recordings} == {
        "walk_0": "train", "walk_1": "validation"
    }  # fmt: skip
    # The kept walk leads to 48 m, the mapped one to 40 m.
    width = tensors["map_cells"].shape[1] * float(tensors["map_cell"][0])
    assert width < 46.0


def test_one_recording_is_not_enough(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="walk_0"):
        train(CONFIG(), write_survey(tmp_path, speeds=(1.0,)), tmp_path / "model", QUIET)


def test_a_survey_without_magnetometer_is_told(tmp_path: Path) -> None:
    paths = []
    for number in range(2):
        samples = corridor_walk(seconds=10.0, start_ns=START_NS + number * 100 * SECOND_NS)
        kept = [s for s in samples if isinstance(s, (ImuSample, ReferencePose))]
        paths.append(tmp_path / f"deaf_{number}")
        write_recording(paths[-1], kept, RecordingInfo())
    with pytest.raises(TrainingError, match="no readings of the magnetometer"):
        train(CONFIG(), paths, tmp_path / "model", TrainOptions(progress=False, topics=Topics()))
