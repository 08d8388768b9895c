"""Building the method maloc from a survey."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
from tqdm import tqdm

from mail_localization.data.recording import Recording, Topics
from mail_localization.data.splits import load_survey
from mail_localization.data.traces import Trace
from mail_localization.errors import TrainingError
from mail_localization.matching.magnetic_map import Field, MagneticMap, MapSettings, SurveyRows, build_map, join, thin
from mail_localization.matching.maloc import FieldRows, MaLoc, MalocConfig, to_tensors
from mail_localization.models.artifact import save_model
from mail_localization.motion.tracker import MotionCalibration
from mail_localization.training.motion import calibrate_motion
from mail_localization.training.options import TrainOptions
from mail_localization.training.probe import split_survey
from mail_localization.training.provenance import model_card
from mail_localization.types import FloatArray

CONFIG = MalocConfig

_DIRECTIONS = (1, 4, 8, 12)
"""Numbers of directions that are tried where the setting leaves them open."""
_ELSEWHERE = 500
"""Places that a reading is compared at."""
_EXPONENT = 0.5
"""Of the likelihood in that comparison: a few readings that fit nowhere must not decide it."""
_MEDIAN_NEES = 1.386
"""Median of the squared Mahalanobis distance in two dimensions."""
_SCALES = (1.0, 100.0)
"""Bounds of the covariance's correction."""


def train(config: MalocConfig, recordings: list[Path], out: Path, options: TrainOptions) -> None:
    """Map the survey's field; judge a map of a part of the recordings on the others, and save that of all.

    Raises:
        TrainingError: a single recording, or a part without magnetometer readings that have a reference.
    """
    split = split_survey(recordings, options)
    training, validation = load_survey(
        split.training, split.validation, options.topics, config.window, config.magnetic, options.progress
    )
    resolved, calibration = _with_motion(config, split.training, options.topics)
    field_map = survey_map(training, resolved)
    errors, nees = _judge(MaLoc(resolved, field_map, calibration), split.validation, options)
    if split.final != split.training:
        training, validation = [*training, *validation], []
        resolved, calibration = _with_motion(config, split.final, options.topics)
        field_map = survey_map(training, resolved)
    scale = float(np.clip(np.median(nees) / _MEDIAN_NEES, *_SCALES))
    card = model_card(
        "maloc", resolved, errors, training, validation, options.seed,
        covariance_scale=scale, directions=field_map.directions,
    )  # fmt: skip
    save_model(out, card, to_tensors(field_map, calibration, scale))


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


def _judge(localizer: MaLoc, recordings: list[Path], options: TrainOptions) -> tuple[FloatArray, FloatArray]:
    """Replay recordings; return errors (n, 2), m, and how many covariances long each is, squared (n,).

    Raises:
        TrainingError: no estimate has a reference.
    """
    errors, nees = [np.empty((0, 2))], [np.empty(0)]
    with tqdm(recordings, desc="judging", unit="recording", disable=None if options.progress else True) as bar:
        for path in bar:
            recording = Recording(path, options.topics)
            localizer.reset()
            estimates = list(localizer.localize(recording.samples(localizer.inputs)))
            truth = recording.reference().at(np.array([estimate.t_ns for estimate in estimates], dtype=np.int64))
            offsets = np.array([estimate.position for estimate in estimates]).reshape(-1, 2) - truth
            known = np.isfinite(offsets).all(axis=1)
            covariances = np.array([estimate.covariance for estimate in estimates]).reshape(-1, 2, 2)[known]
            errors.append(offsets[known])
            nees.append(np.einsum("ni,nij,nj->n", offsets[known], np.linalg.inv(covariances), offsets[known]))
    joined = np.concatenate(errors)
    if not len(joined):
        raise TrainingError(
            f"{', '.join(map(str, recordings))}: maloc gave no estimate there that has a reference, so its errors "
            "cannot be told; record longer ways, or raise estimate.converged"
        )
    return joined, np.concatenate(nees)
