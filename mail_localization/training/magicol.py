"""Building the method magicol from a survey."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mail_localization.data.splits import load_survey
from mail_localization.data.traces import Trace
from mail_localization.errors import TrainingError
from mail_localization.matching.dtw import SequenceSearch
from mail_localization.matching.magicol import METHOD, Magicol, MagicolConfig, to_tensors
from mail_localization.matching.polylines import Cells, Polyline, PolylineMap, polyline
from mail_localization.matching.sequences import SequenceSettings
from mail_localization.models.artifact import save_model
from mail_localization.motion.tracker import MotionCalibration
from mail_localization.training.calibration import with_calibration
from mail_localization.training.motion import calibrate_motion
from mail_localization.training.options import TrainOptions
from mail_localization.training.probe import probe, split_survey
from mail_localization.training.provenance import model_card
from mail_localization.types import FloatArray

CONFIG = MagicolConfig

_SAME_PLACE = 2.0
"""Distance within which a match is right, m."""
_SAME_COURSE = 1.0
"""Difference of direction within which it is, rad."""
_PROBE = 1.0
"""Way between the sequences by which the usual cost is told, m."""


def train(config: MagicolConfig, recordings: list[Path], out: Path, options: TrainOptions) -> None:
    """Store the survey's paths; a part of the recordings tells the cost of a right match, and the errors.

    Raises:
        TrainingError: one recording only, no path as long as the shortest sequence, or none walked twice.
    """
    split = split_survey(recordings, options)
    training, validation = load_survey(
        split.training,
        split.validation,
        options.topics,
        config.field.window,
        config.field.magnetic,
        options.progress,
        cache=options.cache,
    )
    resolved, calibration = _with_motion(config, split.training, options)
    paths = survey_paths(training, resolved)
    usual_cost = _usual_cost(paths, [line for trace in validation for line in _lines(trace, resolved)], resolved)
    judged = Magicol(resolved, paths, usual_cost, calibration)
    probed = probe(judged, split.validation, options.topics, options.progress)
    if split.final != split.training:
        training, validation = [*training, *validation], []
        resolved, calibration = _with_motion(config, split.final, options)
    card = model_card(METHOD, resolved, probed.errors, training, validation, options.seed, usual_cost=usual_cost)
    tensors = to_tensors(survey_paths(training, resolved), usual_cost, calibration)
    save_model(out, with_calibration(card, probed.judged), tensors)


def survey_paths(traces: list[Trace], config: MagicolConfig) -> PolylineMap:
    """Return the paths of traces with a reference.

    Raises:
        TrainingError: none is as long as the shortest sequence.
    """
    lines = [line for trace in traces for line in _lines(trace, config)]
    shortest = config.sequence.length(config.sequence.shortest)
    if not any(len(line) >= shortest for line in lines):
        needed = "magnetometer" if config.field.components == "sensor" else "magnetometer and IMU"
        raise TrainingError(
            f"{', '.join(str(trace.path) for trace in traces)}: no path of {config.sequence.shortest} m with readings "
            f"of the {needed} and reference positions; record longer paths, or lower sequence.shortest"
        )
    return PolylineMap.joined(lines, config.sequence.spacing)


def _with_motion(
    config: MagicolConfig, recordings: list[Path], options: TrainOptions
) -> tuple[MagicolConfig, MotionCalibration]:
    motion, calibration = calibrate_motion(recordings, config.motion, options.topics)
    return MagicolConfig.from_mapping({**config.to_mapping(), "motion": motion.to_mapping()}), calibration


def _lines(trace: Trace, config: MagicolConfig) -> list[Polyline]:
    """Return the paths of a trace, cut where it has gaps or no reference."""
    lines = []
    for segment, positions in zip(trace.segments, trace.positions, strict=True):
        known = np.isfinite(positions).all(axis=1)
        bounds = np.flatnonzero(np.diff(np.concatenate([[False], known, [False]]).astype(np.int8)))
        for start, stop in bounds.reshape(-1, 2).tolist():
            features = config.field.features(segment.rows[start:stop])
            lines.append(polyline(positions[start:stop], features, config.sequence.spacing))
    return lines


def _usual_cost(paths: PolylineMap, probes: list[Polyline], config: MagicolConfig) -> float:
    """Return the median cost of the best match at the right place, microtesla squared.

    Raises:
        TrainingError: no probe leads along a path of the survey.
    """
    settings = config.sequence
    stride = max(1, round(_PROBE / settings.spacing))
    costs = []
    for line in probes:
        courses = line.courses(settings.spacing) if len(line) > 1 else np.empty(0)
        for end in range(0, len(line), stride):
            length = settings.length((end + 1) * settings.spacing)
            if length:
                near = _near(paths, line.positions[end], float(courses[end]), length)
                costs += _least_cost(paths, near, line.features[end + 1 - length : end + 1], settings)
    if not costs:
        raise TrainingError(
            f"no validation recording follows a path of the survey for {settings.shortest} m, so the cost of a right "
            "match cannot be told; record every path twice, or lower sequence.shortest"
        )
    # A sensor is never better than 0.1 microtesla: simulated surveys may be.
    return max(float(np.median(costs)), 0.01)


def _near(paths: PolylineMap, position: FloatArray, course: float, length: int) -> Cells:
    """Return the cells that end a window of `length` cells at about a position and course."""
    ends = paths.window_ends(length, 1)
    close = np.linalg.norm(paths.positions[ends] - position, axis=1) < _SAME_PLACE
    alike = np.cos(paths.courses[ends] - course) > np.cos(_SAME_COURSE)
    near: Cells = ends[close & alike]
    return near


def _least_cost(paths: PolylineMap, ends: Cells, query: FloatArray, settings: SequenceSettings) -> list[float]:
    if not len(ends):
        return []
    search = SequenceSearch(paths.windows(ends, len(query)), round(settings.band * len(query)), settings.offset_weight)
    costs: list[float] = search.search(query, np.inf, 1.0, 1).cost.tolist()
    return costs
