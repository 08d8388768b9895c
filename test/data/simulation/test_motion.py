from __future__ import annotations

import numpy as np
import pytest

from mail_localization.data.reference import Reference
from mail_localization.data.simulation import (
    SimulationSettings,
    build_site,
    plan_rounds,
    rotations,
    simulate_round,
    with_train_rounds,
)
from mail_localization.data.simulation.motion import RATE_HZ, MotionSettings, Trajectory, follow
from mail_localization.data.simulation.noise import generator
from mail_localization.data.simulation.rounds import SimulatedRound
from mail_localization.types import ImuSample, MagneticSample, OdometrySample, WifiScan

SETTINGS = SimulationSettings()
SITE = build_site(SETTINGS.site, seed=0)
ROUNDS = plan_rounds(SETTINGS.rounds, seed=0)
WALK, OTHER_PHONE, ROBOT = ROUNDS[2], ROUNDS[3], ROUNDS[6]


@pytest.fixture(scope="module")
def walk() -> SimulatedRound:
    return simulate_round(SITE, SETTINGS, WALK, seed=0)


@pytest.fixture(scope="module")
def robot() -> SimulatedRound:
    return simulate_round(SITE, SETTINGS, ROBOT, seed=0)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("motion", [SETTINGS.walker, SETTINGS.robot])
def test_path_crosses_no_wall(seed: int, motion: MotionSettings) -> None:
    plan = build_site(SETTINGS.site, seed).plan
    path = follow(plan.route, 1.2, motion, generator(seed, "path")).position[::10]
    assert not plan.crossings(path[:-1], path[1:]).any()


@pytest.mark.parametrize("speed", [1.0, 1.25, 1.5])
def test_speed_keeps_to_the_pace_and_rests_at_stops(speed: float) -> None:
    trajectory = _path(speed, SETTINGS.walker)
    assert np.median(trajectory.speed) == pytest.approx(speed, rel=0.1)
    assert trajectory.speed.max() < 1.2 * speed
    standing = _runs(trajectory.speed < 0.02)
    assert len(standing) == 3  # start, one stop, end
    assert all(1.0 < run / RATE_HZ < 5.0 for run in standing)


def test_heading_is_that_of_the_velocity_and_turns_smoothly() -> None:
    trajectory = _path(1.2, SETTINGS.walker)
    velocity = np.gradient(trajectory.position, 1.0 / RATE_HZ, axis=0)
    course = np.arctan2(velocity[:, 1], velocity[:, 0])
    error = np.angle(np.exp(1j * (course - trajectory.heading)))[trajectory.speed > 0.3]
    assert np.abs(error).max() < 0.1
    assert np.abs(np.diff(trajectory.heading)).max() * RATE_HZ < 4.0


