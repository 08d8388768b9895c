"""Magicol: magnetic sequences matched to the survey's paths by DTW, fused by a particle filter with a step model.

After Shu et al., "Magicol: Indoor Localization Using Pervasive Magnetic Field and Opportunistic WiFi Sensing", IEEE
JSAC 33(7), 2015, as MAIL compares with it: the magnetic part, without Wi-Fi. Online it is the forward filter.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Iterator

import numpy as np

from mail_localization.config import Settings, group, setting
from mail_localization.estimator import Estimator
from mail_localization.matching.magicol_filter import EvidenceSettings, MagicolFilter
from mail_localization.matching.magicol_smoother import Run, smoothed
from mail_localization.matching.particles import CloudEstimate, ParticleSettings
from mail_localization.matching.polylines import PolylineMap
from mail_localization.matching.sequences import MagneticMatcher, SequenceSettings
from mail_localization.matching.walk import Event, FieldSettings, Walk
from mail_localization.models.artifact import ModelCard, Tensors, reading_tensors
from mail_localization.motion.tracker import Motion, MotionCalibration, MotionSettings, MotionTracker
from mail_localization.types import FloatArray, PoseEstimate, Sample

METHOD = "magicol"


class ReportSettings(Settings):
    """What is told of the cloud."""

    first_weight: float = setting(
        0.8, "weight of the heaviest mode from which on there are estimates", minimum=0.0, maximum=1.0
    )
    position: str = setting("mode", "mode: centre of the heaviest mode; mean: of the cloud", choices=("mode", "mean"))
    stddev: float = setting(0.5, "standard deviation added for what the survey itself misses, m", minimum=0.0)


class MagicolConfig(Settings):
    """Configuration of method magicol."""

    field: FieldSettings = group(FieldSettings)
    sequence: SequenceSettings = group(SequenceSettings)
    evidence: EvidenceSettings = group(EvidenceSettings)
    particles: ParticleSettings = dataclasses.field(default_factory=lambda: ParticleSettings(most=1000, fewest=300))
    motion: MotionSettings = group(MotionSettings)
    report: ReportSettings = group(ReportSettings)
    both_ways: bool = setting(
        False, "paths are walked backwards too; needs components that do not turn with the walker"
    )
    seed: int = setting(0, "seed of the particles", minimum=0)


class Magicol(Estimator):
    """The Localizer: forward filter online, forward and backward filter in `smooth`."""

    method = METHOD

    def __init__(self, config: MagicolConfig, paths: PolylineMap, usual_cost: float,
                 calibration: MotionCalibration) -> None:  # fmt: skip
        super().__init__()
        self.config = config
        self._calibration = calibration
        paths = paths.both_ways() if config.both_ways else paths
        self._matcher = MagneticMatcher(paths, config.sequence, usual_cost)
        self._filter = self._new_filter(self._matcher)
        tracker = MotionTracker(config.motion, calibration)
        # Twice the longest sequence: the search interval may let it grow a little before it is cut.
        self._walk = Walk(config.field, tracker, 2 * config.sequence.longest)
        self.inputs = self._walk.inputs
        self._given: tuple[FloatArray, float] | None = None
        self.reset()

    @property
    def counters(self) -> Counter[str]:
        """What was refused, by `STREAM.REASON`."""
        return self._walk.counters

    def _reset(self) -> None:
        self._walk.reset()
        self._restart()

    def start_at(self, t_ns: int, position: FloatArray, stddev: float) -> None:
        """Start anew from a given position (2,) in `map`, m, of that standard deviation, m, per axis."""
        self.reset()
        self._given = (np.array(position, dtype=np.float64), stddev)

    def _take(self, sample: Sample) -> PoseEstimate | None:
        estimate = None
        for event in self._walk.add(sample):
            estimate = self._follow(event) or estimate
        return estimate

    def smooth(self, samples: Iterable[Sample]) -> Iterator[PoseEstimate]:
        """Yield offline estimates of whole recordings: forward and backward filter combined."""
        self.reset()
        # Nothing is forgotten on the way: the backward filter looks at it from its end.
        self._walk.reset(keep_all=True)
        runs: list[Run] = [Run()]
        for sample in samples:
            for event in self._walk.add(sample):
                self._follow(event)
                if event.restart:
                    runs.append(Run())
                runs[-1].append(event, self._walk.way, self._filter)
        backward = self._new_filter(MagneticMatcher(self._matcher.paths.turned_round(), self.config.sequence,
                                                    self._matcher.usual_cost))  # fmt: skip
        self.reset()
        for run in runs:
            for t_ns, cloud in smoothed(run, backward):
                yield self._calibrated(self._told(t_ns, cloud))

    def _new_filter(self, matcher: MagneticMatcher) -> MagicolFilter:
        c = self.config
        return MagicolFilter(matcher, c.evidence, c.particles, self._calibration, c.both_ways, c.seed)

    def _restart(self) -> None:
        self._filter.reset()
        self._searched: float | None = None
        self._known = False
        self._given = None
        self._newest_ns = 0

    def _follow(self, event: Event) -> PoseEstimate | None:
        if event.restart:
            self._restart()
        if event.motion is not None:
            self._move(event.motion)
        cloud = self._filter.estimate(event.ahead)
        if cloud is None:
            return None
        self._known = self._known or cloud.modes[0].weight >= self.config.report.first_weight
        # The first steps of a walk are told late, all at once.
        self._newest_ns = max(self._newest_ns, event.t_ns)
        return self._told(self._newest_ns, cloud) if self._known else None

    def _move(self, motion: Motion) -> None:
        if self._given is not None:
            self._filter.start_at(*self._given, motion)
            self._given = None
        self._filter.move(motion)
        way = self._walk.way
        walked = way.end - (way.start if self._searched is None else self._searched)
        if walked < self.config.sequence.interval:
            return
        if sequences := self._matcher.sequences(way, way.end):
            self._searched = way.end
            self._filter.weigh(sequences, motion, walked)

    def _told(self, t_ns: int, cloud: CloudEstimate) -> PoseEstimate:
        report = self.config.report
        missed = report.stddev**2 * np.eye(2)
        modes = tuple(dataclasses.replace(mode, covariance=mode.covariance + missed) for mode in cloud.modes)
        if report.position == "mean":
            return PoseEstimate(t_ns, cloud.mean, cloud.covariance + missed, modes)
        off = cloud.mean - modes[0].mean
        return PoseEstimate(t_ns, modes[0].mean, cloud.covariance + np.outer(off, off) + missed, modes)


def to_tensors(paths: PolylineMap, usual_cost: float, calibration: MotionCalibration) -> Tensors:
    """Return what a model folder keeps beside its card."""
    return {
        **paths.to_tensors(),
        **calibration.to_tensors(),
        "usual_cost": np.array([usual_cost]),
    }


def load(card: ModelCard, tensors: Tensors, hop: int) -> Magicol:
    """Build the Localizer from a model folder's content; it has no windows, so `hop` changes nothing."""
    config = MagicolConfig.from_mapping(card.settings, "model.json")
    with reading_tensors(card):
        paths = PolylineMap.from_tensors(tensors, config.sequence.spacing)
        usual_cost = float(tensors["usual_cost"][0])
        calibration = MotionCalibration.from_tensors(tensors)
    return Magicol(config, paths, usual_cost, calibration)
