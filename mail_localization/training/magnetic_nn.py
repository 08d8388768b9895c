"""Building the method magnetic_nn from a survey."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from mail_localization.data.splits import load_survey
from mail_localization.data.traces import Trace
from mail_localization.errors import TrainingError
from mail_localization.localizer import WindowedConfig, WindowedLocalizer
from mail_localization.matching.magnetic_nn import MagneticNn, MagneticNnConfig, descriptors
from mail_localization.models.artifact import save_model
from mail_localization.preprocess.magnetic import MagneticFeatures
from mail_localization.training.calibration import with_calibration
from mail_localization.training.dataset import WindowSet
from mail_localization.training.options import TrainOptions
from mail_localization.training.probe import replayed
from mail_localization.training.provenance import model_card
from mail_localization.types import FloatArray

CONFIG = MagneticNnConfig

_MATCHED = 100
"""Recordings matched against the others, at most: all of a large survey would cost the square of its size."""
_MOST = 12
"""Recordings that tell how honest the covariance is."""

Sequences = tuple[npt.NDArray[np.float32], FloatArray]


def train(config: MagneticNnConfig, recordings: list[Path], out: Path, options: TrainOptions) -> None:
    """Store the survey's sequences; the covariance is that of matching each recording against the others.

    Raises:
        TrainingError: fewer than two recordings have windows with a reference.
    """
    traces, validation = load_survey(
        recordings,
        options.validation,
        options.topics,
        config.window,
        config.magnetic,
        options.progress,
        cache=options.cache,
    )
    survey = {trace.path: part for trace in traces if len((part := _sequences(trace, config))[0])}
    probes = {trace.path: part for trace in validation if len((part := _sequences(trace, config))[0])} or survey
    if not survey or len(survey.keys() | probes.keys()) < 2:
        raise TrainingError(
            f"{', '.join(map(str, recordings))}: {len(survey)} recordings have an unbroken window of "
            f"{options.topics.mag} with a reference, at least 2 are needed to tell how well they "
            "match each other; record a second round"
        )
    matched = _spread(probes, _MATCHED)
    with tqdm(matched, desc="matching", unit="recording", disable=None if options.progress else True) as bar:
        errors = np.concatenate([_errors(path, probes[path], survey, config.match.stride) for path in bar])
    card = model_card("magnetic_nn", config, errors, traces, validation, options.seed)
    judged = [
        replayed(_matcher_without(path, survey, config), path, options.topics)[1] for path in _spread(probes, _MOST)
    ]
    sequences, positions = _joined(survey)
    save_model(out, with_calibration(card, judged), {"sequences": sequences, "positions": positions})


def _spread(probes: dict[Path, Sequences], most: int) -> list[Path]:
    """Return `most` of the recordings at most, evenly spread."""
    paths = list(probes)
    return [paths[k] for k in np.unique(np.linspace(0, len(paths) - 1, most).astype(int)).tolist()]


def _matcher_without(path: Path, survey: dict[Path, Sequences], config: MagneticNnConfig) -> WindowedLocalizer:
    """Return the Localizer of a survey without one of its recordings."""
    sequences, positions = _joined({other: part for other, part in survey.items() if other != path})
    settings = {"window": config.window.to_mapping(), "magnetic": config.magnetic.to_mapping()}
    matcher = MagneticNn(sequences, positions, np.eye(2), config.match.stride)
    return WindowedLocalizer("magnetic_nn", WindowedConfig.from_mapping(settings), matcher)


def _sequences(trace: Trace, config: MagneticNnConfig) -> Sequences:
    features = MagneticFeatures(config.magnetic, config.window.rate_hz)
    windows = WindowSet([trace], features, config.window, config.match.survey_hop)
    return descriptors(windows.batch(np.arange(len(windows))), config.match.stride), windows.positions


def _errors(path: Path, probe: Sequences, survey: dict[Path, Sequences], stride: int) -> FloatArray:
    """Return errors (n, 2) of a recording matched against all others, m."""
    others = {other: part for other, part in survey.items() if other != path}
    sequences, positions = _joined(others)
    # The probe's descriptors are averaged already: a stride of 1 over them changes nothing.
    matcher = MagneticNn(sequences, positions, np.eye(2), stride=1)
    estimates, _ = matcher.predict(probe[0][:, :, None], np.arange(len(probe[0])))
    return np.asarray(estimates - probe[1])


def _joined(parts: dict[Path, Sequences]) -> Sequences:
    return np.concatenate([part[0] for part in parts.values()]), np.concatenate([part[1] for part in parts.values()])
