"""How the target moves: pieces of way with direction, from steps, odometry, or the survey's usual speed."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from mail_localization.config import Settings, group, setting
from mail_localization.errors import ConfigError
from mail_localization.motion.heading import Compass, Direction, InertialHeading, direction_of
from mail_localization.motion.odometry import OdometryPieces, OdometrySettings
from mail_localization.motion.steps import StepDetector, StepSettings, weinberg_length
from mail_localization.preprocess.clock import Row, UniformClock
from mail_localization.preprocess.stamps import StampGate
from mail_localization.preprocess.stamps import Step as StampStep
from mail_localization.types import FloatArray, ImuSample, MagneticSample, OdometrySample, Sample, Vector3

SOURCES = ("auto", "steps", "odometry", "none")
_RATE_HZ = 50.0
_MAX_GAP_NS = 500_000_000
_LONGEST_NS = 60_000_000_000
_TENSOR = "motion"


@dataclass(frozen=True, slots=True)
class Motion:
    """One piece of way."""

    t_ns: int
    """Stamp of the newest sample used."""
    distance: float
    """m."""
    distance_std: float
    """Standard deviation of the distance, m."""
    heading: float
    """Direction of travel in the source's own world or odom frame, rad."""
    heading_known: bool
    """Whether it is absolute: map heading = heading + calibration.heading_offset, up to heading_offset_std.

    If not, an unknown angle is to be added that stays the same from piece to piece, up to `turn_std`.
    """
    turn_std: float = 0.05
    """Standard deviation of what the change of heading since the last piece misses, rad; over 1 where the source
    tells no heading at all."""


class MotionSettings(Settings):
    """Where motion comes from and how it is found."""

    source: str = setting(
        "auto",
        "steps: walking, from the IMU; odometry: of a robot; none: only the survey's usual speed; "
        "auto: odometry where there is any, else steps",
        choices=SOURCES,
    )
    attitude: str = setting(
        "auto",
        "heading of steps: orientation: as the IMU samples bring it; inertial: from gyroscope and accelerometer "
        "by the library vqf; auto: the samples' where they bring one",
        choices=("auto", "orientation", "inertial"),
    )
    magnetometer: str = setting(
        "auto",
        "on: it steadies the inertial heading and makes it absolute, its hard iron being calibrated by the survey; "
        "auto: where the survey shows that it does; off",
        choices=("auto", "on", "off"),
    )
    steps: StepSettings = group(StepSettings)
    odometry: OdometrySettings = group(OdometrySettings)
    turn_std: float = setting(
        0.05, "standard deviation of what the heading misses from step to step, rad", minimum=0.0, maximum=3.2
    )
    interval: float = setting(0.5, "time between pieces where the source is none, s", minimum=0.05, maximum=10.0)
    unobserved_turn_std: float = setting(
        1.5, "turn from piece to piece where the source is none, or after a gap, rad", minimum=0.0, maximum=6.3
    )


@dataclass(frozen=True)
class MotionCalibration:
    """What the survey taught of its carriers; made by training.motion.calibrate_motion."""

    weinberg_k: float = 0.45
    """K of the step length K (a_max - a_min)^(1/4), with the acceleration in m/s^2."""
    heading_offset: float = 0.0
    """Map heading = heading + offset, rad."""
    heading_offset_std: float = math.pi
    """Spread of the offset from recording to recording, rad; pi: it is not known."""
    speed_mean: float = 1.2
    """Usual speed, m/s."""
    speed_std: float = 0.4
    """Its standard deviation, m/s."""
    step_std: float = 0.15
    """Standard deviation of a step's length, share of it."""
    hard_iron_x: float = 0.0
    """The device's own magnetic field in the sensor frame, tesla; used where settings.magnetometer is on."""
    hard_iron_y: float = 0.0
    hard_iron_z: float = 0.0

    def __post_init__(self) -> None:
        values = dataclasses.asdict(self)
        if not all(math.isfinite(value) for value in values.values()):
            raise ConfigError(f"motion calibration: not finite: {values}")

    def to_mapping(self) -> dict[str, float]:
        """Return plain values, ready for JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> Self:
        """Read what `to_mapping` wrote."""
        try:
            return cls(**{name: float(value) for name, value in mapping.items()})
        except (TypeError, ValueError) as err:
            raise ConfigError(f"motion calibration: {err}; train the model again") from err

    def to_tensors(self) -> dict[str, FloatArray]:
        """Return the content of a model folder's weights."""
        return {_TENSOR: np.array(list(self.to_mapping().values()))}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, npt.NDArray[Any]]) -> Self:
        """Read what `to_tensors` made."""
        names = [field.name for field in dataclasses.fields(cls)]
        return cls.from_mapping(dict(zip(names, tensors[_TENSOR].astype(float).tolist(), strict=True)))


