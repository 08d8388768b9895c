"""MaLoc (Xie et al., UbiComp 2014; IEEE TMC 2016): a particle filter on the survey's magnetic map."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter, deque

import numpy as np

from mail_localization.calibration import FAR
from mail_localization.config import Settings, group, setting
from mail_localization.errors import ConfigError
from mail_localization.estimator import Estimator
from mail_localization.matching.magnetic_map import MagneticMap, MapSettings
from mail_localization.matching.map_filter import FilterSettings, MapFilter, Reading
from mail_localization.models.artifact import ModelCard, Tensors, reading_tensors
from mail_localization.motion.odometry import OdometrySettings
from mail_localization.motion.tracker import Motion, MotionCalibration, MotionSettings, MotionTracker
from mail_localization.preprocess.magnetic import MagneticFeatures, MagneticSettings
from mail_localization.preprocess.sensors import SensorRows
from mail_localization.preprocess.windows import WindowSettings
from mail_localization.types import FloatArray, PoseEstimate, Sample

_LONGEST_MOTION_NS = 1_500_000_000
"""Readings older than this before a motion's end were taken standing."""
_CARRIED = 1.2
"""Share of a motion that is taken for the beginning of the next; after it, the target has stopped."""
_BACKLOG = 600
_TENSOR = "motion."


class EstimateSettings(Settings):
    """When and what is estimated."""

    converged: float = setting(4.0, "spread of the particles below which the first estimate is given, m", minimum=0.1)
    position: str = setting(
        "mode", "mode: the centre of the heaviest cluster; mean: of all particles", choices=("mode", "mean")
    )
    interval: float = setting(
        0.25, "time between estimates on the way, s; between two motions the newest is carried on", minimum=0.05
    )
    hold: float = setting(0.9, "time after which the estimate is repeated while nothing moves, s", minimum=0.1)
    forget: float = setting(20.0, "gap in the magnetometer after which the start is anew, s", minimum=1.0)


class MalocConfig(Settings):
    """Configuration of method maloc."""

    rate_hz: float = setting(10.0, "rate of the uniform clock, Hz", minimum=1.0, maximum=1000.0)
    max_gap: float = setting(0.5, "longest gap bridged by interpolation, s", minimum=0.0)
    magnetic: MagneticSettings = dataclasses.field(default_factory=lambda: MagneticSettings(transform="raw"))
    map: MapSettings = group(MapSettings)
    motion: MotionSettings = dataclasses.field(
        default_factory=lambda: MotionSettings(odometry=OdometrySettings(distance=0.25))
    )
    filter: FilterSettings = group(FilterSettings)
    estimate: EstimateSettings = group(EstimateSettings)
    seed: int = setting(0, "seed of the particles; the same samples give the same estimates", minimum=0)

    def check(self) -> None:
        """Refuse transforms of a sequence: a map holds values at places."""
        if self.magnetic.transform != "raw" or self.magnetic.smoothing:
            raise ConfigError(
                f"magnetic: a map holds the field itself, but transform is {self.magnetic.transform!r} and smoothing "
                f"{self.magnetic.smoothing}; set transform raw and smoothing 0"
            )

    @property
    def window(self) -> WindowSettings:
        """The clock of the rows."""
        return WindowSettings(rate_hz=self.rate_hz, length=round(10 * self.rate_hz), hop=1, max_gap=self.max_gap)


class FieldRows:
    """Raw rows of the clock to fields: the vector's components and the magnitude last, microtesla."""

    def __init__(self, config: MalocConfig) -> None:
        self._features = MagneticFeatures(config.magnetic, config.rate_hz)
        self._has_magnitude = config.magnetic.components == "gravity_aligned"

    def __call__(self, rows: FloatArray) -> FloatArray:
        """Convert (n, width) in tesla to (n, C)."""
        fields = self._features(rows).astype(np.float64)
        if self._has_magnitude:
            return fields
        return np.concatenate([fields, np.linalg.norm(fields, axis=1, keepdims=True)], axis=1)


