"""What phones and robots measure on a trajectory: IMU, magnetometer, odometry and Wi-Fi scans."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from mail_localization.config import Settings, setting
from mail_localization.data.simulation import rotations
from mail_localization.data.simulation.field import MagneticField
from mail_localization.data.simulation.motion import (
    RATE_HZ,
    MotionSettings,
    Trajectory,
    sensor_position,
    specific_force,
)
from mail_localization.data.simulation.noise import SmoothNoise, generator
from mail_localization.data.simulation.plan import FloorPlan
from mail_localization.data.simulation.radio import Radios
from mail_localization.types import FloatArray, ImuSample, MagneticSample, OdometrySample, WifiReading, WifiScan


class DeviceSettings(Settings):
    """A phone held in the hand: axes right, forward (top of the screen), out of the screen."""

    roll: float = setting(0.5, "mounting: body_T_sensor = Rz(yaw) Ry(pitch) Rx(roll), rad")
    pitch: float = setting(0.0, "mounting: about the body's left axis, rad")
    yaw: float = setting(-1.5708, "mounting: about the vertical, rad")
    forward: float = setting(0.3, "sensor ahead of the carrier's middle, m")
    height: float = setting(1.2, "sensor above the floor, m", minimum=0.0, maximum=3.0)
    pose_spread: float = setting(0.06, "standard deviation of the pose between rounds, rad", minimum=0.0, maximum=0.5)
    pose_drift: float = setting(0.04, "standard deviation of the pose within a round, rad", minimum=0.0, maximum=0.5)
    wobble: float = setting(0.02, "amplitude of the pose's swing with the steps, rad", minimum=0.0, maximum=0.3)
    hard_iron: float = setting(22e-6, "the device's own field, T", minimum=0.0, maximum=1e-3)
    hard_iron_spread: float = setting(0.7e-6, "change of each component between rounds, T", minimum=0.0)
    soft_iron: float = setting(0.02, "standard deviation of the scale and axis errors", minimum=0.0, maximum=0.2)
    motor: float = setting(0.0, "field of the drive motors at 1 m/s, T", minimum=0.0)
    mag_noise: float = setting(0.35e-6, "magnetometer noise, T", minimum=0.0)
    mag_step: float = setting(0.15e-6, "magnetometer resolution, T", minimum=1e-12)
    mag_rate_hz: float = setting(50.0, "magnetometer rate, Hz", minimum=1.0, maximum=200.0)
    imu_rate_hz: float = setting(100.0, "IMU rate, Hz", minimum=1.0, maximum=200.0)
    jitter: float = setting(0.0015, "standard deviation of the sampling instants, s", minimum=0.0, maximum=0.01)
    accelerometer_noise: float = setting(0.05, "m/s^2", minimum=0.0)
    accelerometer_bias: float = setting(0.06, "standard deviation of each component, m/s^2", minimum=0.0)
    gyroscope_noise: float = setting(0.004, "rad/s", minimum=0.0)
    gyroscope_bias: float = setting(0.004, "standard deviation of each component, rad/s", minimum=0.0)
    vibration: float = setting(0.0, "wheel vibration at 1 m/s, standard deviation, m/s^2", minimum=0.0)
    heading_error: float = setting(0.1, "standard deviation of the orientation's first heading error, rad", minimum=0.0)
    heading_drift: float = setting(0.05, "standard deviation of its slow drift, rad", minimum=0.0)
    wifi_offset_db: float = setting(0.0, "how much more the device's Wi-Fi reports, dB")


class ChestPhoneSettings(DeviceSettings):
    """Another phone, upright in a chest mount: quieter, noisier magnetometer, weaker Wi-Fi."""

    roll: float = setting(1.3, "mounting: body_T_sensor = Rz(yaw) Ry(pitch) Rx(roll), rad")
    forward: float = setting(0.15, "sensor ahead of the carrier's middle, m")
    height: float = setting(1.3, "sensor above the floor, m", minimum=0.0, maximum=3.0)
    pose_drift: float = setting(0.02, "standard deviation of the pose within a round, rad", minimum=0.0, maximum=0.5)
    hard_iron: float = setting(35e-6, "the device's own field, T", minimum=0.0, maximum=1e-3)
    mag_noise: float = setting(0.5e-6, "magnetometer noise, T", minimum=0.0)
    wifi_offset_db: float = setting(-4.0, "how much more the device's Wi-Fi reports, dB")


class RobotDeviceSettings(DeviceSettings):
    """Sensors fixed to a wheeled robot: axes forward, left, up."""

    roll: float = setting(0.0, "mounting: body_T_sensor = Rz(yaw) Ry(pitch) Rx(roll), rad")
    yaw: float = setting(0.0, "mounting: about the vertical, rad")
    forward: float = setting(0.1, "sensor ahead of the carrier's middle, m")
    height: float = setting(0.3, "sensor above the floor, m", minimum=0.0, maximum=3.0)
    pose_spread: float = setting(0.0, "standard deviation of the pose between rounds, rad", minimum=0.0, maximum=0.5)
    pose_drift: float = setting(0.003, "standard deviation of the pose within a round, rad", minimum=0.0, maximum=0.5)
    wobble: float = setting(0.0, "amplitude of the pose's swing with the steps, rad", minimum=0.0, maximum=0.3)
    hard_iron: float = setting(15e-6, "the device's own field, T", minimum=0.0, maximum=1e-3)
    motor: float = setting(0.6e-6, "field of the drive motors at 1 m/s, T", minimum=0.0)
    vibration: float = setting(0.4, "wheel vibration at 1 m/s, standard deviation, m/s^2", minimum=0.0)


class OdometrySettings(Settings):
    """Wheel odometry: it drifts, as integrated wheel turns do."""

    rate_hz: float = setting(50.0, "Hz", minimum=1.0, maximum=200.0)
    scale_error: float = setting(0.01, "standard deviation of the distance's scale", minimum=0.0, maximum=0.2)
    turn_error: float = setting(0.01, "standard deviation of the turn's scale", minimum=0.0, maximum=0.2)
    yaw_noise: float = setting(0.006, "random walk of the yaw, rad per root s", minimum=0.0)


@dataclass(frozen=True)
class Carried:
    """A device on its way: where it truly is and how it is turned, on the trajectory's clock."""

    trajectory: Trajectory
    device: DeviceSettings
    position: FloatArray
    """(n, 3) m, frame `map`."""
    world_t_sensor: FloatArray
    """(n, 4) x, y, z, w."""
    force: FloatArray
    """(n, 3) specific force, sensor frame, m/s^2."""
    rate: FloatArray
    """(n, 3) angular velocity, sensor frame, rad/s."""

    def sample(self, values: FloatArray, t: FloatArray) -> FloatArray:
        """Interpolate (n, c) on the trajectory's clock at times `t` (m,)."""
        return np.stack([np.interp(t, self.trajectory.t, column) for column in values.T], axis=1)

    def instants(self, rate_hz: float, rng: np.random.Generator) -> FloatArray:
        """Return the ascending, jittered sampling times (m,) of a sensor, s."""
        t = np.arange(0.0, self.trajectory.t[-1], 1.0 / rate_hz)
        limit = 0.4 / rate_hz
        jitter = np.clip(rng.normal(0.0, self.device.jitter, len(t)), -limit, limit)
        return np.clip(t + jitter, 0.0, None)


