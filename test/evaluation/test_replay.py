from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from multiprocessing import active_children
from pathlib import Path

import numpy as np
import pytest
from surveys import corridor_walk, write_survey

from mail_localization.data.recording import Recording, RecordingInfo, write_recording
from mail_localization.errors import MissingRosError
from mail_localization.evaluation.replay import (
    Replay,
    Skipped,
    Task,
    drive,
    measure_latency,
    replay_live,
    replay_offline,
    unique_names,
)
from mail_localization.localizer import told_where
from mail_localization.matching.magnetic_nn import MagneticNnConfig
from mail_localization.training.magnetic_nn import train
from mail_localization.training.options import TrainOptions
from mail_localization.types import MagneticSample, PoseEstimate, ReferencePose, Sample
from mail_localization.workers import Spread


class SampleCounter:
    """A Localizer that says how many magnetometer readings it has seen, every tenth time."""

    def __init__(self) -> None:
        self.method, self.inputs = "count", frozenset({"mag"})
        self.counters: Counter[str] = Counter()
        self.seen = 0

    def add(self, sample: Sample) -> PoseEstimate | None:
        self.seen += isinstance(sample, MagneticSample)
        due = isinstance(sample, MagneticSample) and self.seen % 10 == 0
        return PoseEstimate(sample.t_ns, np.array([self.seen, 0.0]), np.eye(2)) if due else None

    add_magnetic = add_imu = add_wifi = add_odometry = add

    def localize(self, samples: Iterable[Sample]) -> Iterator[PoseEstimate]:
        return (estimate for sample in samples if (estimate := self.add(sample)) is not None)

    def reset(self) -> None:
        self.seen = 0


