"""How good a Localizer is on recordings it was not built from, as its own model folder will tell."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from mail_localization.data.recording import Recording, Topics
from mail_localization.data.splits import hold_out, separated
from mail_localization.errors import TrainingError
from mail_localization.localizer import START_STDDEV, Localizer, told_where
from mail_localization.training.options import TrainOptions
from mail_localization.types import FloatArray


@dataclass(frozen=True)
class SurveySplit:
    """Which recordings a method without a training loop is built from and judged on."""

    training: list[Path]
    """What the judged model is built from."""
    validation: list[Path]
    """What it is judged on."""
    final: list[Path]
    """What the saved model is built from: all, unless the user keeps some back for validation."""


@dataclass(frozen=True, eq=False)
class _Walk:
    path: Path
    places: FloatArray


def split_survey(recordings: list[Path], options: TrainOptions, share: float = 0.2) -> SurveySplit:
    """Split recordings by those given for validation or, where there are none, as `hold_out` does.

    Raises:
        TrainingError: there is only one recording.
        RecordingError: a recording cannot be read, or has no reference.
    """
    surveyed, held_out = separated(recordings, options.validation)
    if held_out:
        return SurveySplit(surveyed, held_out, surveyed)
    walks = [_Walk(path, Recording(path, options.topics).reference().places) for path in surveyed]
    training, judged = hold_out(walks, share, options.seed)
    return SurveySplit([walk.path for walk in training], [walk.path for walk in judged], surveyed)


def online_errors(
    localizer: Localizer, recordings: list[Path], topics: Topics, progress: bool = False, start: bool = False
) -> FloatArray:
    """Replay recordings through a Localizer; return estimate less reference (n, 2) at every estimate's stamp, m.

    Args:
        localizer: is reset before each recording.
        recordings: with reference positions; estimates outside them are not judged.
        topics: of the recordings.
        progress: draw a bar on the standard error stream.
        start: tell a Startable where each recording begins.

    Raises:
        TrainingError: no recording gave an estimate that has a reference.
    """
    errors = [np.empty((0, 2))]
    with tqdm(recordings, desc="judging", unit="recording", disable=None if progress else True) as bar:
        for path in bar:
            recording = Recording(path, topics)
            reference = recording.reference()
            samples = recording.samples(localizer.inputs)
            if start:
                samples = told_where(localizer, samples, reference.start_ns, reference.position[0], START_STDDEV)
            localizer.reset()
            estimates = list(localizer.localize(samples))
            truth = reference.at(np.array([estimate.t_ns for estimate in estimates], dtype=np.int64))
            offsets = np.array([estimate.position for estimate in estimates]).reshape(-1, 2) - truth
            errors.append(offsets[np.isfinite(offsets).all(axis=1)])
    joined = np.concatenate(errors)
    if not len(joined):
        raise TrainingError(
            f"{', '.join(map(str, recordings))}: method {localizer.method} gave no estimate that has a reference, so "
            f"its errors cannot be told; it needs {' and '.join(sorted(localizer.inputs))}: give longer recordings"
        )
    return joined
