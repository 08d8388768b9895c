"""Where odometry says the base was at any instant of the last seconds."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter, deque
from dataclasses import dataclass

from mail_localization.motion.planar import PlanarTransform, odom_T_base, wrapped
from mail_localization.preprocess.stamps import StampGate
from mail_localization.preprocess.stamps import Step as StampStep
from mail_localization.types import OdometrySample

_MAX_GAP_NS = 2_000_000_000
_VELOCITY_NS = 200_000_000
"""Motion is told over this time: two poses a few milliseconds apart are mostly noise."""
_FARTHEST = 1e6
"""A position farther out is a broken message, m."""
_KEPT = 4096
"""Poses kept: `memory` seconds of any usual odometry."""


@dataclass(frozen=True, slots=True)
class Advance:
    """What one admitted odometry pose changes."""

    t_ns: int
    pose: PlanarTransform
    """odom_T_base."""
    anew: bool = False
    """The clock was set back: all before is of another time."""
    torn: bool = False
    """The odometry started from another origin; the base did not move."""


class OdometryPath:
    """Admit odometry poses in order, tell jumps from motion, and look poses up by time."""

    def __init__(self, memory: float, max_speed: float, counters: Counter[str]) -> None:
        self._memory_ns = round(memory * 1e9)
        self._max_speed = max_speed
        self._counters = counters
        self._gate: StampGate[PlanarTransform] = StampGate(_MAX_GAP_NS)
        self._stamps: deque[int] = deque(maxlen=_KEPT)
        self._poses: deque[PlanarTransform] = deque(maxlen=_KEPT)
        self.reset()

    def reset(self) -> None:
        """Forget all poses; the counters stay."""
        self._gate.reset()
        self._clear()

    @property
    def newest(self) -> tuple[int, PlanarTransform] | None:
        """Stamp, ns, and pose of the newest sample."""
        return (self._stamps[-1], self._poses[-1]) if self._stamps else None

    def add(self, sample: OdometrySample) -> list[Advance]:
        """Feed one pose; return what it lets through."""
        numbers = (sample.x, sample.y, sample.yaw)
        if not all(map(math.isfinite, numbers)) or max(map(abs, numbers)) > _FARTHEST:
            self._counters["odom.non_finite" if not all(map(math.isfinite, numbers)) else "odom.out_of_range"] += 1
            return []
        admitted = self._gate.admit(sample.t_ns, odom_T_base(sample))
        if self._gate.verdict:
            self._counters[f"odom.{self._gate.verdict}"] += 1
        return [self._advance(step, t_ns, pose) for step, t_ns, pose in admitted]

    def at(self, t_ns: int) -> PlanarTransform | None:
        """Return the pose at an instant, interpolated; None in a gap, or where it is not between the poses kept."""
        if not self._stamps or not self._stamps[0] <= t_ns <= self._stamps[-1]:
            return None
        after = bisect_left(self._stamps, t_ns)
        b = self._poses[after]
        if self._stamps[after] == t_ns:
            return b
        a, start = self._poses[after - 1], self._stamps[after - 1]
        if self._stamps[after] - start > _MAX_GAP_NS:
            return None
        part = (t_ns - start) / (self._stamps[after] - start)
        yaw = wrapped(a.yaw + part * wrapped(b.yaw - a.yaw))
        return PlanarTransform(a.x + part * (b.x - a.x), a.y + part * (b.y - a.y), yaw)

    def beyond(self, t_ns: int) -> PlanarTransform | None:
        """Return the pose at an instant after the newest one, if the newest motion goes on; None without any pose."""
        if not self._stamps:
            return None
        newest = self._stamps[-1]
        since = max(self._stamps[0], newest - _VELOCITY_NS)
        before = self.at(since)
        if before is None or since == newest:
            return self._poses[-1]
        moved, part = before.inverse() @ self._poses[-1], (t_ns - newest) / (newest - since)
        return self._poses[-1] @ PlanarTransform(part * moved.x, part * moved.y, part * wrapped(moved.yaw))

    def _advance(self, step: StampStep, t_ns: int, pose: PlanarTransform) -> Advance:
        anew = step is StampStep.BACK
        torn = not anew and self._jumped(t_ns, pose)
        if anew:
            self._counters["odom.clock_set_back"] += 1
        elif torn:
            self._counters["odom.jump"] += 1
        elif step is StampStep.GAP and self._stamps:
            self._counters["odom.gap"] += 1
        if anew or torn:
            self._clear()
        self._stamps.append(t_ns)
        self._poses.append(pose)
        while self._stamps[0] < t_ns - self._memory_ns:
            self._stamps.popleft()
            self._poses.popleft()
        return Advance(t_ns, pose, anew, torn)

    def _jumped(self, t_ns: int, pose: PlanarTransform) -> bool:
        if not self._stamps:
            return False
        last, seconds = self._poses[-1], (t_ns - self._stamps[-1]) * 1e-9
        # 0.1 m: poses that follow within a few milliseconds may carry that much noise.
        return math.hypot(pose.x - last.x, pose.y - last.y) > self._max_speed * seconds + 0.1

    def _clear(self) -> None:
        self._stamps.clear()
        self._poses.clear()