def test_steps_follow_the_speed() -> None:
    for speed in (1.0, 1.5):
        trajectory = _path(speed, SETTINGS.walker)
        middle = slice(len(trajectory.t) // 10, len(trajectory.t) // 5)
        rate_hz = np.mean(np.diff(trajectory.phase[middle])) * RATE_HZ / (2.0 * np.pi)
        assert rate_hz == pytest.approx(1.9 * np.sqrt(speed / 1.3), rel=0.12)


def test_interpolated_marks_follow_the_path(walk: SimulatedRound) -> None:
    trajectory = walk.carried.trajectory
    t_ns = walk.start_ns + np.round(trajectory.t * 1e9).astype(np.int64)
    error = np.linalg.norm(Reference.from_poses(walk.marks).at(t_ns) - trajectory.position, axis=1)
    assert np.nanmax(error) < 0.2
    assert np.isfinite(error).all()


def test_force_turned_into_the_world_is_gravity_on_average(walk: SimulatedRound, robot: SimulatedRound) -> None:
    for simulated in (walk, robot):
        mean = rotations.rotate(simulated.carried.world_t_sensor, simulated.carried.force).mean(axis=0)
        assert mean == pytest.approx([0.0, 0.0, 9.80665], abs=0.05)


def test_measured_force_at_rest_is_gravity(walk: SimulatedRound) -> None:
    rest = [s.acceleration for s in walk.samples if isinstance(s, ImuSample) and s.t_ns < walk.start_ns + 1e9]
    assert np.linalg.norm(np.mean(rest, axis=0)) == pytest.approx(9.8, abs=0.2)


def test_gait_shakes_the_phone_as_walking_does(walk: SimulatedRound) -> None:
    moving = walk.carried.trajectory.speed > 0.8
    norm = np.linalg.norm(walk.carried.force, axis=1)[moving]
    assert 0.7 < norm.std() < 3.0
    spectrum = np.abs(np.fft.rfft(norm - norm.mean()))
    peak_hz = np.fft.rfftfreq(len(norm), 1.0 / RATE_HZ)[spectrum.argmax()]
    assert 1.5 < peak_hz < 2.2


def test_gyroscope_integrates_to_the_attitude(walk: SimulatedRound) -> None:
    imu = [s for s in walk.samples if isinstance(s, ImuSample)]
    t = np.array([s.t_ns for s in imu]) * 1e-9
    bias = np.mean([s.angular_velocity for s in imu[:100]], axis=0)
    rate = np.array([s.angular_velocity for s in imu]) - bias
    attitude = np.array(imu[0].orientation)
    ten_seconds = 1000
    for dt, w in zip(np.diff(t)[:ten_seconds], (rate[1:] + rate[:-1]) / 2.0, strict=False):
        angle = float(np.linalg.norm(w) * dt)
        step = np.array([*(w * dt / 2.0), np.cos(angle / 2.0)])
        attitude = rotations.normalise(rotations.multiply(attitude, step))
    truth = np.array(imu[ten_seconds].orientation)
    assert 2.0 * np.arccos(min(1.0, abs(float(attitude @ truth)))) < 0.15


def test_magnetometer_turned_into_the_world_is_the_field_there(robot: SimulatedRound) -> None:
    """Less the device's own field, which a robot that only turns about z shows in the vertical as a constant."""
    carried = robot.carried
    mag = [s for s in robot.samples if isinstance(s, MagneticSample)]
    t = (np.array([s.t_ns for s in mag]) - robot.start_ns) * 1e-9
    turn = rotations.normalise(carried.sample(carried.world_t_sensor, t))
    vertical = rotations.rotate(turn, np.array([s.field for s in mag]))[:, 2]
    truth = SITE.field(carried.sample(carried.position, t))[:, 2]
    assert np.std(truth) > 3e-6
    assert np.std(vertical - truth) < 1e-6  # noise, resolution, soft iron, motors


def test_device_reads_at_its_rates(walk: SimulatedRound) -> None:
    for kind, rate_hz in ((ImuSample, 100.0), (MagneticSample, 50.0)):
        stamps = np.array([s.t_ns for s in walk.samples if isinstance(s, kind)])
        assert (len(stamps) - 1) / np.ptp(stamps) * 1e9 == pytest.approx(rate_hz, rel=0.01)
        assert np.all(np.diff(stamps) > 0)
        assert np.std(np.diff(stamps)) > 1e5  # jitter, ns


def test_odometry_starts_at_zero_and_drifts(robot: SimulatedRound) -> None:
    odometry = [s for s in robot.samples if isinstance(s, OdometrySample)]
    trajectory = robot.carried.trajectory
    assert (odometry[0].x, odometry[0].y, odometry[0].yaw) == (0.0, 0.0, 0.0)
    way = np.sum(np.hypot(np.diff([s.x for s in odometry]), np.diff([s.y for s in odometry])))
    assert way == pytest.approx(np.sum(trajectory.speed) / RATE_HZ, rel=0.04)
    turned = rotations.rotate(
        rotations.about_axis(2, trajectory.heading[0]), np.array([odometry[-1].x, odometry[-1].y, 0])
    )
    drift = np.linalg.norm(turned[:2] - (trajectory.position[-1] - trajectory.position[0]))
    assert 0.01 < drift < 6.0


def test_walkers_have_no_odometry(walk: SimulatedRound) -> None:
    assert not any(isinstance(s, OdometrySample) for s in walk.samples)


def test_same_seed_repeats_every_sample(walk: SimulatedRound) -> None:
    again = simulate_round(build_site(SETTINGS.site, seed=0), SETTINGS, WALK, seed=0)
    assert again.samples == walk.samples
    assert again.marks == walk.marks


def test_other_seed_is_another_site_and_walk(walk: SimulatedRound) -> None:
    other = simulate_round(build_site(SETTINGS.site, seed=1), SETTINGS, WALK, seed=1)
    assert other.samples != walk.samples
    assert other.marks != walk.marks


def test_rounds_differ_in_speed_device_and_part() -> None:
    train = [r for r in ROUNDS if r.part == "train"]
    assert {r.device for r in train} == {r.device for r in ROUNDS if r.part == "test"}
    assert len({r.name for r in ROUNDS}) == len(ROUNDS) == 11
    assert WALK.name == "train_03_hand_phone_120cm_s"
    walking = [r.speed for r in train if r.device != "robot_device"]
    assert (min(walking), max(walking)) == (1.0, 1.5)


def test_bare_site_gives_the_earths_field_and_empty_scans() -> None:
    bare = {"field": {"columns": 0, "beams": 0, "slabs": 0, "machines": 0}, "radio": {"access_points": 0}}
    settings = SimulationSettings.from_mapping({"site": bare, "walker": {"stops": 0, "pause": 0.0}})
    site = build_site(settings.site, seed=0)
    simulated = simulate_round(site, settings, WALK, seed=0)
    assert site.field(np.zeros((1, 3)))[0] == pytest.approx(site.field.earth)
    assert all(not s.readings for s in simulated.samples if isinstance(s, WifiScan))


def test_larger_building_is_walked_through_its_doors() -> None:
    plan = {"width": 70.0, "depth": 40.0, "room_depth": 9.0, "rooms": 5, "corridor": 3.0}
    large = build_site(SimulationSettings.from_mapping({"site": {"plan": plan}}).site, seed=2).plan
    path = follow(large.route, 1.4, SETTINGS.walker, generator(2, "path")).position[::10]
    assert not large.crossings(path[:-1], path[1:]).any()


def test_held_out_rounds_stay_whatever_the_number_of_survey_rounds() -> None:
    more = plan_rounds(with_train_rounds(SETTINGS, 9).rounds, seed=0)
    assert [r for r in more if r.part == "test"] == [r for r in ROUNDS if r.part == "test"]
    assert len({r.start_ns for r in more}) == len(more) == 14


def test_phones_see_the_same_field_differently(walk: SimulatedRound) -> None:
    other = simulate_round(SITE, SETTINGS, OTHER_PHONE, seed=0)
    means = [np.mean([s.field for s in r.samples if isinstance(s, MagneticSample)], axis=0) for r in (walk, other)]
    assert np.linalg.norm(means[0] - means[1]) > 5e-6


def _path(speed: float, motion: MotionSettings) -> Trajectory:
    return follow(SITE.plan.route, speed, motion, generator(0, "path"))


def _runs(flags: np.ndarray) -> list[int]:
    """Return the lengths of the runs of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(int), [0]])))
    return (edges[1::2] - edges[::2]).tolist()