def carry(trajectory: Trajectory, device: DeviceSettings, motion: MotionSettings, rng: np.random.Generator) -> Carried:
    """Carry the device: its pose differs from round to round, drifts, and swings with the steps."""
    t, size = trajectory.t, device.wobble * trajectory.speed / 1.3
    offset = rng.normal(0.0, device.pose_spread, 3)
    drift = [SmoothNoise(rng, device.pose_drift, 8.0)(t) for _ in range(3)]
    roll = device.roll + offset[0] + drift[0] + size * np.sin(trajectory.phase + 0.4)
    pitch = device.pitch + offset[1] + drift[1] + size * np.sin(trajectory.phase / 2.0)
    yaw = device.yaw + offset[2] + drift[2] + size * np.cos(trajectory.phase / 2.0)
    attitude = rotations.multiply(rotations.about_axis(2, trajectory.heading), rotations.from_rpy(roll, pitch, yaw))
    position = sensor_position(trajectory, np.array([device.forward, 0.0, device.height]), motion)
    rate = rotations.angular_velocity(attitude, 1.0 / RATE_HZ)
    centred = np.concatenate([rate[:1], (rate[1:] + rate[:-1]) / 2.0, rate[-1:]])
    return Carried(trajectory, device, position, attitude, specific_force(position, attitude), centred)


def imu_samples(carried: Carried, start_ns: int, rng: np.random.Generator) -> Iterator[ImuSample]:
    """Yield specific force, angular rate and attitude with bias, noise, vibration and heading error."""
    device = carried.device
    t = carried.instants(device.imu_rate_hz, rng)
    speed = np.interp(t, carried.trajectory.t, carried.trajectory.speed)[:, None]
    force = carried.sample(carried.force, t) + rng.normal(0.0, device.accelerometer_bias, 3)
    force += rng.normal(size=(len(t), 3)) * (device.accelerometer_noise + device.vibration * speed)
    rate = carried.sample(carried.rate, t) + rng.normal(0.0, device.gyroscope_bias, 3)
    rate += rng.normal(0.0, device.gyroscope_noise, (len(t), 3))
    error = rng.normal(0.0, device.heading_error) + SmoothNoise(rng, device.heading_drift, 40.0)(t)
    true = rotations.normalise(carried.sample(carried.world_t_sensor, t))
    attitude = rotations.multiply(rotations.about_axis(2, error), true)
    for t_ns, f, w, q in zip(_ns(t, start_ns), force.tolist(), rate.tolist(), attitude.tolist(), strict=True):
        yield ImuSample(t_ns, tuple(f), tuple(w), tuple(q))