class MaLoc(Estimator):
    """The Localizer: samples to motions and the field read on each, and on to the filter."""

    method = "maloc"

    def __init__(self, config: MalocConfig, field_map: MagneticMap, calibration: MotionCalibration) -> None:
        super().__init__()
        self.config = config
        self._fields = FieldRows(config)
        self._sensors = SensorRows(config.window, config.magnetic.streams, config.magnetic.saturation)
        self._tracker = MotionTracker(config.motion, calibration)
        self._filter = MapFilter(field_map, config.filter, calibration, config.seed)
        self.inputs = self._sensors.inputs | self._tracker.inputs
        self._restart()

    @property
    def counters(self) -> Counter[str]:
        """What was refused, by `STREAM.REASON`."""
        # Both may look at one stream: what both refuse is one sample.
        return self._sensors.counters | self._tracker.counters

    def _reset(self) -> None:
        self._sensors.reset()
        self._tracker.reset()
        self._restart()

    def start_at(self, t_ns: int, position: FloatArray, stddev: float) -> None:
        """Start anew from a given position (2,) in `map`, m, of that standard deviation, m, per axis."""
        self._followed.clear(FAR)
        self._restart()
        self._filter.start_at(position, stddev)
        self._converged = True

    def _take(self, sample: Sample) -> PoseEstimate | None:
        rows = self._sensors.add(sample)
        for row in rows:
            self._buffer_row(row.t_ns, row.values)
        motions = self._tracker.add(sample)
        for motion in motions:
            self._advance(motion)
        if motions:
            return self._estimate(motions[-1].t_ns)
        return self._between(rows[-1].t_ns) if rows else None

    def log_likelihood(self, xy: FloatArray) -> FloatArray:
        """Return the log density (K,) of the particles at (K, 2), m; all alike before the first motion."""
        if not self._filter.started:
            return np.zeros(len(xy))
        return self._filter.cloud.log_density(xy, bandwidth=0.5)

    def _restart(self) -> None:
        """Forget the position and what was read."""
        self._filter.reset()
        self._buffer: deque[tuple[int, tuple[float, ...]]] = deque(maxlen=_BACKLOG)
        self._row_ns: int | None = None
        self._motion_ns: int | None = None
        self._lasted_ns = _LONGEST_MOTION_NS
        self._emitted_ns: int | None = None
        self._converged = False
        self._way = 0.0
        """Walked since the last weighing, m."""

    def _buffer_row(self, t_ns: int, values: tuple[float, ...]) -> None:
        if self._row_ns is not None and not 0 <= t_ns - self._row_ns <= self.config.estimate.forget * 1e9:
            self._restart()
        self._row_ns = t_ns
        self._buffer.append((t_ns, values))

    def _advance(self, motion: Motion) -> None:
        if self._motion_ns is not None and motion.t_ns < self._motion_ns:
            self._restart()
        begin_ns = motion.t_ns - _LONGEST_MOTION_NS
        if self._motion_ns is not None:
            begin_ns = max(begin_ns, self._motion_ns)
        self._lasted_ns = min(max(motion.t_ns - (self._motion_ns or begin_ns), 1), _LONGEST_MOTION_NS)
        self._motion_ns = motion.t_ns
        readings = self._readings(begin_ns, motion)
        # Before the magnetometer speaks, there is nothing to start from.
        if readings or self._filter.started:
            self._filter.advance(motion, readings)

    def _readings(self, begin_ns: int, motion: Motion) -> list[Reading]:
        """Take the rows of a motion from the buffer and average them over equal parts of the way."""
        rows = []
        while self._buffer and self._buffer[0][0] <= motion.t_ns:
            t_ns, values = self._buffer.popleft()
            if t_ns > begin_ns:
                rows.append(((t_ns - begin_ns) / (motion.t_ns - begin_ns), values))
        # Short motions weigh once in a while: readings at one place all err alike.
        due, self._way = divmod(self._way + motion.distance, self.config.filter.likelihood.spacing)
        if not rows or due < 1:
            return []
        parts = int(due)
        shares = np.array([share for share, _ in rows])
        fields = self._fields(np.array([values for _, values in rows]))
        part = np.minimum((shares * parts).astype(np.int64), parts - 1)
        return [
            Reading(float(shares[part == k].mean()), fields[part == k].mean(axis=0))
            for k in range(parts)
            if (part == k).any()
        ]

    def _between(self, t_ns: int) -> PoseEstimate | None:
        """Carry the newest motion on for as long as it took, and then repeat the estimate: nothing moves."""
        if self._emitted_ns is None or self._motion_ns is None:
            return None
        ahead = (t_ns - self._motion_ns) / self._lasted_ns
        settings = self.config.estimate
        due = settings.interval if ahead <= _CARRIED else settings.hold
        if t_ns - self._emitted_ns < due * 1e9:
            return None
        return self._estimate(t_ns, ahead if 0.0 <= ahead <= _CARRIED else 0.0)

    def _estimate(self, t_ns: int, ahead: float = 0.0) -> PoseEstimate | None:
        if not self._filter.started:
            return None
        cloud = self._filter.estimate(ahead)
        if not self._converged and math.sqrt(np.trace(cloud.covariance)) > self.config.estimate.converged:
            return None
        self._converged = True
        # Steps of one walk are told together, some late: the stamp never runs backwards.
        self._emitted_ns = t_ns = max(t_ns, self._emitted_ns or t_ns)
        position = cloud.modes[0].mean if self.config.estimate.position == "mode" else cloud.mean
        off = position - cloud.mean
        return PoseEstimate(t_ns, position, cloud.covariance + np.outer(off, off), cloud.modes)


def to_tensors(field_map: MagneticMap, calibration: MotionCalibration) -> Tensors:
    """Return the content of a model folder's weights."""
    motion = {_TENSOR + name: np.array([value]) for name, value in calibration.to_mapping().items()}
    return {**field_map.to_tensors(), **motion}


def load(card: ModelCard, tensors: Tensors, hop: int) -> MaLoc:
    """Build the Localizer from a model folder's content; estimates come with motions, so `hop` has no meaning."""
    config = MalocConfig.from_mapping(card.settings, "model.json")
    with reading_tensors(card):
        motion = {name.removeprefix(_TENSOR): values[0] for name, values in tensors.items() if name.startswith(_TENSOR)}
        field_map = MagneticMap.from_tensors(tensors)
        if field_map.channels != (3 if config.magnetic.components == "gravity_aligned" else 4):
            raise ValueError(f"a map of {field_map.channels} channels for {config.magnetic.components} components")
    return MaLoc(config, field_map, MotionCalibration.from_mapping(motion))
