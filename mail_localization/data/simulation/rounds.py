"""Rounds on the site: who walks with which device how fast, and the samples that makes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, pairwise

import numpy as np

from mail_localization.config import Settings, group, setting
from mail_localization.data.simulation import sensors
from mail_localization.data.simulation.motion import MotionSettings, Trajectory, WheelSettings, follow
from mail_localization.data.simulation.noise import generator
from mail_localization.data.simulation.site import Site, SiteSettings
from mail_localization.types import FloatArray, ReferencePose, Sample

FIRST_START_NS = 1_767_603_600_000_000_000
"""2026-01-05 09:00 UTC, the stamp of the first round."""
BETWEEN_ROUNDS_NS = 600_000_000_000
"""Time from one round's start to the next, ns."""
WEEK_NS = 7 * 24 * 3600 * 1_000_000_000


class RoundSettings(Settings):
    """How many rounds, how fast."""

    train: int = setting(6, "survey rounds of walkers, phones taking turns", minimum=1, maximum=1000)
    test: int = setting(2, "held-out rounds of walkers", minimum=0, maximum=1000)
    robot_train: int = setting(2, "survey rounds of the wheeled robot", minimum=0, maximum=1000)
    robot_test: int = setting(1, "held-out rounds of the wheeled robot", minimum=0, maximum=1000)
    slowest: float = setting(1.0, "slowest walking speed, m/s", minimum=0.3, maximum=2.0)
    fastest: float = setting(1.5, "fastest walking speed, m/s", minimum=0.3, maximum=2.0)
    robot_speed: float = setting(1.0, "mean speed of the robot, rounds differ by 15 %, m/s", minimum=0.1, maximum=3.0)
    mark_spacing: float = setting(2.0, "way between surveyed marks, m", minimum=0.2)
    mark_tolerance: float = setting(0.1, "largest error of interpolating between marks, m", minimum=0.02)
    mark_noise: float = setting(0.03, "standard deviation of a mark's position, m", minimum=0.0, maximum=1.0)


class SimulationSettings(Settings):
    """Everything about a simulation but its seed."""

    site: SiteSettings = group(SiteSettings)
    rounds: RoundSettings = group(RoundSettings)
    walker: MotionSettings = group(MotionSettings)
    robot: WheelSettings = group(WheelSettings)
    hand_phone: sensors.DeviceSettings = group(sensors.DeviceSettings)
    chest_phone: sensors.ChestPhoneSettings = group(sensors.ChestPhoneSettings)
    robot_device: sensors.RobotDeviceSettings = group(sensors.RobotDeviceSettings)
    odometry: sensors.OdometrySettings = group(sensors.OdometrySettings)


@dataclass(frozen=True)
class Round:
    """One walk of the route."""

    part: str
    """`train` or `test`."""
    device: str
    """Name of the device's settings: hand_phone, chest_phone or robot_device."""
    speed: float
    """Speed on straights, m/s."""
    number: int
    """Counts the rounds of the part from 1."""
    turn: int
    """Counts the rounds of walkers, or of the robot, in the part from 0; it seeds the round."""

    @property
    def name(self) -> str:
        """Return the recording's name: part and round, device, speed."""
        return f"{self.part}_{self.number:02d}_{self.device}_{round(100.0 * self.speed)}cm_s"

    @property
    def robot(self) -> bool:
        """Whether a robot drives."""
        return self.device == "robot_device"

    @property
    def start_ns(self) -> int:
        """Return the stamp of its start: a week for the rounds of each part and kind."""
        week = 2 * (self.part == "test") + self.robot
        return FIRST_START_NS + week * WEEK_NS + self.turn * BETWEEN_ROUNDS_NS


@dataclass(frozen=True)
class SimulatedRound:
    """A round's samples and the truth behind them."""

    samples: tuple[Sample, ...]
    marks: tuple[ReferencePose, ...]
    carried: sensors.Carried
    start_ns: int


