"""Pieces of way from a robot's odometry."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

from mail_localization.config import Settings, setting
from mail_localization.preprocess.stamps import StampGate
from mail_localization.preprocess.stamps import Step as StampStep
from mail_localization.types import OdometrySample

_MAX_GAP_NS = 2_000_000_000


class OdometrySettings(Settings):
    """How odometry is cut into pieces."""

    distance: float = setting(0.5, "length of a piece, m", minimum=0.01, maximum=10.0)
    turn: float = setting(0.3, "turn that ends a piece early, rad", minimum=0.01, maximum=3.1)
    noise: float = setting(0.05, "standard deviation of a piece's length, share of it", minimum=0.0, maximum=1.0)
    max_speed: float = setting(3.0, "a faster change is a jump of the odometry, not motion, m/s", minimum=0.1)


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of way in the odometry's frame."""

    t_ns: int
    distance: float
    """m."""
    heading: float
    """Direction of travel, rad: backwards it is opposite to the yaw."""


class OdometryPieces:
    """Join odometry poses to pieces; nothing comes while the robot stands."""

    def __init__(self, settings: OdometrySettings) -> None:
        self._settings = settings
        self._gate: StampGate[OdometrySample] = StampGate(_MAX_GAP_NS)
        self.counters: Counter[str] = Counter()
        self.reset()

    def reset(self) -> None:
        """Forget the last pose; the counters stay."""
        self._gate.reset()
        self._anchor: OdometrySample | None = None
        self._last: OdometrySample | None = None

    def add(self, sample: OdometrySample) -> list[Piece]:
        """Feed one pose and return the pieces it ends."""
        if not all(map(math.isfinite, (sample.x, sample.y, sample.yaw))):
            self.counters["odom.non_finite"] += 1
            return []
        admitted = self._gate.admit(sample.t_ns, sample)
        if self._gate.verdict:
            self.counters[f"odom.{self._gate.verdict}"] += 1
        pieces: list[Piece] = []
        for step, _, pose in admitted:
            if step is StampStep.BACK:
                self.counters["odom.clock_set_back"] += 1
                self._anchor = self._last = None
            elif step is StampStep.GAP and self._last is not None:
                self.counters["odom.gap"] += 1
            pieces += self._advance(pose)
        return pieces

    def _advance(self, pose: OdometrySample) -> list[Piece]:
        last, self._last = self._last, pose
        if last is not None and self._jumped(last, pose):
            self.counters["odom.jump"] += 1
            self._anchor = None
        if self._anchor is None:
            self._anchor = pose
            return []
        dx, dy = pose.x - self._anchor.x, pose.y - self._anchor.y
        distance = math.hypot(dx, dy)
        turn = abs(math.remainder(pose.yaw - self._anchor.yaw, 2 * math.pi))
        if distance < self._settings.distance and turn < self._settings.turn:
            return []
        self._anchor = pose
        # Turning on the spot, the way is too short to have a direction.
        heading = math.atan2(dy, dx) if distance > 0.02 else pose.yaw
        return [Piece(pose.t_ns, distance, heading)]

    def _jumped(self, last: OdometrySample, pose: OdometrySample) -> bool:
        seconds = (pose.t_ns - last.t_ns) * 1e-9
        # 0.1 m: poses that follow within a few milliseconds may carry that much noise.
        return math.hypot(pose.x - last.x, pose.y - last.y) > self._settings.max_speed * seconds + 0.1