@pytest.fixture(scope="module")
def survey(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_survey(tmp_path_factory.mktemp("survey"), speeds=(1.0, 1.2, 1.1), seconds=20.0)


@pytest.fixture(scope="module")
def model(survey: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "nn"
    config = MagneticNnConfig.from_mapping({"window": {"length": 100}})
    train(config, survey[:2], folder, TrainOptions(progress=False))
    return folder


def task(model: Path, path: Path, **more: object) -> Task:
    return Task("nn", model, path.name, path, **more)  # type: ignore[arg-type]


def test_every_recording_starts_from_a_fresh_state(survey: list[Path]) -> None:
    localizer = SampleCounter()
    first = drive(localizer, Recording(survey[0]).samples())
    again = drive(localizer, Recording(survey[0]).samples())
    assert [p.position[0] for p in first] == [p.position[0] for p in again] == list(range(10, 1001, 10))


def test_worker_processes_give_the_same_replays(model: Path, survey: list[Path]) -> None:
    tasks = [task(model, path) for path in survey]
    alone = {r.task: r for r in replay_offline(tasks) if isinstance(r, Replay)}
    workers = {r.task: r for r in replay_offline(tasks, Spread(2)) if isinstance(r, Replay)}
    assert alone.keys() == workers.keys() == set(tasks)
    for key, replay in alone.items():
        assert len(replay.estimates) > 10
        np.testing.assert_array_equal(replay.estimates.position, workers[key].estimates.position)
        np.testing.assert_array_equal(replay.association.error, workers[key].association.error)


def test_a_replay_that_is_given_up_ends_its_workers(model: Path, survey: list[Path]) -> None:
    others = set(active_children())
    outcomes = replay_offline([task(model, path) for path in survey * 4], Spread(2))
    next(outcomes)
    assert set(active_children()) - others
    outcomes.close()  # type: ignore[attr-defined]
    assert not set(active_children()) - others


def test_a_surveyed_corridor_is_recognized(model: Path, survey: list[Path]) -> None:
    (replay,) = replay_offline([task(model, survey[2])])
    assert isinstance(replay, Replay)
    # The window is 2 s long: the instants 0 and 1 s come too early for it.
    assert np.flatnonzero(~replay.association.available).tolist() == [0, 1]
    assert np.nanmedian(replay.association.error) < 0.5


def test_the_hop_sets_the_number_of_estimates(model: Path, survey: list[Path]) -> None:
    (coarse,) = replay_offline([task(model, survey[2], hop=50)])
    (fine,) = replay_offline([task(model, survey[2], hop=10)])
    assert isinstance(coarse, Replay) and isinstance(fine, Replay)
    assert len(fine.estimates) == pytest.approx(5 * len(coarse.estimates), abs=5)


def test_a_recording_without_references_is_skipped_by_name(model: Path, tmp_path: Path) -> None:
    samples = [s for s in corridor_walk(seconds=5.0) if not isinstance(s, ReferencePose)]
    write_recording(tmp_path / "blind", samples, RecordingInfo())
    (skipped,) = replay_offline([task(model, tmp_path / "blind")])
    assert isinstance(skipped, Skipped)
    assert "blind" in skipped.reason and "survey" in skipped.reason


def test_a_recording_shorter_than_the_window_says_so(model: Path, tmp_path: Path) -> None:
    write_recording(tmp_path / "short", corridor_walk(seconds=1.5), RecordingInfo())
    (replay,) = replay_offline([task(model, tmp_path / "short")])
    assert isinstance(replay, Replay)
    assert len(replay.estimates) == 0
    assert not replay.association.available.any()
    assert "1.5 s" in replay.notes[0] and "window" in replay.notes[0]


def test_a_missing_sensor_is_named(model: Path, tmp_path: Path) -> None:
    samples = [s for s in corridor_walk(seconds=5.0) if not isinstance(s, MagneticSample)]
    write_recording(tmp_path / "deaf", samples, RecordingInfo())
    (replay,) = replay_offline([task(model, tmp_path / "deaf")])
    assert isinstance(replay, Replay)
    assert "/imu/mag" in replay.notes[0]


def test_latency_is_measured_for_each_estimate(model: Path, survey: list[Path]) -> None:
    (replay,) = replay_offline([task(model, survey[2])])
    assert isinstance(replay, Replay)
    latency_ms = measure_latency(task(model, survey[2]))
    assert len(latency_ms) == len(replay.estimates) - 1
    assert all(0 < value < 1000 for value in latency_ms)


def test_names_are_made_unique(tmp_path: Path) -> None:
    paths = [tmp_path / "a" / "mail", tmp_path / "b" / "mail", tmp_path / "b" / "mail", tmp_path / "knn"]
    for path in paths:
        path.mkdir(parents=True, exist_ok=True)
    assert unique_names(paths) == ["a_mail", "b_mail", "b_mail-2", "knn"]


def test_live_without_ros_says_what_to_do(model: Path, survey: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    # None in sys.modules makes Python's import fail as if the package were absent.
    monkeypatch.setitem(sys.modules, "rclpy", None)
    monkeypatch.delitem(sys.modules, "mail_localization.ros.live", raising=False)
    monkeypatch.delattr("mail_localization.ros.live", raising=False)
    with pytest.raises(MissingRosError, match=r"--live needs ROS 2 .* source a ROS 2 installation"):
        list(replay_live([task(model, survey[0])], 1.0))


class Remembering:
    """A real Localizer's interface over none of its arithmetic: it says what it was told."""

    method, inputs, counters = "remembering", frozenset({"mag"}), Counter[str]()

    def __init__(self) -> None:
        self.heard: list[object] = []

    def reset(self) -> None:
        self.heard.clear()

    def start_at(self, t_ns: int, position: np.ndarray, stddev: float) -> None:
        self.heard.append(("start", t_ns))

    def localize(self, samples: Iterable[Sample]) -> Iterator[PoseEstimate]:
        for sample in samples:
            self.heard.append(sample.t_ns)
            yield PoseEstimate(sample.t_ns, np.zeros(2), np.eye(2))

    def smooth(self, samples: Iterable[Sample]) -> Iterator[PoseEstimate]:
        return reversed(list(self.localize(samples)))


def test_start_is_told_before_the_first_sample_that_is_not_older() -> None:
    localizer = Remembering()
    samples = [MagneticSample(t, (0.0, 0.0, 0.0)) for t in (1, 2, 3)]
    drive(localizer, told_where(localizer, samples, 2, np.zeros(2), 0.5))  # type: ignore[arg-type]
    assert localizer.heard == [1, ("start", 2), 2, 3]


def test_smoothing_is_done_only_when_asked_for() -> None:
    samples = [MagneticSample(t, (0.0, 0.0, 0.0)) for t in (1, 2)]
    assert [pose.t_ns for pose in drive(Remembering(), samples, smooth=True)] == [2, 1]  # type: ignore[arg-type]
    assert [pose.t_ns for pose in drive(Remembering(), samples)] == [1, 2]  # type: ignore[arg-type]