def plan_rounds(settings: RoundSettings, seed: int) -> list[Round]:
    """Return all rounds: training speeds cover the range evenly, held-out ones lie anywhere in it."""
    walking, driving = generator(seed, "walking speeds"), generator(seed, "driving speeds")
    paces = {
        "train": (
            np.linspace(settings.slowest, settings.fastest, settings.train),
            settings.robot_speed * np.linspace(0.85, 1.15, settings.robot_train),
        ),
        "test": (
            walking.uniform(settings.slowest, settings.fastest, settings.test),
            settings.robot_speed * driving.uniform(0.85, 1.15, settings.robot_test),
        ),
    }
    phones = ("hand_phone", "chest_phone")
    rounds = []
    for part, (walks, drives) in paces.items():
        rounds += [Round(part, phones[i % 2], float(v), i + 1, i) for i, v in enumerate(walks)]
        rounds += [Round(part, "robot_device", float(v), len(walks) + i + 1, i) for i, v in enumerate(drives)]
    return rounds


def simulate_round(site: Site, settings: SimulationSettings, walk: Round, seed: int) -> SimulatedRound:
    """Walk one round; it is the same whatever other rounds there are."""

    def rng(part: str) -> np.random.Generator:
        return generator(seed, walk.part, "robot" if walk.robot else "walker", walk.turn, part)

    motion: MotionSettings = settings.robot if walk.robot else settings.walker
    device: sensors.DeviceSettings = getattr(settings, walk.device)
    trajectory = follow(site.plan.route, walk.speed, motion, rng("path"))
    carried = sensors.carry(trajectory, device, motion, rng("pose"))
    start_ns = walk.start_ns
    iron = sensors.own_iron(device, seed, walk.device)
    streams: list[Iterator[Sample]] = [
        sensors.imu_samples(carried, start_ns, rng("imu")),
        sensors.magnetic_samples(carried, site.field, iron, start_ns, rng("mag")),
        sensors.wifi_scans(carried, site.radios, site.plan, start_ns, rng("wifi")),
    ]
    if walk.robot:
        streams.append(sensors.odometry_samples(trajectory, settings.odometry, start_ns, rng("odom")))
    samples = tuple(sorted(chain.from_iterable(streams), key=lambda sample: sample.t_ns))
    return SimulatedRound(samples, _marks(trajectory, settings.rounds, start_ns, rng("marks")), carried, start_ns)


def with_train_rounds(settings: SimulationSettings, rounds: int) -> SimulationSettings:
    """Return the settings with another number of survey rounds."""
    mapping = settings.to_mapping()
    mapping["rounds"]["train"] = rounds
    return SimulationSettings.from_mapping(mapping)


def _marks(
    trajectory: Trajectory, settings: RoundSettings, start_ns: int, rng: np.random.Generator
) -> tuple[ReferencePose, ...]:
    """Return the surveyed marks: every few metres, and where linear interpolation in time would stray too far."""
    way = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(trajectory.position, axis=0), axis=1))])
    regular = np.searchsorted(way, np.arange(settings.mark_spacing, way[-1], settings.mark_spacing))
    kept = sorted({0, len(way) - 1, *regular.tolist()})
    segments = list(pairwise(kept))
    while segments:
        first, last = segments.pop()
        worst = _worst(trajectory.t[first : last + 1], trajectory.position[first : last + 1], settings.mark_tolerance)
        if worst:
            kept.append(first + worst)
            segments += [(first, first + worst), (first + worst, last)]
    index = np.sort(np.array(kept))
    places = trajectory.position[index] + rng.normal(0.0, settings.mark_noise, (len(index), 2))
    stamps = start_ns + np.round(trajectory.t[index] * 1e9).astype(np.int64)
    return tuple(ReferencePose(t, x, y) for t, (x, y) in zip(stamps.tolist(), places.tolist(), strict=True))


def _worst(t: FloatArray, position: FloatArray, tolerance: float) -> int:
    """Return the index of a stretch's largest interpolation error, 0 where that is within the tolerance.

    One step of Ramer, Douglas and Peucker's simplification, with time as parameter.
    """
    share = ((t - t[0]) / max(t[-1] - t[0], 1e-9))[:, None]
    error = np.linalg.norm(position - (position[0] + share * (position[-1] - position[0])), axis=1)
    worst = int(np.argmax(error))
    return worst if error[worst] > tolerance else 0
