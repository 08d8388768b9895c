from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from beacons import MAP_T_ODOM, Beacon, drive, errors, run, truth
from hypothesis import given, settings
from hypothesis import strategies as st
from surveys import SECOND_NS, START_NS

from mail_localization.calibration import Calibration
from mail_localization.motion.odometry_aid import OdometryAided
from mail_localization.motion.planar import odom_T_base, wrapped
from mail_localization.types import MagneticSample, OdometrySample, PoseEstimate, Sample


def scans(seconds: int, stddev: float, seed: int, every: int = 3) -> list[Sample]:
    """Odometry at 10 Hz on the square, and a position every few seconds that errs by metres, as Wi-Fi's does."""
    rng = np.random.default_rng(seed)
    samples = [s for s in drive(seconds) if isinstance(s, OdometrySample)]
    for k in range(0, seconds, every):
        told = np.array([truth(k).x, truth(k).y]) + stddev * rng.normal(size=2)
        samples.append(MagneticSample(START_NS + k * SECOND_NS, (*told.tolist(), 0.0)))
    return sorted(samples, key=lambda sample: sample.t_ns)


def calibrated(stddev: float) -> Beacon:
    """A beacon whose errors are known to last, and to be as large as it states."""
    beacon = Beacon(stddev)
    beacon.calibration = Calibration(
        stddev=stddev, size=stddev, size_power=1.0, least_size=0.1,
        correlation_time=40.0, samples=10.0, steady=1.0,
    )  # fmt: skip
    return beacon


def test_odometry_is_laid_into_the_map_despite_aliases() -> None:
    aided = OdometryAided(Beacon())
    estimates = run(aided, drive())
    found = aided.map_T_odom()
    assert found is not None
    assert (found.x, found.y) == pytest.approx((MAP_T_ODOM.x, MAP_T_ODOM.y), abs=0.5)
    assert found.yaw == pytest.approx(MAP_T_ODOM.yaw, abs=0.05)
    # Thirty of a hundred positions are 39 m away; once the frame is known none of them gets through.
    known = [e for e in estimates if e.yaw is not None]
    assert len(known) > 50
    assert errors(known).max() < 1.0
    assert aided.counters["pose.contradicts_motion"] > 15


@pytest.mark.parametrize("seed", range(3))
def test_sparse_positions_metres_off_tell_the_heading_within_a_minute(seed: int) -> None:
    aided = OdometryAided(Beacon(stddev=3.0))
    estimates = run(aided, scans(90, 3.0, seed))
    joined = [e for e in estimates if e.yaw is not None]
    assert joined and joined[0].t_ns - START_NS <= 60 * SECOND_NS
    assert abs(wrapped(aided.map_T_odom().yaw - MAP_T_ODOM.yaw)) < 3 * joined[-1].yaw_stddev < 0.6
    assert errors(joined[-10:]).mean() < 0.6 * 3.0 * math.sqrt(math.pi / 2)


def test_error_shared_by_all_positions_stays_in_the_covariance() -> None:
    beacon = calibrated(stddev=5.0)
    # All are 5 m off to the same side, and so agree with the odometry to a hand's breadth.
    joined = [
        e for e in run(OdometryAided(beacon), drive(aliases=0.0, shift=np.array([3.0, 4.0]))) if e.yaw is not None
    ]
    off = [e.position - (t.x, t.y) for e in joined for t in [truth((e.t_ns - START_NS) * 1e-9)]]
    nees = [float(o @ np.linalg.solve(e.covariance, o)) for o, e in zip(off, joined, strict=True)]
    assert np.median(nees) > 0.3
    assert max(nees) < 5.99


def test_estimates_that_jump_while_it_stands_do_not_take_it_along() -> None:
    beacon = calibrated(stddev=2.0)
    aided = OdometryAided(beacon)
    run(aided, drive(60.0, aliases=0.0, noise=0.1, shift=np.array([-0.5, 0.0])))
    beacon.state(1.0)
    odom, pose = MAP_T_ODOM.inverse() @ truth(59.9), truth(59.9)
    positions = []
    for k in range(80):
        t_ns, jump = START_NS + 60 * SECOND_NS + k * SECOND_NS // 2, 0.0 if k < 20 else 1.5
        run(aided, [OdometrySample(t_ns, odom.x, odom.y, odom.yaw), MagneticSample(t_ns, (pose.x + jump, pose.y, 0.0))])
        positions.append(aided.carried().position[0])
    # It did not move: what is told before and after are two errors of one place, and the truth may be between.
    assert 0.5 < positions[-1] - positions[19] < 1.2


