from __future__ import annotations

import math

import numpy as np
import pytest

from mail_localization.matching.follower import Follower, FollowSettings, PositionScores, Raster, Way
from mail_localization.motion.tracker import Motion, MotionCalibration, MotionSettings
from mail_localization.types import ImuSample

SECOND_NS = 1_000_000_000
EAST = MotionCalibration(heading_offset=0.0, heading_offset_std=0.1)
CORRIDOR = np.stack([np.arange(40) + 0.5, np.zeros(40)], axis=1)
"""Cells of a corridor along x, m."""
SETTINGS = FollowSettings(use="on", trust=0.3)
RASTER = Raster(CORRIDOR, 1.0)


def step(seconds: float, heading: float = 0.0) -> Motion:
    return Motion(round(seconds * SECOND_NS), 1.0, 0.1, heading, True)


def alike(x: float, twin: float) -> np.ndarray:
    """Return a heat map that takes x for a twin just as well."""
    map_ = np.exp(-0.5 * (CORRIDOR[:, 0] - x) ** 2) + np.exp(-0.5 * (CORRIDOR[:, 0] - twin) ** 2)
    return map_ / map_.sum()


def test_way_tells_places_apart_that_look_alike() -> None:
    follower = Follower(SETTINGS, EAST)
    found = []
    # The twin lies 15 m ahead at first, and moves the other way: only x moves as the target does.
    for k in range(12):
        motions = None if k == 0 else [step(k)]
        found.append(follower.follow(motions, RASTER.scores(alike(5.0 + k, 30.0 - k))))
    assert found[0] is None
    last = found[-1]
    assert last is not None
    assert last.modes[0].mean == pytest.approx([16.0, 0.0], abs=1.0)
    assert last.modes[0].weight > 0.8
    assert np.linalg.eigvalsh(last.covariance_about_mode).min() > 0


def test_unknown_direction_is_found_by_walking() -> None:
    blind = MotionCalibration(heading_offset_std=math.pi)
    follower = Follower(SETTINGS, blind)
    for k in range(15):
        scores = PositionScores(np.array([0.0, 1.0 * k]), 0.5 * np.eye(2))
        cloud = follower.follow(None if k == 0 else [step(k, heading=1.0)], scores)
    assert cloud is not None
    # The motions' frame is turned by pi / 2 - 1 against the map; the next step is known to lead along y.
    ahead = follower.follow([step(15.0, heading=1.0)], PositionScores(np.array([0.0, 15.0]), 1e4 * np.eye(2)))
    assert ahead is not None
    assert ahead.mean == pytest.approx([0.0, 15.0], abs=1.0)


def test_lost_track_is_found_again() -> None:
    follower = Follower(SETTINGS, EAST)
    for k in range(6):
        follower.follow(None if k == 0 else [step(k)], RASTER.scores(alike(5.0 + k, 5.0 + k)))
    for _ in range(25):
        cloud = follower.follow([], RASTER.scores(alike(33.0, 33.0)))
    assert cloud is not None
    assert cloud.modes[0].mean[0] == pytest.approx(33.0, abs=1.0)


def test_begins_anew_where_the_way_is_not_known() -> None:
    follower = Follower(SETTINGS, EAST)
    for k in range(6):
        follower.follow(None if k == 0 else [step(k)], RASTER.scores(alike(5.0 + k, 5.0 + k)))
    assert follower.follow(None, RASTER.scores(alike(35.0, 35.0))) is None
    cloud = follower.follow([], RASTER.scores(alike(35.0, 35.0)))
    assert cloud is not None
    assert cloud.mean[0] == pytest.approx(35.0, abs=1.5)


def test_reset_gives_the_same_numbers_again() -> None:
    follower = Follower(SETTINGS, EAST)

    def run() -> list[float]:
        follower.reset()
        clouds = [follower.follow(None if k == 0 else [step(k)], RASTER.scores(alike(5.0 + k, 20.0))) for k in range(5)]
        return [float(cloud.mean[0]) for cloud in clouds if cloud is not None]

    assert run() == run()


def test_raster_scores_fall_off_around_the_cells() -> None:
    certain = np.zeros(40)
    certain[10] = 1.0
    scores = RASTER.scores(certain)
    x = np.array([10.5, 11.5, 20.0, 1e6])
    logs = scores.log_score(x, np.zeros(4), doubt=1e-3)
    assert logs[0] == pytest.approx(0.0, abs=0.2)
    assert logs[0] > logs[1] > logs[2]
    assert logs[2] == logs[3] == pytest.approx(math.log(1e-3))
    places = scores.draw(200, np.random.default_rng(0))
    assert places.mean(axis=0) == pytest.approx([10.5, 0.0], abs=0.2)


def imu(seconds: float) -> ImuSample:
    return ImuSample(round(seconds * SECOND_NS), (0.0, 0.0, 9.8 + 3 * math.sin(4 * math.pi * seconds)), (0.0, 0.0, 0.0))


def test_way_is_known_while_the_imu_speaks() -> None:
    way = Way(MotionSettings(source="steps"), EAST)
    for k in range(500):
        way.add(imu(10 + k / 50))
    first = way.take(20 * SECOND_NS)
    assert first is None  # nobody knows where it was before the first sample
    for k in range(500, 750):
        way.add(imu(10 + k / 50))
    second = way.take(25 * SECOND_NS)
    assert second
    assert second[0].t_ns < second[-1].t_ns <= 25 * SECOND_NS


def test_way_is_not_known_after_a_silence_of_the_imu() -> None:
    way = Way(MotionSettings(source="steps"), EAST)
    for k in range(100):
        way.add(imu(10 + k / 50))
    way.take(12 * SECOND_NS)
    assert way.take(round(12.5 * SECOND_NS)) == []
    assert way.take(15 * SECOND_NS) is None
    way.add(imu(15.1))
    assert way.take(round(15.5 * SECOND_NS)) is None
    way.add(imu(15.6))
    assert way.take(16 * SECOND_NS) is not None
