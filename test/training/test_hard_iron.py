from __future__ import annotations

import math
from pathlib import Path

import pytest
from surveys import START_NS
from walks import SQUARE, Corners, walk

from mail_localization.data.recording import RecordingInfo, Topics, write_recording
from mail_localization.motion.tracker import MotionSettings
from mail_localization.training.hard_iron import hard_iron
from mail_localization.training.motion import calibrate_motion
from mail_localization.types import ImuSample, MagneticSample, ReferencePose, Sample

OWN = (3e-5, -1e-5, -8e-5)
NORTH, DOWN = 2e-5, -4e-5


def _with_field(samples: list[Sample | ReferencePose]) -> list[Sample | ReferencePose]:
    """Let the magnetometer read the Earth's field (north is y) and the device's own; take the orientation away."""
    made: list[Sample | ReferencePose] = []
    yaw = 0.0
    for sample in samples:
        if isinstance(sample, ImuSample) and sample.orientation is not None:
            yaw = 2 * math.atan2(sample.orientation[2], sample.orientation[3])
            made.append(ImuSample(sample.t_ns, sample.acceleration, sample.angular_velocity))
        elif isinstance(sample, MagneticSample):
            field = (OWN[0] + NORTH * math.sin(yaw), OWN[1] + NORTH * math.cos(yaw), OWN[2] + DOWN)
            made.append(MagneticSample(sample.t_ns, field))
        else:
            made.append(sample)
    return made


def _survey(folder: Path, corners: Corners) -> list[Path]:
    paths = []
    for number in range(3):
        paths.append(folder / f"walk_{number}")
        samples = walk(corners, rate_hz=25.0, start_ns=START_NS + number * 10**12, mounting=0.4, seed=number)
        write_recording(paths[-1], _with_field(samples), RecordingInfo())
    return paths


def test_walks_in_several_directions_tell_the_level_hard_iron(tmp_path: Path) -> None:
    found = hard_iron(_survey(tmp_path, SQUARE), Topics())
    assert found is not None
    assert found[:2] == pytest.approx(OWN[:2], abs=3e-6)


def test_walks_in_one_direction_tell_nothing(tmp_path: Path) -> None:
    assert hard_iron(_survey(tmp_path, ((0.0, 0.0), (20.0, 0.0))), Topics()) is None


def test_magnetometer_makes_headings_absolute_where_it_follows_the_reference(tmp_path: Path) -> None:
    paths = _survey(tmp_path, SQUARE)
    settings, calibration = calibrate_motion(paths, MotionSettings(), Topics())
    off, relative = calibrate_motion(paths, MotionSettings(magnetometer="off"), Topics())
    assert (settings.magnetometer, off.magnetometer) == ("on", "off")
    assert calibration.heading_offset == pytest.approx(-0.4, abs=0.1)
    assert calibration.heading_offset_std < 0.3
    assert relative.heading_offset_std == math.pi
