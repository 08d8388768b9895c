"""The step that adapts MMLoc+ to a share of a site's survey."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np

from mail_localization.data.recording import Recording
from mail_localization.experiments.steps import MODEL, best_trial, pretrained
from mail_localization.experiments.tasks import Context
from mail_localization.models.artifact import load_model
from mail_localization.training.options import TrainOptions

PIECE = 30.0
"""A survey is cut into pieces of this length, s: somebody who surveys little walks some paths, not seconds of all."""

Stretches = dict[Path, list[tuple[int, int]]]


def adapt(
    context: Context, like: list[str], lstm1: str, share: float, training: list[str],
    validation: list[str], seed: int, max_minutes: float,
) -> dict[str, Any]:  # fmt: skip
    """Train mmloc_plus on a share of a survey, with the settings of the best of `like`.

    Args:
        context: where the files are.
        like: task folders of trials.
        lstm1: task folder of a pretraining; none: from scratch.
        share: of the time walked in the training recordings.
        training: recordings of which a share is used.
        validation: recordings for validation, used whole.
        seed: of the training and of the choice of pieces.
        max_minutes: longest training.
    """
    from mail_localization.training.mmloc import CONFIG, read_survey, train_on, with_lstm1
    from mail_localization.training.windowed import make_folder

    settings = best_trial(context, like)["settings"]
    folder = pretrained(context, lstm1) if lstm1 else None
    options = TrainOptions(
        seed=seed, max_minutes=max_minutes, validation=tuple(context.recordings(validation)), progress=False
    )
    config, tensors = with_lstm1(CONFIG.from_mapping(settings, "settings"), folder)
    stretches = drawn_stretches(context.recordings(training), share, seed)
    make_folder(context.folder / MODEL)
    survey = read_survey(config, list(stretches), options, stretches)
    train_on(config, survey, tensors, context.folder / MODEL, options)
    card, _ = load_model(context.folder / MODEL)
    return {"settings": settings, "seed": seed, "share": share, "metrics": card.metrics}


def drawn_stretches(recordings: list[Path], share: float, seed: int) -> Stretches:
    """Return which stretches of which recordings make up a share of the time walked, drawn by the seed, ns.

    With the same seed, a smaller share is part of a larger one.
    """
    pieces = [(path, *piece) for path in recordings for piece in _pieces(path)]
    total = sum(end - start for _, start, end in pieces)
    drawn, walked = [], 0
    for number in np.random.default_rng(seed).permutation(len(pieces)).tolist():
        # A piece is taken whole while the share is not reached: there is always one.
        if walked >= share * total:
            break
        drawn.append(pieces[number])
        walked += pieces[number][2] - pieces[number][1]
    chosen: Stretches = {}
    for path, group in itertools.groupby(sorted(drawn), key=lambda piece: piece[0]):
        for _, start, end in group:
            parts = chosen.setdefault(path, [])
            if parts and parts[-1][1] == start:
                # Windows over the seam of two neighbours count too.
                parts[-1] = (parts[-1][0], end)
            else:
                parts.append((start, end))
    return chosen


def _pieces(path: Path) -> list[tuple[int, int]]:
    """Cut the time between a recording's first and last reference into pieces of about PIECE, ns."""
    reference = Recording(path).reference()
    start, end = reference.start_ns, reference.end_ns + 1
    count = max(1, round((end - start) / (PIECE * 1e9)))
    edges = [start + k * (end - start) // count for k in range(count + 1)]
    return list(itertools.pairwise(edges))
