"""Estimates of a real method joined with odometry that drifts: better than either alone, whichever way."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from surveys import SECOND_NS, START_NS
from walks import SQUARE, drive

from mail_localization.data.association import Estimates, associate
from mail_localization.data.recording import Recording, RecordingInfo, write_recording
from mail_localization.evaluation.derived_odometry import derived_odometry, laid_at_start, with_odometry
from mail_localization.evaluation.joining import joined, samples_with_odometry
from mail_localization.evaluation.replay import Replay, Task, replay_offline
from mail_localization.localizer import Localizer, load_localizer
from mail_localization.matching.magnetic_nn import MagneticNnConfig
from mail_localization.motion.pose_filter import DriftSettings
from mail_localization.training.magnetic_nn import train
from mail_localization.training.options import TrainOptions
from mail_localization.types import MagneticSample, OdometrySample, PoseEstimate

ROUND = (*SQUARE, (0.0, 0.0))
DRIFT = DriftSettings()


def _walk(
    folder: Path, name: str, speed: float, rounds: int, start_ns: int, odometry: bool = False, noise: float = 0.0
) -> Path:
    rng = np.random.default_rng(0)
    samples = drive(ROUND + ROUND[1:] * (rounds - 1), speed=speed, start_ns=start_ns)
    kept = [s for s in samples if odometry or not isinstance(s, OdometrySample)]
    kept = [
        MagneticSample(s.t_ns, tuple(s.field + noise * rng.normal(size=3))) if isinstance(s, MagneticSample) else s
        for s in kept
    ]
    write_recording(folder / name, kept, RecordingInfo())
    return folder / name


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, and a probe of three rounds with a noisy sensor: what looks alike is taken for each other."""
    folder = tmp_path_factory.mktemp("fusing")
    survey = [_walk(folder, f"s{k}", 0.6 + 0.1 * k, 1, START_NS + k * 1000 * SECOND_NS) for k in range(3)]
    config = MagneticNnConfig.from_mapping({"window": {"rate_hz": 10.0, "length": 20, "hop": 2}})
    train(config, survey, folder / "model", TrainOptions(progress=False))
    _walk(folder, "probe", 0.75, 3, START_NS + 10**13, noise=2e-5)
    return folder


def _errors(estimates: list[PoseEstimate], recording: Recording) -> np.ndarray:
    pairs = associate(recording.reference(), Estimates.from_poses(estimates))
    return pairs.error[pairs.available]


def _fuse(localizer: Localizer, recording: Recording, odometry: list[OdometrySample]) -> list[PoseEstimate]:
    localizer.reset()
    return list(localizer.localize(with_odometry(recording.samples(localizer.inputs), odometry)))


@pytest.mark.parametrize("way", ["node", "node+ekf"])
@pytest.mark.parametrize("seed", [0, 1])
def test_joined_errs_less_than_odometry_and_poses_alone(folder: Path, way: str, seed: int) -> None:
    recording = Recording(folder / "probe")
    reference, model = recording.reference(), load_localizer(folder / "model")
    odometry = derived_odometry(reference, DRIFT, seed)
    alone = laid_at_start(odometry, reference)
    drifted = np.linalg.norm(alone - reference.at(np.array([pose.t_ns for pose in odometry])), axis=1)
    poses = _errors(_fuse(model, recording, []), recording)
    fused = _fuse(joined(model, way), recording, odometry)
    assert all(np.isfinite(e.position).all() and np.isfinite(e.covariance).all() for e in fused)
    assert all((np.linalg.eigvalsh(e.covariance) > 0).all() for e in fused)
    # From the second round on: the first serves to find how the odometry lies in the map.
    late = _errors([e for e in fused if e.t_ns > reference.start_ns + 60 * SECOND_NS], recording)
    assert late.mean() < min(drifted.mean(), poses.mean())
    assert late.max() < 5.0


def test_derived_odometry_without_drift_is_the_reference(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mail_localization.evaluation import derived_odometry as module

    monkeypatch.setattr(module, "SCALE_STDDEV", 0.0)
    reference = Recording(folder / "probe").reference()
    odometry = derived_odometry(reference, DriftSettings(distance=0.0, heading=0.0, turn=0.0))
    true = reference.at(np.array([pose.t_ns for pose in odometry]))
    np.testing.assert_allclose(laid_at_start(odometry, reference), true, atol=1e-6)
    # Its frame begins at the base, looking ahead.
    assert (odometry[0].x, odometry[0].y, odometry[0].yaw) == pytest.approx((0.0, 0.0, 0.0))


def test_drift_is_drawn_by_the_seed(folder: Path) -> None:
    reference = Recording(folder / "probe").reference()
    first, again, other = (derived_odometry(reference, DRIFT, seed)[-1] for seed in (0, 0, 1))
    assert first == again
    assert first != other


def test_recorded_odometry_is_taken_and_not_derived(folder: Path) -> None:
    path = _walk(folder, "driven", 0.6, 1, START_NS + 2 * 10**13, odometry=True)
    recording = Recording(path)
    samples, notes = samples_with_odometry(recording, recording.reference(), frozenset({"mag", "odom"}))
    assert notes == []
    assert sum(isinstance(s, OdometrySample) for s in samples) == recording.counts["/odom"]


def test_report_says_that_odometry_was_derived(folder: Path) -> None:
    task = Task("nn", folder / "model", "probe", folder / "probe", odometry="node")
    (replay,) = replay_offline([task])
    (plain,) = replay_offline([Task("nn", folder / "model", "probe", folder / "probe")])
    assert isinstance(replay, Replay) and isinstance(plain, Replay)
    assert any("odometry derived from the reference" in note for note in replay.notes)
    (joined_at,) = [note for note in replay.notes if "odometry joined" in note]
    assert 10 < int(joined_at.split()[2]) < 60
    assert np.nanmean(replay.association.error) < np.nanmean(plain.association.error)