def magnetic_samples(
    carried: Carried, field: MagneticField, own: FloatArray, start_ns: int, rng: np.random.Generator
) -> Iterator[MagneticSample]:
    """Yield A R^T B + hard iron + noise, rounded to the resolution; `own` (4, 3) is hard iron and A (see own_iron)."""
    device = carried.device
    t = carried.instants(device.mag_rate_hz, rng)
    attitude = rotations.normalise(carried.sample(carried.world_t_sensor, t))
    outside = rotations.rotate(rotations.conjugate(attitude), field(carried.sample(carried.position, t)))
    hard_iron = own[0] + rng.normal(0.0, device.hard_iron_spread, 3)
    speed = np.interp(t, carried.trajectory.t, carried.trajectory.speed)[:, None]
    motor = device.motor * speed * np.array([0.3, 0.2, 0.9])
    measured = outside @ own[1:].T + hard_iron + motor + rng.normal(0.0, device.mag_noise, (len(t), 3))
    rounded = np.round(measured / device.mag_step) * device.mag_step
    for t_ns, b in zip(_ns(t, start_ns), rounded.tolist(), strict=True):
        yield MagneticSample(t_ns, tuple(b))


def own_iron(device: DeviceSettings, seed: int, name: str) -> FloatArray:
    """Return (4, 3): the hard iron, T, and the symmetric matrix A of the soft iron of the device called `name`."""
    rng = generator(seed, "iron", name)
    direction = rng.normal(size=3)
    error = rng.normal(0.0, device.soft_iron, (3, 3))
    hard_iron = device.hard_iron * direction / np.linalg.norm(direction)
    return np.vstack([hard_iron, np.eye(3) + (error + error.T) / 2.0])


def odometry_samples(
    trajectory: Trajectory, settings: OdometrySettings, start_ns: int, rng: np.random.Generator
) -> Iterator[OdometrySample]:
    """Yield odom_T_base of a unicycle whose wheels mis-measure distance and turn; it starts at the origin."""
    t = np.arange(0.0, trajectory.t[-1], 1.0 / settings.rate_hz)
    heading = np.interp(t, trajectory.t, trajectory.heading)
    distance = np.linalg.norm(np.diff(trajectory.position_at(t), axis=0), axis=1)
    turn = np.diff(heading) * (1.0 + rng.normal(0.0, settings.turn_error))
    turn += rng.normal(0.0, settings.yaw_noise / np.sqrt(settings.rate_hz), len(turn)) * (distance > 1e-4)
    yaw = np.concatenate([[0.0], np.cumsum(turn)])
    middle = (yaw[1:] + yaw[:-1]) / 2.0
    step = distance[:, None] * (1.0 + rng.normal(0.0, settings.scale_error))
    xy = np.vstack([np.zeros(2), np.cumsum(step * np.stack([np.cos(middle), np.sin(middle)], axis=1), axis=0)])
    for t_ns, (x, y), angle in zip(_ns(t, start_ns), xy.tolist(), yaw.tolist(), strict=True):
        yield OdometrySample(t_ns, x, y, float(np.arctan2(np.sin(angle), np.cos(angle))))


def wifi_scans(
    carried: Carried, radios: Radios, plan: FloorPlan, start_ns: int, rng: np.random.Generator
) -> Iterator[WifiScan]:
    """Yield scans that visit one channel after the other: each result is as old as its channel's turn."""
    settings = radios.settings
    end = carried.trajectory.t[-1]
    gaps = settings.interval * rng.uniform(0.7, 1.3, int(end / settings.interval / 0.7) + 1)
    stamps = np.cumsum(gaps)
    stamps = stamps[stamps < end]
    channels = sorted(set(radios.frequency_mhz))
    levels = np.full((len(stamps), len(radios.bssid)), np.nan)
    turn = np.array([channels.index(mhz) for mhz in radios.frequency_mhz], dtype=int)
    age = settings.duration * (1.0 - (turn + 0.5) / max(len(channels), 1))
    for channel in range(len(channels)):
        mine = turn == channel
        t = stamps - age[mine][0]
        heading = np.interp(t, carried.trajectory.t, carried.trajectory.heading)
        levels[:, mine] = radios.received(carried.sample(carried.position, t), heading, plan, rng)[:, mine]
    levels += carried.device.wifi_offset_db
    for t_ns, row in zip(_ns(stamps, start_ns), levels, strict=True):
        heard = np.flatnonzero(~np.isnan(row))
        yield WifiScan(t_ns, tuple(_reading(radios, int(i), float(row[i]), float(age[i])) for i in heard))


def _reading(radios: Radios, index: int, rssi_dbm: float, age: float) -> WifiReading:
    return WifiReading(radios.bssid[index], rssi_dbm, round(age, 3), radios.ssid[index], radios.frequency_mhz[index])


def _ns(t: FloatArray, start_ns: int) -> list[int]:
    """Return integer stamps of times in s."""
    stamps: list[int] = (start_ns + np.round(t * 1e9).astype(np.int64)).tolist()
    return stamps
