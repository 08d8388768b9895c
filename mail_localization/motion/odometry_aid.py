"""Any Localizer joined with odometry: its estimates gated by motion, carried between them, and given a heading."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter, deque
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from mail_localization.config import Settings, group, setting
from mail_localization.estimator import STREAMS, Estimator
from mail_localization.motion.correction import CorrectionSettings, Corrector, sound
from mail_localization.motion.odometry_path import OdometryPath
from mail_localization.motion.places import NEAR, Alignment, Places, align_places, left_over
from mail_localization.motion.planar import PlanarTransform
from mail_localization.motion.pose_filter import DriftSettings, PoseFilter
from mail_localization.types import FloatArray, OdometrySample, PoseEstimate, Sample

_AHEAD_NS = 500_000_000
"""An estimate may be so much newer than the newest odometry and still be placed where its motion leads."""
_ACCELERATION = 1.0
"""What the motion may change by in that time, m/s^2."""
_MOST_LATE = 256
"""Estimates kept until odometry reaches them."""
_MEMORY = 10.0
"""No estimate comes later than this after its stamp, s."""
_TORN_STDDEV, _TORN_TURN_STDDEV = 1.0, 0.2
"""What the base may have moved, m, and turned, rad, while its odometry started anew."""
_FAR_MORE = 2.0
"""So many times more places must another alignment explain to replace one that is not lost."""
_RECENT = (12, 24, 48)
"""Places to align: who was carried off has only the newest in common with the map."""


class OdometryAidSettings(Settings):
    """How estimates and odometry are joined."""

    drift: DriftSettings = group(DriftSettings)
    max_speed: float = setting(3.0, "a faster change is a jump of the odometry, not motion, m/s", minimum=0.1)
    settle: float = setting(
        15.0,
        "way on which estimates must agree with the odometry to tell how its frame lies in the map, m",
        minimum=5.0,
    )
    max_turn_stddev: float = setting(
        0.35,
        "a direction of the odometry in the map less certain than this is not used, rad",
        minimum=0.01,
        maximum=0.5,
    )
    correction: CorrectionSettings = group(CorrectionSettings)


class Positioner(Protocol):
    """What is needed of the Localizer that is aided."""

    method: str
    inputs: frozenset[str]

    @property
    def counters(self) -> Counter[str]:
        """What was refused, by `STREAM.REASON`."""

    def add(self, sample: Sample) -> PoseEstimate | None:
        """Feed one sample; return the estimate it makes possible, if any."""

    def reset(self) -> None:
        """Forget all samples."""


@dataclass(frozen=True, eq=False)
class _Start:
    t_ns: int
    position: FloatArray
    stddev: float
    yaw: float
    yaw_stddev: float


class OdometryAided(Estimator):
    """A Localizer that follows odometry between the estimates of another, and corrects it by them.

    What is unknown of odometry is where its frame lies in the map: nearly constant, slowly drifting. The estimates
    over the first `settle` metres reveal it (`align_places`); until then, and wherever there is no odometry, the
    other's estimates pass unchanged. From then on a Kalman filter follows: an estimate too far from where motion
    leads is refused, the others correct, and all leave with the filter's position, covariance and heading. Where
    most estimates are refused it is lost, and a new alignment is sought that explains the newest places better.
    """

    def __init__(self, inner: Positioner, settings: OdometryAidSettings | None = None) -> None:
        super().__init__()
        self.settings = settings or OdometryAidSettings()
        self.method = inner.method
        self.inputs = inner.inputs | {"odom"}
        self._inner = inner
        self._own: Counter[str] = Counter()
        self._path = OdometryPath(_MEMORY, self.settings.max_speed, self._own)
        self._places = Places()
        self._corrector = Corrector(self.settings.correction, self._own, getattr(inner, "calibration", None))
        self._filter: PoseFilter | None = None
        self._start: _Start | None = None
        self._late: deque[PoseEstimate] = deque(maxlen=_MOST_LATE)
        """Given already, and too new to be placed on the odometry so far."""
        self._last: PoseEstimate | None = None
        self._last_odom: PlanarTransform | None = None

    @property
    def counters(self) -> Counter[str]:
        """What was refused, by `STREAM.REASON`; `odom.jump` and `odom.realigned` among them."""
        return self._inner.counters | self._own

    @property
    def fill(self) -> float:
        """Share of the aided Localizer's window that is filled, 0 to 1."""
        return float(getattr(self._inner, "fill", 0.0))

    def _reset(self) -> None:
        self._inner.reset()
        self._path.reset()
        self._start_over()

    def start_at(
        self, t_ns: int, position: FloatArray, stddev: float, yaw: float | None = None, yaw_stddev: float = 0.3
    ) -> None:
        """Start anew from a position (2,) in `map`, m, of that standard deviation per axis, m.

        Args:
            t_ns: stamp of the position.
            position: of the base in `map`, m.
            stddev: of each axis, m.
            yaw: of the base in `map`, rad, where it is known; else the odometry's direction stays as known so far.
            yaw_stddev: its standard deviation, rad.
        """
        if tell := getattr(self._inner, "start_at", None):
            tell(t_ns, position, stddev)
        given = self._odom_at(t_ns)
        if yaw is None and self._filter is not None and given is not None:
            yaw, yaw_stddev = self._filter.yaw(given), self._filter.turn_stddev
        self._start_over()
        if yaw is not None:
            self._start = _Start(t_ns, np.array(position, dtype=np.float64), max(stddev, 0.01), yaw, yaw_stddev)
            self._begin_as_told()
        elif given is not None:
            self._places.tell(given, position)

    def carried(self) -> PoseEstimate | None:
        """Return the newest estimate carried forward to the newest odometry, as uncertain as the way since made it."""
        newest, last = self._path.newest, self._last
        silent = newest is None or (last is not None and last.t_ns > newest[0] + _AHEAD_NS)
        if silent or newest is None:
            return last
        if self._filter is not None:
            return self._fused(self._filter, *newest)
        if last is None or self._last_odom is None:
            return last
        # Somewhere on a circle: half of its radius squared on each axis.
        x, y = newest[1].x - self._last_odom.x, newest[1].y - self._last_odom.y
        grown = last.covariance + 0.5 * (x * x + y * y) * np.eye(2)
        return dataclasses.replace(last, t_ns=max(newest[0], last.t_ns), covariance=grown)

    def map_T_odom(self) -> PlanarTransform | None:
        """Return where the odometry's frame lies in the map; None until known. Only an estimate accepted moves it."""
        return None if self._filter is None else self._filter.map_T_odom

    def _start_over(self) -> None:
        self._filter = self._start = None
        self._last = self._last_odom = None
        self._late.clear()
        self._places.clear()
        self._corrector.reset()

    def _take(self, sample: Sample) -> PoseEstimate | None:
        if isinstance(sample, OdometrySample):
            self._follow(sample)
        if STREAMS[type(sample)] not in self._inner.inputs:
            return None
        estimate = self._inner.add(sample)
        return None if estimate is None else self._join(estimate)

    def _follow(self, sample: OdometrySample) -> None:
        for advance in self._path.add(sample):
            if advance.anew:
                self._start_over()
            elif advance.torn:
                self._places.clear()
                self._late.clear()
                self._last_odom = None
                self._corrector.tear()
                if self._filter is not None:
                    self._filter.tear(advance.pose, _TORN_STDDEV, _TORN_TURN_STDDEV)
            elif self._filter is not None:
                self._filter.move(advance.pose)
            self._begin_as_told()
            self._catch_up(advance.t_ns)

    def _begin_as_told(self) -> None:
        """Begin the filter from a start that was told, once there is odometry at its time or after."""
        start, newest = self._start, self._path.newest
        if start is None or newest is None:
            return
        odom = self._odom_at(start.t_ns)
        if odom is None and newest[0] < start.t_ns:
            return
        odom = odom or newest[1]
        covariance = np.diag([start.stddev**2, start.stddev**2, start.yaw_stddev**2])
        self._filter = PoseFilter(
            self.settings.drift, odom, np.array([*start.position, start.yaw - odom.yaw]), covariance
        )
        self._filter.move(newest[1])
        self._start = None

    def _catch_up(self, newest_ns: int) -> None:
        """Let the estimates that odometry has now reached correct the pose."""
        while self._late and self._late[0].t_ns <= newest_ns:
            estimate = self._late.popleft()
            odom = self._path.at(estimate.t_ns)
            if odom is not None:
                if estimate is self._last:
                    self._last_odom = odom
                self._weigh(estimate, odom)

    def _odom_at(self, t_ns: int) -> PlanarTransform | None:
        newest = self._path.newest
        if newest is not None and 0 < t_ns - newest[0] <= _AHEAD_NS:
            return self._path.beyond(t_ns)
        return self._path.at(t_ns)

    def _join(self, estimate: PoseEstimate) -> PoseEstimate:
        odom, newest = self._odom_at(estimate.t_ns), self._path.newest
        self._last, self._last_odom = estimate, odom
        if not sound(estimate.position, estimate.covariance):
            return estimate
        if odom is None or newest is None:
            if newest is not None and estimate.t_ns > newest[0]:
                self._late.append(estimate)
            return estimate
        # Where the motion may have led away from its straight course, per axis.
        ahead = max(estimate.t_ns - newest[0], 0) * 1e-9
        unsure = (0.5 * _ACCELERATION * ahead**2) ** 2 * np.eye(2)
        self._weigh(dataclasses.replace(estimate, covariance=estimate.covariance + unsure), odom)
        if self._filter is None:
            return estimate
        fused = self._fused(self._filter, estimate.t_ns, odom)
        return dataclasses.replace(fused, covariance=fused.covariance + unsure)

    def _weigh(self, estimate: PoseEstimate, odom: PlanarTransform) -> None:
        """Take an estimate of where the odometry was at `odom`: as a place to align, and to correct the pose."""
        modes = [mode for mode in estimate.modes if sound(mode.mean, mode.covariance)]
        new_place = self._places.tell(odom, modes[0].mean if modes else estimate.position)
        if new_place:
            self._align(estimate)
        if self._filter is not None:
            self._corrector.weigh(self._filter, estimate, odom)

    def _align(self, estimate: PoseEstimate) -> None:
        """Begin the filter anew where an alignment of the newest places stands out, and beats the present one."""
        newest = self._path.newest
        settled = _RECENT if self._corrector.lost else _RECENT[1:2]
        counts = _RECENT[-1:] if self._filter is None else settled
        for count in counts:
            ways, positions = self._places.newest(count)
            found = align_places(ways, positions, self._corrector.varying(estimate.covariance))
            if newest is not None and found is not None and self._beats(found, ways, positions):
                here = found.map_T_odom @ newest[1]
                state = np.array([here.x, here.y, found.map_T_odom.yaw])
                self._own["odom.realigned"] += self._filter is not None
                self._filter = PoseFilter(self.settings.drift, newest[1], state, found.covariance)
                self._corrector.begin(found.scale, estimate.covariance)
                return
            if len(ways) < count:
                return

    def _beats(self, found: Alignment, ways: FloatArray, positions: FloatArray) -> bool:
        """Tell whether an alignment is certain enough, and explains more places than the present one."""
        agreed = float(np.linalg.norm(np.diff(ways, axis=0), axis=1).sum() * found.right.mean())
        if agreed < self.settings.settle or found.turn_stddev > self.settings.max_turn_stddev:
            return False
        if self._filter is None:
            return True
        left, near = left_over(self._filter.map_T_odom, ways, positions), NEAR * found.scale
        if self._corrector.lost:
            return bool(found.right.sum() > (left < near).sum())
        # A pose between two places that look alike accepts both, and is never lost.
        unsure = math.sqrt(0.5 * float(np.trace(self._filter.covariance + self._corrector.lasting)))
        return bool(found.right.sum() > _FAR_MORE * (left < near + unsure).sum())

    def _fused(self, pose: PoseFilter, t_ns: int, odom: PlanarTransform) -> PoseEstimate:
        position, covariance = pose.predict(odom)
        covariance = covariance + self._corrector.lasting
        return PoseEstimate(t_ns, position, covariance, yaw=pose.yaw(odom), yaw_stddev=pose.turn_stddev)