def test_heading_is_that_of_the_base_in_the_map() -> None:
    last = run(OdometryAided(Beacon()), drive())[-1]
    assert last.yaw is not None and last.yaw_stddev is not None
    assert abs(wrapped(last.yaw - truth((last.t_ns - START_NS) * 1e-9).yaw)) < 4 * last.yaw_stddev < 0.3


def test_without_odometry_it_changes_nothing() -> None:
    samples = [s for s in drive() if isinstance(s, MagneticSample)]
    aided, plain = OdometryAided(Beacon()), Beacon()
    assert [e.position.tolist() for e in run(aided, samples)] == [e.position.tolist() for e in run(plain, samples)]
    assert aided.map_T_odom() is None
    assert aided.carried().t_ns == samples[-1].t_ns


def test_estimate_is_carried_to_the_newest_odometry() -> None:
    aided = OdometryAided(Beacon())
    run(aided, drive())
    before, samples = aided.carried(), drive(seconds=5.0, since=60.0)
    frame = aided.map_T_odom()
    odometry = [s for s in samples if isinstance(s, OdometrySample)]
    assert run(aided, odometry) == []
    after = aided.carried()
    assert after.t_ns == odometry[-1].t_ns
    assert errors([after])[0] < 1.0
    # Four metres without an estimate make it less certain, and leave map_T_odom where it was.
    assert np.trace(after.covariance) > np.trace(before.covariance) + 0.02
    assert dataclasses.astuple(aided.map_T_odom()) == pytest.approx(dataclasses.astuple(frame))


def test_before_its_frame_is_known_the_way_widens_the_estimate() -> None:
    aided = OdometryAided(Beacon())
    run(aided, drive(seconds=5.0))
    told = aided.carried()
    run(aided, [s for s in drive(seconds=5.0, since=5.0) if isinstance(s, OdometrySample)])
    carried = aided.carried()
    assert aided.map_T_odom() is None
    np.testing.assert_allclose(carried.position, told.position)
    # 4.0 m on from the last estimate, half of its square on each axis.
    assert carried.covariance[0, 0] - told.covariance[0, 0] == pytest.approx(0.5 * 4.32**2, rel=0.2)


def test_odometry_that_starts_from_zero_again_goes_on_from_there() -> None:
    aided = OdometryAided(Beacon())
    run(aided, drive(seconds=40.0))
    restarted = truth(40.0)  # map_T_odom of an odometry that is zero here and now
    estimates = run(aided, drive(seconds=20.0, since=40.0, map_T_odom=restarted, seed=1))
    assert aided.counters["odom.jump"] == 1
    assert all(e.yaw is not None for e in estimates[1:])
    assert errors(estimates[1:]).max() < 2.0
    assert aided.map_T_odom().yaw == pytest.approx(restarted.yaw, abs=0.1)


def test_clock_set_back_starts_anew() -> None:
    aided = OdometryAided(Beacon())
    first = run(aided, drive())
    again = run(aided, drive())
    assert aided.counters["odom.clock_set_back"] == 1
    # Before the frame is found again they are the beacon's own.
    assert [e.yaw for e in again[:30]] == [None] * 30
    assert errors([e for e in again if e.yaw is not None]).max() < 1.0
    assert abs(sum(e.yaw is None for e in again) - sum(e.yaw is None for e in first)) <= 8


def test_carried_off_it_finds_itself_again() -> None:
    aided = OdometryAided(Beacon())
    run(aided, drive(seconds=40.0))
    # Lifted and set down 20 m on: the odometry noticed nothing.
    away = np.array([20.0, 0.0])
    moved = run(aided, drive(seconds=60.0, since=40.0, shift=away, seed=2))
    assert aided.counters["odom.realigned"] >= 1
    late = [e for e in moved if e.t_ns > START_NS + 85 * SECOND_NS]
    found = [PoseEstimate(e.t_ns, e.position - away, e.covariance) for e in late]
    assert errors(found).max() < 1.5


