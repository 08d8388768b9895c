"""Dead reckoning (PDR; by wheels on a robot): from a starting pose on, only the target's own motion counts."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from mail_localization.calibration import FAR
from mail_localization.config import Settings, group, setting
from mail_localization.estimator import STREAMS, Estimator
from mail_localization.models.artifact import ModelCard, Tensors, reading_tensors
from mail_localization.motion.reckoning import Reckoning
from mail_localization.motion.tracker import MotionCalibration, MotionSettings, MotionTracker
from mail_localization.preprocess.stamps import StampGate
from mail_localization.preprocess.stamps import Step as StampStep
from mail_localization.types import FloatArray, PoseEstimate, Sample, WifiScan

_GATE_NS = 2_000_000_000
_CALIBRATION, _DRIFT = "motion.", "drift"


class PdrConfig(Settings):
    """Configuration of method pdr."""

    start: str = setting(
        "auto",
        "what gives the first pose: wifi_knn or magnetic_nn, built from the same survey; auto: wifi_knn where the "
        "survey has Wi-Fi, else magnetic_nn; given: nothing, it must be told",
        choices=("auto", "wifi_knn", "magnetic_nn", "given"),
    )
    settle: float = setting(
        20.0,
        "way over which the starter's positions are averaged to a start and, where the heading is not absolute, to a "
        "direction, m; 0: the first position is the start, if the heading is absolute",
        minimum=0.0,
    )
    standing_interval: float = setting(1.0, "time between estimates while standing, s", minimum=0.05, maximum=60.0)
    motion: MotionSettings = group(MotionSettings)
    starters: dict[str, Any] = dataclasses.field(
        default_factory=dict, metadata={"doc": "settings of the starters by method, as in that method's own file"}
    )


class Pdr(Estimator):
    """A Localizer that adds up pieces of way from a start.

    The start is told (`start_at`) or comes from the starter: its positions over the first `settle` metres, each
    carried along by the motion since, are averaged robustly. Nothing corrects the way after that.

    The direction is that of the attitude plus the survey's offset, where the attitude is absolute. Where it is not
    (gyroscope alone, odometry), it is the turn that lays the way onto the starter's positions, with a told start held
    fast; until it is found, the starter's own positions are given or, from a told start, that start with a covariance
    that grows with the way. `start_at` takes a course too, where one is known. After a gap in the IMU's samples, a
    relative direction has to be found anew.
    """

    method = "pdr"

    def __init__(
        self, config: PdrConfig, calibration: MotionCalibration, drift: float, starter: Estimator | None = None
    ) -> None:
        super().__init__()
        self.config = config
        self._interval_ns = round(config.standing_interval * 1e9)
        self._tracker = MotionTracker(config.motion, calibration)
        self._starter = starter
        self.reckoning = Reckoning(calibration.heading_offset, config.settle, drift)
        self.inputs = self._tracker.inputs | (starter.inputs if starter is not None else frozenset())
        self._gates: dict[str, StampGate[Sample]] = {
            name: StampGate(_GATE_NS) for name in STREAMS.values() if name != "wifi"
        }
        self._refused = self._tracker.counters
        self._from_ns: int | None = None
        self._due_ns: int | None = None
        self._imu_ns: int | None = None
        self._speed = calibration.speed_mean
        self.reset()

    @property
    def counters(self) -> Counter[str]:
        """What was refused, by `STREAM.REASON`."""
        return self._refused

    def _reset(self) -> None:
        for gate in self._gates.values():
            gate.reset()
        self._forget()

    def start_at(self, t_ns: int, position: FloatArray, stddev: float, course: float | None = None) -> None:
        """Start anew from a position (2,) in `map`, m, of that standard deviation, m, per axis.

        Args:
            t_ns: stamp of the position: motion before it is left out.
            position: in `map`, m.
            stddev: of each axis, m.
            course: direction of travel then, in `map`, where it is known, rad.
        """
        self._followed.clear(FAR)
        self.reckoning.begin(np.array(position, dtype=np.float64), max(stddev, 0.01) ** 2 * np.eye(2), course)
        self._from_ns, self._due_ns = t_ns, None

    def _take(self, sample: Sample) -> PoseEstimate | None:
        stream = STREAMS[type(sample)]
        if stream == "wifi":
            return self._advance(sample)
        newest = None
        for step, _, item in self._gates[stream].admit(sample.t_ns, sample):
            if step is StampStep.BACK:
                self._refused[f"{stream}.clock_set_back"] += 1
                self._set_back(stream)
            elif step is StampStep.GAP and stream == "imu":
                self._miss(item.t_ns)
            if stream == "imu":
                self._imu_ns = item.t_ns
            newest = self._advance(item) or newest
        if verdict := self._gates[stream].verdict:
            self._refused[f"{stream}.{verdict}"] += 1
        return newest

    def _miss(self, t_ns: int) -> None:
        """Note what may have been walked while the IMU was silent."""
        if self._imu_ns is not None:
            self.reckoning.miss(self._speed * (t_ns - self._imu_ns) * 1e-9)

    def _set_back(self, cause: str) -> None:
        """Forget all but the stream that shows the new time; the others will follow to it."""
        for stream, gate in self._gates.items():
            if stream != cause:
                gate.reset()
        self._forget()

    def _forget(self) -> None:
        self._tracker.reset()
        if self._starter is not None:
            self._starter.reset()
        self.reckoning.begin()
        self._from_ns = self._due_ns = self._imu_ns = None

    def _advance(self, sample: Sample) -> PoseEstimate | None:
        # The tracker listens before the start too: it needs a while to know its attitude.
        motions = self._tracker.add(sample)
        told = self._ask_starter(sample)
        if self._from_ns is not None and sample.t_ns < self._from_ns:
            return None
        for motion in motions:
            if self._from_ns is None or motion.t_ns >= self._from_ns:
                self.reckoning.move(motion)
        if told is not None:
            self.reckoning.tell(told.position, told.covariance)
        idle = isinstance(sample, WifiScan) or (self._due_ns is not None and sample.t_ns < self._due_ns)
        return self._estimate(sample.t_ns) if motions or told is not None or not idle else None

    def _ask_starter(self, sample: Sample) -> PoseEstimate | None:
        if self._starter is None or self.reckoning.settled:
            return None
        estimate = self._starter.add(sample)
        # Both see the same samples: the larger number of a reason is the number of samples refused.
        self._refused |= self._starter.counters
        return estimate

    def _estimate(self, t_ns: int) -> PoseEstimate | None:
        found = self.reckoning.position()
        if found is None:
            return None
        self._due_ns = t_ns + self._interval_ns
        return PoseEstimate(t_ns, *found)


def to_tensors(calibration: MotionCalibration, drift: float) -> Tensors:
    """Return what the survey taught, as tensors of a model folder."""
    values = {f"{_CALIBRATION}{name}": value for name, value in calibration.to_mapping().items()}
    return {name: np.array([value]) for name, value in {**values, _DRIFT: drift}.items()}


def load(card: ModelCard, tensors: Tensors, hop: int, starter: Estimator | None) -> Pdr:
    """Build the Localizer from a model folder's content and the starter found in it."""
    config = PdrConfig.from_mapping(card.settings, "model.json")
    with reading_tensors(card):
        drift = float(tensors[_DRIFT].item())
        calibration = MotionCalibration.from_mapping(_named(tensors))
    return Pdr(config, calibration, drift, starter)


def _named(tensors: Mapping[str, Any]) -> dict[str, float]:
    found = {name: value for name, value in tensors.items() if name.startswith(_CALIBRATION)}
    return {name.removeprefix(_CALIBRATION): float(value.item()) for name, value in found.items()}