class MotionTracker:
    """Turn samples into pieces of way, live; no sample makes it raise."""

    def __init__(self, settings: MotionSettings, calibration: MotionCalibration) -> None:
        self.settings = settings
        self.calibration = calibration
        self.counters: Counter[str] = Counter()
        self.inputs = _inputs(settings)
        self._steps = _StepMotion(settings, calibration, self.counters) if "imu" in self.inputs else None
        self._odometry = OdometryPieces(settings.odometry)
        self._odometry.counters = self.counters
        self._time = _TimeMotion(settings, calibration, self.counters)
        self._rolls = False

    def reset(self) -> None:
        """Forget all samples; the counters stay."""
        self._rolls = False
        self._odometry.reset()
        self._time.reset()
        if self._steps is not None:
            self._steps.reset()

    def add(self, sample: Sample) -> list[Motion]:
        """Feed one sample and return the pieces of way it ends, in order."""
        if isinstance(sample, ImuSample) and self._steps is not None and not self._rolls:
            return self._steps.add(sample)
        if isinstance(sample, OdometrySample) and "odom" in self.inputs:
            # Wheels know better than the bumps that look like steps.
            self._rolls = True
            return [self._rolled(piece.t_ns, piece.distance, piece.heading) for piece in self._odometry.add(sample)]
        if isinstance(sample, MagneticSample) and self.settings.source == "none":
            return self._time.add(sample)
        if isinstance(sample, MagneticSample) and "mag" in self.inputs and self._steps is not None:
            self._steps.add_magnetic(sample)
        return []

    def _rolled(self, t_ns: int, distance: float, heading: float) -> Motion:
        noise = self.settings.odometry.noise * distance + 0.01
        return Motion(t_ns, distance, noise, heading, False, self.settings.turn_std)


def _inputs(settings: MotionSettings) -> frozenset[str]:
    if settings.source == "none":
        return frozenset({"mag"})
    if settings.source == "odometry":
        return frozenset({"odom"})
    steps = {"imu", "mag"} if settings.magnetometer == "on" else {"imu"}
    return frozenset(steps | ({"odom"} if settings.source == "auto" else set()))


