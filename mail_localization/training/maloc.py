"""Building the method maloc from a survey."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from mail_localization.data.recording import Topics
from mail_localization.data.splits import load_survey
from mail_localization.data.traces import Trace
from mail_localization.errors import TrainingError
from mail_localization.matching.magnetic_map import Field, MagneticMap, MapSettings, SurveyRows, build_map, join, thin
from mail_localization.matching.maloc import FieldRows, MaLoc, MalocConfig, to_tensors
from mail_localization.models.artifact import save_model
from mail_localization.motion.tracker import MotionCalibration
from mail_localization.training.calibration import with_calibration
from mail_localization.training.motion import calibrate_motion
from mail_localization.training.options import TrainOptions
from mail_localization.training.probe import probe, split_survey
from mail_localization.training.provenance import model_card
from mail_localization.types import FloatArray

CONFIG = MalocConfig

_DIRECTIONS = (1, 4, 8, 12)
"""Numbers of directions that are tried where the setting leaves them open."""
_ELSEWHERE = 500
"""Places that a reading is compared at."""
_EXPONENT = 0.5
"""Of the likelihood in that comparison: a few readings that fit nowhere must not decide it."""


def train(config: MalocConfig, recordings: list[Path], out: Path, options: TrainOptions) -> None:
    """Map the survey's field; judge a map of a part of the recordings on the others, and save that of all.

    Raises:
        TrainingError: a single recording, or a part without magnetometer readings that have a reference.
    """
    split = split_survey(recordings, options)
    training, validation = load_survey(
        split.training,
        split.validation,
        options.topics,
        config.window,
        config.magnetic,
        options.progress,
        cache=options.cache,
    )
    resolved, calibration = _with_motion(config, split.training, options.topics)
    field_map = survey_map(training, resolved)
    probed = probe(MaLoc(resolved, field_map, calibration), split.validation, options.topics, options.progress)
    if split.final != split.training:
        training, validation = [*training, *validation], []
        resolved, calibration = _with_motion(config, split.final, options.topics)
        field_map = survey_map(training, resolved)
    card = model_card(
        "maloc", resolved, probed.errors, training, validation, options.seed, directions=field_map.directions
    )
    save_model(out, with_calibration(card, probed.judged), to_tensors(field_map, calibration))


def survey_map(traces: list[Trace], config: MalocConfig) -> MagneticMap:
    """Return the map of the labelled rows of traces.

    Raises:
        TrainingError: there are none.
    """
    surveyed = [part for trace in traces if (part := _labelled(trace, config)) is not None]
    if not surveyed:
        needed = "magnetometer" if config.magnetic.components == "sensor" else "magnetometer and IMU"
        raise TrainingError(
            f"{', '.join(str(trace.path) for trace in traces)}: no readings of the {needed} during the reference "
            "positions, so there is no map; record them, or remap the topics"
        )
    if config.map.directions:
        return build_map(join(surveyed), config.map)
    # A row every half metre is enough for this question.
    sparse = [SurveyRows(part.positions[::5], part.headings[::5], part.fields[::5]) for part in surveyed]
    tried = [dataclasses.replace(config.map, directions=number) for number in _DIRECTIONS]  # type: ignore[type-var]
    return build_map(join(surveyed), max(tried, key=lambda settings: _told_apart(sparse, settings)))


def _labelled(trace: Trace, config: MalocConfig) -> SurveyRows | None:
    """Return the rows of a trace that have a reference, None where there are none."""
    fields = FieldRows(config)
    parts = []
    for segment, positions in zip(trace.segments, trace.positions, strict=True):
        known = np.isfinite(positions).all(axis=1)
        if known.any():
            parts.append(thin(positions[known], fields(segment.rows[known]), config.map.spacing))
    return join(parts) if parts else None


def _told_apart(surveyed: list[SurveyRows], settings: MapSettings) -> float:
    """Return by how much a reading favours its own place and direction over others by the map of other recordings.

    It is the mean log of (likelihood there / mean likelihood anywhere on the map, heading anywhere).
    """
    folds = min(3, len(surveyed))
    if folds < 2:
        return float(-settings.directions)
    rng = np.random.default_rng(0)
    gains = []
    for fold in range(folds):
        field_map = build_map(join([part for k, part in enumerate(surveyed) if k % folds != fold]), settings)
        places, _ = field_map.draw(_ELSEWHERE, rng)
        elsewhere = field_map.lookup(places[:, 0], places[:, 1], 2 * np.pi * rng.random(_ELSEWHERE))
        for part in surveyed[fold::folds]:
            field = field_map.lookup(part.positions[:, 0], part.positions[:, 1], part.headings)
            # The filter estimates a recording's constant offset, too.
            fields = part.fields - np.median(part.fields - field.mean, axis=0)
            anywhere = _log_density(fields[:, None, :], elsewhere)  # (n, places)
            peak = anywhere.max(axis=1)
            mean = peak + np.log(np.exp(anywhere - peak[:, None]).mean(axis=1))
            gains.append(_log_density(fields, field) - mean)
    return float(np.concatenate(gains).mean())


def _log_density(fields: FloatArray, field: Field) -> FloatArray:
    """Return the log density of Student's t with 4 degrees of freedom, tempered and summed over the channels."""
    ratio = (fields - field.mean) ** 2 / field.variance
    return np.asarray(_EXPONENT * (-2.5 * np.log1p(ratio / 4.0) - 0.5 * np.log(field.variance)).sum(axis=-1))


def _with_motion(config: MalocConfig, recordings: list[Path], topics: Topics) -> tuple[MalocConfig, MotionCalibration]:
    """Return the configuration with the motion's source resolved, and what the recordings teach of motion."""
    motion, calibration = calibrate_motion(recordings, config.motion, topics)
    return dataclasses.replace(config, motion=motion), calibration  # type: ignore[type-var]
