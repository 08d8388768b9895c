"""Odometry that comes later than the estimates it is joined with, or earlier."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from beacons import MAP_T_ODOM, Beacon, drive, errors, run, truth
from surveys import SECOND_NS, START_NS

from mail_localization.motion.odometry_aid import OdometryAided
from mail_localization.motion.odometry_path import OdometryPath
from mail_localization.types import OdometrySample, PoseEstimate, Sample


def delayed(seconds: float, samples: list[Sample]) -> list[Sample]:
    """Let all odometry come so much later, or earlier where that is negative."""
    return sorted(samples, key=lambda s: s.t_ns + (round(seconds * SECOND_NS) if isinstance(s, OdometrySample) else -1))


@pytest.mark.parametrize("lag", [0.3, 1.0, 5.0, -1.0, -5.0])
def test_lag_of_the_odometry_moves_neither_its_frame_nor_the_poses(lag: float) -> None:
    aided = OdometryAided(Beacon())
    estimates = run(aided, delayed(lag, drive(aliases=0.3)))
    frame = aided.map_T_odom()
    assert frame is not None
    assert (frame.x, frame.y, frame.yaw) == pytest.approx((MAP_T_ODOM.x, MAP_T_ODOM.y, MAP_T_ODOM.yaw), abs=0.4)
    assert aided.counters["pose.contradicts_motion"] > 8
    known = [e for e in estimates if e.yaw is not None]
    # Later than half a second it cannot tell where the base is by now: estimates pass as they are.
    assert (len(known) > 50) == (lag <= 0.5)
    assert errors(known).max(initial=0.0) < 1.0


def test_pose_ahead_of_the_odometry_goes_on_with_the_motion() -> None:
    path = OdometryPath(10.0, 3.0, Counter())
    # 1 m/s round a circle of 2 m: half a radian a second.
    for k in range(11):
        yaw = 0.05 * k
        path.add(OdometrySample(k * SECOND_NS // 10, 2 * math.sin(yaw), 2 - 2 * math.cos(yaw), yaw))
    ahead = path.beyond(round(1.4 * SECOND_NS))
    assert ahead is not None
    assert (ahead.x, ahead.y) == pytest.approx((2 * math.sin(0.7), 2 - 2 * math.cos(0.7)), abs=0.02)
    assert ahead.yaw == pytest.approx(0.7)


def test_pose_ahead_of_a_single_or_no_odometry_stays() -> None:
    path = OdometryPath(10.0, 3.0, Counter())
    assert path.beyond(SECOND_NS) is None
    path.add(OdometrySample(0, 1.0, 2.0, 0.5))
    ahead = path.beyond(SECOND_NS)
    assert ahead is not None and (ahead.x, ahead.y, ahead.yaw) == (1.0, 2.0, 0.5)


def test_nothing_is_known_within_a_gap_of_the_odometry() -> None:
    path = OdometryPath(10.0, 3.0, Counter())
    for seconds in (0.0, 1.0, 5.0, 5.1):
        path.add(OdometrySample(round(seconds * SECOND_NS), seconds, 0.0, 0.0))
    assert path.at(3 * SECOND_NS) is None
    inside = path.at(SECOND_NS // 2)
    assert inside is not None and inside.x == pytest.approx(0.5)


def test_streams_that_run_apart_at_random_leave_the_poses_right() -> None:
    rng = np.random.default_rng(3)
    samples = drive(seconds=90.0, aliases=0.2)
    odometry = [s for s in samples if isinstance(s, OdometrySample)]
    queues: list[list[Sample]] = [odometry, [s for s in samples if not isinstance(s, OdometrySample)]]
    counts = (20, 4)
    aided, estimates = OdometryAided(Beacon()), []
    while all(queues):
        # As an overloaded node takes them: some of one, then some of another, up to 8 s apart.
        which = int(rng.integers(2))
        if queues[which][0].t_ns - queues[1 - which][0].t_ns > 8 * SECOND_NS:
            which = 1 - which
        estimates += run(aided, queues[which][: counts[which]])
        del queues[which][: counts[which]]
    known: list[PoseEstimate] = [e for e in estimates if e.yaw is not None]
    assert len(known) > 10
    assert errors(known).max() < 1.5
    nees = [float((d := e.position - _true(e)) @ np.linalg.solve(e.covariance, d)) for e in known]
    assert np.mean(nees) < 2.0


def test_estimates_of_an_odometry_that_starts_anew_are_not_laid_onto_it() -> None:
    aided = OdometryAided(Beacon())
    run(aided, drive(seconds=40.0))
    gap = [s for s in drive(seconds=3.0, since=40.0) if not isinstance(s, OdometrySample)]
    run(aided, gap)
    assert len(aided._late) > 0
    restarted = truth(43.0)
    estimates = run(aided, drive(seconds=20.0, since=43.0, map_T_odom=restarted, seed=1))
    assert not aided._late
    assert errors(estimates[2:]).max() < 2.0


def _true(estimate: PoseEstimate) -> np.ndarray:
    pose = truth((estimate.t_ns - START_NS) * 1e-9)
    return np.array([pose.x, pose.y])
