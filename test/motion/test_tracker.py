from __future__ import annotations

import dataclasses
import math
from itertools import pairwise

import pytest
from surveys import SECOND_NS, START_NS
from walks import SQUARE, drive, length_of, walk

from mail_localization.errors import ConfigError
from mail_localization.motion.tracker import Motion, MotionCalibration, MotionSettings, MotionTracker
from mail_localization.types import ImuSample, MagneticSample, ReferencePose, Sample


def _track(samples: list[Sample | ReferencePose], tracker: MotionTracker) -> list[Motion]:
    return [motion for sample in samples if not isinstance(sample, ReferencePose) for motion in tracker.add(sample)]


def _tracker(source: str = "steps", **calibration: float) -> MotionTracker:
    return MotionTracker(MotionSettings(source=source), MotionCalibration(**calibration))


@pytest.mark.parametrize("rate_hz", [10.0, 50.0, 100.0])
@pytest.mark.parametrize("gravity", [True, False])
def test_counts_the_steps_at_every_rate(rate_hz: float, gravity: bool) -> None:
    motions = _track(walk(rate_hz=rate_hz, gravity=gravity), _tracker())
    # 36 m at 1.2 m/s take 30 s, at two steps a second.
    assert len(motions) == pytest.approx(60, abs=3)
    assert all(motion.heading_known and motion.distance_std > 0 for motion in motions)


@pytest.mark.parametrize("attitude", [True, False])
def test_headings_follow_the_corners(attitude: bool) -> None:
    motions = _track(walk(attitude=attitude, mounting=0.4), _tracker())
    legs = [motions[10].heading, motions[30].heading, motions[50].heading]
    turns = [math.remainder(b - a, 2 * math.pi) for a, b in pairwise(legs)]
    assert turns == [pytest.approx(math.pi / 2, abs=0.15)] * 2
    assert {motion.heading_known for motion in motions} == {attitude}
    if attitude:
        assert legs[0] == pytest.approx(0.4, abs=0.05)


def test_without_use_of_orientation_an_imu_lacking_it_is_counted() -> None:
    tracker = MotionTracker(MotionSettings(source="steps", attitude="orientation"), MotionCalibration())
    motions = _track(walk(attitude=False), tracker)
    assert len(motions) > 50
    assert not any(motion.heading_known for motion in motions)
    assert tracker.counters["imu.no_orientation"] > 1000


def test_odometry_takes_over_from_steps() -> None:
    tracker = _tracker("auto")
    assert tracker.inputs == {"imu", "odom"}
    rolled = _track(drive(turned=0.5), tracker)
    assert sum(motion.distance for motion in rolled) == pytest.approx(length_of(SQUARE), abs=1.0)
    assert rolled[3].heading == pytest.approx(0.5, abs=1e-6)
    assert not rolled[3].heading_known
    assert _track(walk(start_ns=START_NS + 1000 * SECOND_NS), tracker) == []


def test_without_a_source_time_makes_the_way() -> None:
    samples = [MagneticSample(START_NS + k * 20_000_000, (0.0, 0.0, 5e-5)) for k in range(501)]
    motions = _track(list(samples), _tracker("none", speed_mean=1.0, speed_std=0.3))
    assert [motion.t_ns - START_NS for motion in motions[:2]] == [500_000_000, 1_000_000_000]
    assert sum(motion.distance for motion in motions) == pytest.approx(10.0)
    assert motions[0].distance_std == pytest.approx(0.15)
    assert not motions[0].heading_known
    assert motions[0].turn_std > 1.0


@pytest.mark.parametrize("source", ["steps", "odometry", "none"])
def test_bad_samples_are_counted_and_change_nothing(source: str) -> None:
    samples = [s for s in (drive() if source == "odometry" else walk()) if not isinstance(s, ReferencePose)]
    clean = _track(list(samples), _tracker(source))
    tracker = _tracker(source)
    spoilt: list[Sample | ReferencePose] = []
    for number, sample in enumerate(samples):
        spoilt.append(sample)
        if number in (600, 601):
            spoilt += [sample, samples[number - 20], dataclasses.replace(sample, t_ns=0)]
            spoilt += [ImuSample(sample.t_ns + 1, (math.nan, 0.0, 9.8), (0.0, 0.0, 0.0))]
    assert _track(spoilt, tracker) == clean
    assert tracker.counters


def test_a_gap_ends_the_walk_and_a_clock_set_back_begins_anew() -> None:
    tracker = _tracker()
    first = _track(walk(), tracker)
    later = _track(walk(start_ns=START_NS + 3600 * SECOND_NS), tracker)
    again = _track(walk(), tracker)
    assert len(first) == len(later) == len(again)
    assert tracker.counters == {"imu.gap": 1, "imu.clock_set_back": 1}


@pytest.mark.parametrize("source", ["steps", "none"])
def test_reset_gives_the_same_again(source: str) -> None:
    tracker = _tracker(source)
    first = _track(walk(attitude=False), tracker)
    tracker.reset()
    assert _track(walk(attitude=False), tracker) == first


def test_calibration_survives_its_mapping() -> None:
    calibration = MotionCalibration(weinberg_k=0.5, heading_offset=-1.0)
    assert MotionCalibration.from_mapping(calibration.to_mapping()) == calibration
    for broken in ({"weinberg_k": "much"}, {"knee": 1.0}, {"speed_mean": math.inf}):
        with pytest.raises(ConfigError, match="motion calibration"):
            MotionCalibration.from_mapping(broken)
