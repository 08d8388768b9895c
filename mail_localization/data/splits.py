"""Which recordings are held out: whole recordings, never windows, and of places that the others visit too."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
from scipy.spatial import KDTree

from mail_localization.data.cache import NO_CACHE, Cache
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


class Walk(Protocol):
    """A surveyed recording as far as a split looks at it."""

    @property
    def path(self) -> Path:
        """Where it lies."""

    @property
    def places(self) -> FloatArray:
        """(n, 2) positions visited, one per half metre or so, m."""


W = TypeVar("W", bound=Walk)


def load_survey(
    recordings: list[Path],
    validation: Sequence[Path],
    topics: Topics,
    window: WindowSettings,
    magnetic: MagneticSettings,
    progress: bool = False,
    streams: Collection[str] = (),
    cache: Cache = NO_CACHE,
) -> tuple[list[Trace], list[Trace]]:
    """Read recordings and those given for validation, all of one origin: training and validation traces."""
    surveyed, held_out = separated(recordings, validation)
    traces = load_traces([*surveyed, *held_out], topics, window, magnetic, progress, streams, cache)
    return traces[: len(surveyed)], traces[len(surveyed) :]


def hold_out(traces: list[W], share: float, seed: int) -> tuple[list[W], list[W]]:
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
    places = [trace.places for trace in traces]
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


def warn_if_unvisited(training: Sequence[Walk], validation: Sequence[Walk]) -> None:
    """Warn where validation recordings lead through places without training data."""
    visited = [trace.places for trace in training]
    for trace in validation:
        if (covered := coverage(trace.places, visited)) < COVERED:
            _log.warning(
                "validation recording %s: only %.0f %% of its way lies within %.0f m of a training recording, so its "
                "errors say little; record every path at least twice, or choose with --validation",
                trace.path, 100 * covered, REACH,
            )  # fmt: skip


def coverage(places: FloatArray, others: list[FloatArray]) -> float:
    """Return the share of places (n, 2) within REACH of one of the others, (m, 2) each; 0 where there are none."""
    known = np.concatenate([np.empty((0, 2)), *others])
    if not len(places) or not len(known):
        return 0.0
    distance, _ = KDTree(known).query(places, distance_upper_bound=REACH)
    return float(np.isfinite(distance).mean())


def separated(recordings: list[Path], validation: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """Return training and validation recordings; one found under both is for validation, however it is written."""
    held_out = find_recordings(validation) if validation else []
    resolved = {path.resolve() for path in held_out}
    return [path for path in recordings if path.resolve() not in resolved], held_out
