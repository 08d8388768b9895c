"""How good a Localizer is on recordings it was not built from, as its own model folder will tell."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from mail_localization.calibration import FAR, Followed
from mail_localization.data.association import Estimates, newest_estimates, reference_instants
from mail_localization.data.recording import Recording, Topics
from mail_localization.data.reference import Reference
from mail_localization.data.splits import hold_out, separated
from mail_localization.errors import TrainingError
from mail_localization.estimator import Estimator
from mail_localization.localizer import START_STDDEV, Startable, localizer_of, told_where
from mail_localization.models.artifact import ModelCard, Tensors, load_model, save_model
from mail_localization.training.calibration import Judged, with_calibration
from mail_localization.training.options import TrainOptions
from mail_localization.types import FloatArray, PoseEstimate


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


@dataclass(frozen=True, eq=False)
class Probed:
    """What a Localizer said on recordings, against their references."""

    errors: FloatArray
    """(n, 2) estimate less reference at every estimate's stamp, m."""
    judged: list[Judged]
    """The errors of each recording as somebody watching meets them, with what was said of them."""


def probe(
    localizer: Estimator, recordings: list[Path], topics: Topics, progress: bool = False, start: bool = False
) -> Probed:
    """Replay recordings through a Localizer that is not calibrated.

    Args:
        localizer: is reset before each recording.
        recordings: with reference positions; estimates outside them are not judged.
        topics: of the recordings.
        progress: draw a bar on the standard error stream.
        start: tell a Startable where each recording begins.

    Raises:
        TrainingError: no recording gave an estimate that has a reference.
    """
    errors, judged = [np.empty((0, 2))], []
    with tqdm(recordings, desc="judging", unit="recording", disable=None if progress else True) as bar:
        for path in bar:
            found = replayed(localizer, path, topics, start)
            errors.append(found[0])
            judged.append(found[1])
    joined = np.concatenate(errors)
    if not len(joined):
        raise TrainingError(
            f"{', '.join(map(str, recordings))}: method {localizer.method} gave no estimate that has a reference, so "
            f"its errors cannot be told; it needs {' and '.join(sorted(localizer.inputs))}: give longer recordings"
        )
    return Probed(joined, judged)


def replayed(localizer: Estimator, path: Path, topics: Topics, start: bool = False) -> tuple[FloatArray, Judged]:
    """Replay one recording; return the errors (n, 2) at the estimates' stamps, m, and those at every second."""
    localizer.reset()
    with Recording.opened(path, topics) as recording:
        reference = recording.reference()
        samples = recording.samples(localizer.inputs)
        if start:
            samples = told_where(localizer, samples, reference.start_ns, reference.position[0], START_STDDEV)
        estimates = list(localizer.localize(samples))
    truth = reference.at(np.array([estimate.t_ns for estimate in estimates], dtype=np.int64))
    offsets = np.array([estimate.position for estimate in estimates]).reshape(-1, 2) - truth
    told = start and isinstance(localizer, Startable)
    return offsets[np.isfinite(offsets).all(axis=1)], _judged(recording, estimates, reference, told)


def _judged(recording: Recording, poses: list[PoseEstimate], reference: Reference, told: bool) -> Judged:
    """Take the newest estimate at every second of the reference, as the evaluator does."""
    estimates, followed = Estimates.from_poses(poses), Followed()
    if told:
        followed.clear(FAR)
    ways = [followed.add(int(t_ns), xy) for t_ns, xy in zip(estimates.t_ns, estimates.position, strict=True)]
    instants = reference_instants(reference)
    newest = newest_estimates(instants, estimates.t_ns)
    chosen = newest[newest >= 0]
    places = reference.at(instants[newest >= 0])
    offsets = estimates.position[chosen] - places
    return Judged(
        recording.name, offsets, estimates.covariance[chosen], np.array(ways, dtype=np.float64)[chosen], places,
        recording.info.device,
    )  # fmt: skip


def calibrated(card: ModelCard, tensors: Tensors, recordings: list[Path], options: TrainOptions) -> ModelCard:
    """Return the card of a model with the calibration that replaying recordings not used for training teaches."""
    localizer = localizer_of(card, tensors)
    with tqdm(recordings, desc="calibrating", unit="recording", disable=None if options.progress else True) as bar:
        return with_calibration(card, [replayed(localizer, path, options.topics)[1] for path in bar])


def recalibrate(model: Path, recordings: list[Path], topics: Topics, start: bool = False) -> ModelCard:
    """Replace the calibration in a model folder by what recordings teach that the model was not made from.

    Args:
        model: the folder.
        recordings: with reference positions.
        topics: of the recordings.
        start: tell a Startable where each recording begins.

    Raises:
        ModelError: the folder cannot be used.
        TrainingError: no recording gave an estimate that has a reference.
    """
    card, tensors = load_model(model)
    # What the method states by itself, not what an earlier calibration made of it.
    card = dataclasses.replace(card, calibration={})
    judged = probe(localizer_of(card, tensors), recordings, topics, True, start).judged
    card = with_calibration(card, judged)
    save_model(model, card, tensors)
    return card