def test_pose_told_wrongly_is_given_up_though_half_of_what_is_heard_fits_it() -> None:
    aided = OdometryAided(Beacon())
    aided.start_at(START_NS, np.zeros(2), 1.0, yaw=0.3)
    run(aided, [OdometrySample(START_NS + k * SECOND_NS // 10, 0.0, 0.0, 0.0) for k in range(2)])
    later = START_NS + 10**17
    estimates = run(aided, drive(60.0, start_ns=later, seed=6))
    assert aided.counters["odom.realigned"] >= 1
    assert errors(estimates[-30:], later).max() < 1.0


def test_pose_that_is_told_holds_at_once() -> None:
    aided = OdometryAided(Beacon())
    start = truth(0.0)
    aided.start_at(START_NS, np.array([start.x, start.y]), 0.3, yaw=start.yaw, yaw_stddev=0.1)
    estimates = run(aided, drive(seconds=10.0))
    assert errors(estimates).max() < 1.0
    assert aided._inner.started == [start.x, start.y]  # type: ignore[attr-defined]


def test_standing_makes_it_no_more_certain_than_one_estimate() -> None:
    aided = OdometryAided(Beacon(stddev=1.0))
    aided.start_at(START_NS, np.zeros(2), 10.0, yaw=0.0, yaw_stddev=0.1)
    for k in range(600):
        t_ns = START_NS + k * SECOND_NS // 10
        run(aided, [OdometrySample(t_ns, 0.0, 0.0, 0.0), MagneticSample(t_ns, (1.0, 0.0, 0.0))])
    # A minute at ten a second, yet hardly more than the one position heard.
    assert aided.carried().position == pytest.approx([1.0, 0.0], abs=0.1)
    assert aided.carried().covariance[0, 0] > 0.1


def test_memory_and_time_stay_bounded() -> None:
    aided = OdometryAided(Beacon())
    run(aided, drive(seconds=80.0, aliases=1.0))
    assert len(aided._places) <= 48
    assert len(aided._path._stamps) <= 101


def test_broken_odometry_is_counted_and_left_out() -> None:
    clean = drive(seconds=40.0)
    bad = [OdometrySample(clean[-1].t_ns, *values) for values in ((math.nan, 0, 0), (0, 1e9, 0), (0, 0, math.inf))]
    aided, twin = OdometryAided(Beacon()), OdometryAided(Beacon())
    assert [e.position.tolist() for e in run(aided, clean[:300] + bad + clean[300:])] == [
        e.position.tolist() for e in run(twin, clean)
    ]
    assert aided.counters["odom.non_finite"] == 2
    assert aided.counters["odom.out_of_range"] == 1


def test_frame_of_the_odometry_is_consistent_with_the_pose() -> None:
    aided = OdometryAided(Beacon())
    samples = drive()
    run(aided, samples)
    newest = next(s for s in reversed(samples) if isinstance(s, OdometrySample))
    pose, carried = aided.map_T_odom() @ odom_T_base(newest), aided.carried()
    assert (pose.x, pose.y, pose.yaw) == pytest.approx((*carried.position, carried.yaw))


floats = st.floats(allow_nan=True, allow_infinity=True)
stamps = st.integers(-(2**62), 2**62) | st.integers(START_NS, START_NS + 10**9)
hostile = st.one_of(
    st.builds(MagneticSample, stamps, st.tuples(floats, floats, floats)),
    st.builds(OdometrySample, stamps, floats, floats, floats),
)


def test_no_sample_makes_it_raise_and_it_recovers() -> None:
    aided = OdometryAided(Beacon())
    aided.start_at(START_NS, np.zeros(2), 1.0, yaw=0.3)

    @settings(max_examples=200, deadline=None)
    @given(st.lists(hostile, max_size=60))
    def feed(garbage: list[Sample]) -> None:
        for sample in garbage:
            aided.add(sample)
            aided.carried()
            aided.map_T_odom()

    feed()
    later = START_NS + 10**17
    estimates = run(aided, drive(start_ns=later))
    assert aided.map_T_odom() is not None
    # What was told of the start still pulls, which the covariance knows.
    stated = np.array([math.sqrt(np.trace(e.covariance)) for e in estimates[-20:]])
    assert stated.max() < 3.0
    assert (errors(estimates[-20:], later) < 2.0 * stated).all()
