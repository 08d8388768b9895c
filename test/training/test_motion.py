from __future__ import annotations

import math
from pathlib import Path

import pytest
from surveys import START_NS, write_survey
from walks import SQUARE, drive, length_of, walk, write_walks

from mail_localization.data.recording import Recording, RecordingInfo, Topics, write_recording
from mail_localization.errors import TrainingError
from mail_localization.motion.tracker import MotionSettings, MotionTracker
from mail_localization.training.motion import calibrate_motion


def test_steps_are_scaled_and_turned_to_the_reference(tmp_path: Path) -> None:
    paths = write_walks(tmp_path, mounting=0.4)
    settings, calibration = calibrate_motion(paths, MotionSettings(), Topics())
    assert settings.source == "steps"
    assert calibration.heading_offset == pytest.approx(-0.4, abs=0.05)
    assert calibration.heading_offset_std < 0.2
    assert calibration.speed_mean == pytest.approx(1.2, abs=0.05)
    tracker = MotionTracker(settings, calibration)
    found = sum(m.distance for s in Recording(paths[1]).samples() for m in tracker.add(s))
    assert found == pytest.approx(length_of(SQUARE), rel=0.08)


def test_without_attitude_the_offset_is_unknown(tmp_path: Path) -> None:
    settings, calibration = calibrate_motion(write_walks(tmp_path, attitude=False), MotionSettings(), Topics())
    assert settings.source == "steps"
    assert calibration.heading_offset_std == math.pi


def test_odometry_comes_before_steps(tmp_path: Path) -> None:
    path = tmp_path / "robot"
    write_recording(path, drive(turned=1.0), RecordingInfo())
    settings, _ = calibrate_motion([path, path], MotionSettings(), Topics())
    assert settings.source == "odometry"


def test_walkers_and_robots_may_survey_together(tmp_path: Path) -> None:
    paths = write_walks(tmp_path)
    write_recording(tmp_path / "robot", drive(start_ns=START_NS + 10**15), RecordingInfo())
    settings, calibration = calibrate_motion([*paths, tmp_path / "robot"], MotionSettings(), Topics())
    assert settings.source == "auto"
    assert calibration.weinberg_k == calibrate_motion(paths, MotionSettings(), Topics())[1].weinberg_k


def test_an_imu_that_shows_no_steps_leaves_the_usual_speed(tmp_path: Path) -> None:
    settings, calibration = calibrate_motion(write_survey(tmp_path, speeds=(1.0, 1.2)), MotionSettings(), Topics())
    assert settings.source == "none"
    assert calibration.speed_mean == pytest.approx(1.1, abs=0.01)
    assert 0.09 < calibration.speed_std < 0.12


def test_a_source_that_is_asked_for_but_absent_is_an_error(tmp_path: Path) -> None:
    paths = write_survey(tmp_path / "survey")
    with pytest.raises(TrainingError, match=r"walk_0: no messages on '/odom', which motion.source odometry needs"):
        calibrate_motion(paths, MotionSettings(source="odometry"), Topics())
    with pytest.raises(TrainingError, match=r"motion.source is steps"):
        calibrate_motion(paths, MotionSettings(source="steps"), Topics())


def test_a_few_recordings_without_imu_are_left_out(tmp_path: Path) -> None:
    paths = write_walks(tmp_path, count=5)
    kept = [sample for sample in walk(start_ns=START_NS + 10**14) if not hasattr(sample, "acceleration")]
    write_recording(tmp_path / "bare", kept, RecordingInfo())
    settings, _ = calibrate_motion([*paths, tmp_path / "bare"], MotionSettings(), Topics())
    assert settings.source == "steps"
