"""Which recordings are held out: whole recordings, never windows, and of places that the others visit too."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.spatial import KDTree

from mail_localization.data.recording import Topics, find_recordings
from mail_localization.data.traces import Trace, load_traces
from mail_localization.errors import TrainingError
from mail_localization.preprocess.magnetic import MagneticSettings
from mail_localization.preprocess.windows import WindowSettings
from mail_localization.types import FloatArray

REACH = 2.0
"""A place counts as visited where another recording passes within this distance, m."""
COVERED = 0.8
"""Share of a recording's places that the others must visit, for its errors to say anything of a model's."""

_log = logging.getLogger(__name__)


def load_survey(
    recordings: list[Path],
    validation: Sequence[Path],
    topics: Topics,
    window: WindowSettings,
    magnetic: MagneticSettings,
    progress: bool = False,
) -> tuple[list[Trace], list[Trace]]:
    """Read recordings and those given for validation, all of one origin: training and validation traces.

    A recording found under both is for validation, however its path is written.
    """
    held_out = find_recordings(validation) if validation else []
    resolved = {path.resolve() for path in held_out}
    surveyed = [path for path in recordings if path.resolve() not in resolved]
    traces = load_traces([*surveyed, *held_out], topics, window, magnetic, progress)
    return traces[: len(surveyed)], traces[len(surveyed) :]


def hold_out(traces: list[Trace], share: float, seed: int) -> tuple[list[Trace], list[Trace]]:
    """Return training and validation traces: a share of the recordings is held out, at least one, drawn by the seed.

    A recording of a place that no other visits is kept for training: no model can know that place without it.

    Raises:
        TrainingError: there is only one recording.
    """
    if len(traces) < 2:
        raise TrainingError(
            f"{', '.join(str(trace.path) for trace in traces) or 'no recording'}: one recording cannot be split into "
            "training and validation; record a second round, or give --validation another recording"
        )
    wanted = min(len(traces) - 1, max(1, round(share * len(traces))))
    order = np.random.default_rng(seed).permutation(len(traces)).tolist()
    places = [_places(trace) for trace in traces]
    chosen: set[int] = set()
    for candidate in order:
        others = [places[k] for k in order if k != candidate and k not in chosen]
        if len(chosen) < wanted and coverage(places[candidate], others) >= COVERED:
            chosen.add(candidate)
    if not chosen:
        chosen = set(order[:wanted])
        warn_if_unvisited([t for k, t in enumerate(traces) if k not in chosen], [traces[k] for k in sorted(chosen)])
    kept = [trace for number, trace in enumerate(traces) if number not in chosen]
    return kept, [trace for number, trace in enumerate(traces) if number in chosen]


def warn_if_unvisited(training: list[Trace], validation: list[Trace]) -> None:
    """Warn where validation recordings lead through places without training data."""
    visited = [_places(trace) for trace in training]
    for trace in validation:
        if (covered := coverage(_places(trace), visited)) < COVERED:
            _log.warning(
                "validation recording %s: only %.0f %% of its way lies within %.0f m of a training recording, so its "
                "errors say little; record every path at least twice, or choose with --validation",
                trace.name, 100 * covered, REACH,
            )  # fmt: skip


def coverage(places: FloatArray, others: list[FloatArray]) -> float:
    """Return the share of places (n, 2) within REACH of one of the others, (m, 2) each; 0 where there are none."""
    known = np.concatenate([np.empty((0, 2)), *others])
    if not len(places) or not len(known):
        return 0.0
    distance, _ = KDTree(known).query(places, distance_upper_bound=REACH)
    return float(np.isfinite(distance).mean())


def _places(trace: Trace) -> FloatArray:
    """Return the reference positions (n, 2) of a trace's rows, one per half metre or so."""
    positions = np.concatenate([np.empty((0, 2)), *trace.positions])
    positions = positions[np.isfinite(positions).all(axis=1)]
    return np.unique(np.round(positions * 2) / 2, axis=0)
