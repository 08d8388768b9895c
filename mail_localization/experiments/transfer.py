"""The step that adapts MMLoc+ to a share of a site's survey."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from mail_localization.data.reference import Reference
from mail_localization.experiments.config import merged
from mail_localization.experiments.steps import MODEL, best_trial, pretrained
from mail_localization.experiments.tasks import Context
from mail_localization.models.artifact import load_model
from mail_localization.training.loop import TrainingSettings
from mail_localization.training.mmloc import CONFIG, changed, read_survey, train_on, with_lstm1
from mail_localization.training.options import TrainOptions
from mail_localization.training.windowed import make_folder

S = TypeVar("S", bound=TrainingSettings)
PIECE = 15.0
"""Length of the stretches that a share is made of, s.

Some 10 m: from a mark to the next but one, room for a magnetic window, and a way as motion is calibrated with.
"""
_GOLDEN = (5**0.5 - 1) / 2

Stretches = dict[Path, list[tuple[int, int]]]


def adapt(
    context: Context, like: list[str], settings: dict[str, Any], lstm1: str, share: float, training: list[str],
    validation: list[str], seed: int, max_minutes: float,
) -> dict[str, Any]:  # fmt: skip
    """Train mmloc_plus on a share of a survey, with the settings of the best of `like` and those laid over them.

    With and without a pretrained LSTM1 all else is the same: the stretches with labels, spread evenly over the survey
    (who surveys little walks the whole site thinly); the sensors, which run on between them; what is reckoned from them
    there, where training.fill_in.use is on; and as many batches as for the whole survey, since what is asked is what
    labels are worth, not computing time.

    Args:
        context: where the files are.
        like: task folders of trials.
        settings: laid over theirs.
        lstm1: task folder of a pretraining; none: from scratch.
        share: of the time walked in the training recordings.
        training: recordings of which a share is used.
        validation: recordings for validation, used whole.
        seed: of the training and of the choice of stretches.
        max_minutes: longest training.
    """
    settings = merged(best_trial(context, like)["settings"], settings)
    folder = pretrained(context, lstm1) if lstm1 else None
    options = TrainOptions(
        seed=seed, max_minutes=max_minutes, validation=tuple(context.recordings(validation)),
        cache=context.cache, progress=False,
    )  # fmt: skip
    config, tensors = with_lstm1(CONFIG.from_mapping(settings, "settings"), folder)
    make_folder(context.folder / MODEL)
    whole = read_survey(config, context.recordings(training), options)
    drawn = drawn_stretches({trace.path: trace.reference for trace in whole.training}, share, seed)
    part = whole.filled_in(drawn, config, options.topics) if config.training.fill_in.use else whole.within(drawn)
    config = changed(config, training=as_many_batches(config.training, whole.labels, part.labels))
    train_on(config, part, tensors, context.folder / MODEL, options)
    card, _ = load_model(context.folder / MODEL)
    return {"settings": settings, "seed": seed, "share": share, "metrics": card.metrics}


def as_many_batches(settings: S, whole: int, part: int) -> S:
    """Return the settings with which a part of the examples is trained on in as many batches as the whole."""
    factor = math.ceil(whole / settings.batch) / math.ceil(max(part, 1) / settings.batch)
    return changed(settings, epochs=round(factor * settings.epochs), patience=round(factor * settings.patience))


def drawn_stretches(references: Mapping[Path, Reference], share: float, seed: int) -> Stretches:
    """Return stretches, ns, of recordings that make up a share of the time walked, spread evenly over all of them.

    The seed draws where they begin. With the same seed, a smaller share is part of a larger one.
    """
    pieces = [(path, *piece) for path, reference in references.items() for piece in _pieces(reference)]
    total = sum(end - start for _, start, end in pieces)
    drawn, walked = [], 0
    for number in _spread(len(pieces), seed):
        # A piece is taken whole while the share is not reached: there is always one.
        if walked >= share * total:
            break
        drawn.append(pieces[number])
        walked += pieces[number][2] - pieces[number][1]
    chosen: Stretches = {}
    for path, start, end in sorted(drawn):
        parts = chosen.setdefault(path, [])
        # Neighbours are one way.
        first = parts.pop()[0] if parts and parts[-1][1] == start else start
        parts.append((first, end))
    return chosen


def _spread(count: int, seed: int) -> list[int]:
    """Return the numbers 0 to count - 1 in an order of which every beginning is spread evenly (a golden ratio's)."""
    turns = np.random.default_rng(seed).random() + _GOLDEN * np.arange(4 * count)
    return list(dict.fromkeys((turns % 1.0 * count).astype(int).tolist()))


def _pieces(reference: Reference) -> list[tuple[int, int]]:
    """Cut the time between the first and the last reference into pieces of about PIECE, ns."""
    start, end = reference.start_ns, reference.end_ns + 1
    count = max(1, round((end - start) / (PIECE * 1e9)))
    edges = [start + k * (end - start) // count for k in range(count + 1)]
    return list(itertools.pairwise(edges))