class _StepMotion:
    """Steps and their heading, from IMU samples."""

    def __init__(self, settings: MotionSettings, calibration: MotionCalibration, counters: Counter[str]) -> None:
        self._settings, self._calibration, self._counters = settings, calibration, counters
        self._clock = UniformClock(round(1e9 / _RATE_HZ), _MAX_GAP_NS, {"imu": 8}, 1000)
        self._clock.counters = counters
        own = (calibration.hard_iron_x, calibration.hard_iron_y, calibration.hard_iron_z)
        self._compass = Compass(own, counters) if settings.magnetometer == "on" else None
        self._detector = StepDetector(settings.steps, _RATE_HZ)
        self._inertial = None if settings.attitude == "orientation" else InertialHeading(_RATE_HZ)
        self.reset()

    def reset(self) -> None:
        self._clock.reset()
        self._detector.reset()
        if self._inertial is not None:
            self._inertial.reset()
        if self._compass is not None:
            self._compass.reset()
        self._index: int | None = None
        self._torn = False
        self._heading = 0.0

    def add(self, sample: ImuSample) -> list[Motion]:
        direction = None
        if self._settings.attitude != "inertial" and sample.orientation is not None:
            direction = direction_of(sample.orientation)
        if direction is None and self._settings.attitude == "orientation":
            self._counters["imu.no_orientation"] += 1
        values = (*sample.acceleration, *sample.angular_velocity, *(direction or (0.0, 0.0)))
        return [motion for row in self._clock.add("imu", sample.t_ns, values) for motion in self._moved(row)]

    def add_magnetic(self, sample: MagneticSample) -> None:
        if self._compass is not None:
            self._compass.add(sample)

    def _moved(self, row: Row) -> list[Motion]:
        if self._index is not None and row.index != self._index + 1:
            self._detector.reset()
            self._torn = True
        self._index = row.index
        force: Vector3 = row.values[0:3]  # type: ignore[assignment]
        rate: Vector3 = row.values[3:6]  # type: ignore[assignment]
        direction: tuple[float, float] | None = row.values[6:8]  # type: ignore[assignment]
        known = direction != (0.0, 0.0)
        if not known:
            direction, known = self._inertial_direction(row.t_ns, force, rate)
        return [
            self._motion(step.t_ns, step.swing, step.heading, known)
            for step in self._detector.add(row.t_ns, force, direction)
        ]

    def _inertial_direction(self, t_ns: int, force: Vector3, rate: Vector3) -> tuple[Direction | None, bool]:
        """Return the direction by gyroscope and accelerometer, and whether the magnetometer makes it absolute."""
        if self._inertial is None:
            return None, False
        field = None if self._compass is None else self._compass.field(t_ns)
        return self._inertial.add(force, rate, field), self._inertial.absolute

    def _motion(self, t_ns: int, swing: float, direction: tuple[float, float] | None, known: bool) -> Motion:
        length = weinberg_length(swing, self._calibration.weinberg_k)
        turn_std = self._settings.turn_std
        if direction is not None:
            self._heading = math.atan2(direction[1], direction[0])
        if direction is None or (self._torn and not known):
            turn_std = self._settings.unobserved_turn_std
        self._torn = False
        absolute = known and direction is not None
        return Motion(t_ns, length, self._calibration.step_std * length, self._heading, absolute, turn_std)


class _TimeMotion:
    """The usual speed times the time that passes, from the stamps of magnetometer samples."""

    def __init__(self, settings: MotionSettings, calibration: MotionCalibration, counters: Counter[str]) -> None:
        self._settings, self._calibration, self._counters = settings, calibration, counters
        self._gate: StampGate[None] = StampGate(_MAX_GAP_NS)
        self.reset()

    def reset(self) -> None:
        self._gate.reset()
        self._anchor: int | None = None

    def add(self, sample: MagneticSample) -> list[Motion]:
        admitted = self._gate.admit(sample.t_ns, None)
        if self._gate.verdict:
            self._counters[f"mag.{self._gate.verdict}"] += 1
        motions: list[Motion] = []
        for step, t_ns, _ in admitted:
            if self._anchor is None or step is StampStep.BACK:
                self._anchor = t_ns
                continue
            elapsed = t_ns - self._anchor
            if elapsed >= self._settings.interval * 1e9:
                self._anchor = t_ns
                # An hour without samples is not a way of an hour: no site is that large.
                motions.append(self._motion(t_ns, min(elapsed, _LONGEST_NS) * 1e-9))
        return motions

    def _motion(self, t_ns: int, seconds: float) -> Motion:
        speed = self._calibration
        turn_std = self._settings.unobserved_turn_std
        return Motion(t_ns, speed.speed_mean * seconds, speed.speed_std * seconds, 0.0, False, turn_std)
