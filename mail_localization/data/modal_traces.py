"""Recordings as labelled windows of several modalities, made by the code that a live Localizer runs."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from mail_localization.data.cache import NO_CACHE, Cache
from mail_localization.data.modal_rows import read_windows
from mail_localization.data.recording import RecordingInfo, Topics, recording_name
from mail_localization.data.reference import Reference, TimeArray
from mail_localization.errors import RecordingError, TrainingError
from mail_localization.preprocess.access_points import survey_access_points
from mail_localization.preprocess.modalities import ModalitySettings
from mail_localization.preprocess.wifi import AccessPoints, Levels
from mail_localization.preprocess.window_table import WindowTable
from mail_localization.types import FloatArray

Stretches = Sequence[tuple[int, int]]
"""Parts of a recording, each from a stamp to another, ns."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class ModalTrace:
    """One surveyed recording, or the parts of it that are used."""

    name: str
    path: Path
    info: RecordingInfo
    reference: Reference
    windows: WindowTable
    positions: FloatArray
    """(n, 2) the reference at the windows' stamps, m."""
    scans: list[Levels]
    """Fresh results of each Wi-Fi scan between the references."""
    received_ns: npt.NDArray[np.int64]
    """(m,) when the scans' results were received."""
    heard_at: FloatArray
    """(m, 2) the reference at the time at which the scans' results were received, m."""
    counts: dict[str, int]
    """Stream -> samples read."""
    problems: Counter[str]
    """What was refused on the way, by reason."""

    @property
    def places(self) -> FloatArray:
        """(m, 2) the surveyed places, one per half metre or so, m."""
        return self.reference.places

    @property
    def content_hash(self) -> str:
        """Hash of windows and positions."""
        return _digest(self.windows, self.positions)

    def within(self, stretches: Stretches) -> ModalTrace:
        """Return the trace with labels in these stretches alone.

        Its sensors ran all the time: a window that ends in a stretch looks back over the way to it.
        """
        return self.relabelled(lambda t_ns: np.where(inside(t_ns, stretches)[:, None], self.reference.at(t_ns), np.nan))

    def relabelled(self, positions_at: Callable[[TimeArray], FloatArray]) -> ModalTrace:
        """Return the trace with labels from a function: stamps (n,) -> (n, 2), m, NaN where there are none."""
        positions, heard_at = positions_at(self.windows.t_ns), positions_at(self.received_ns)
        kept, heard = (np.asarray(np.isfinite(labels).all(axis=1)) for labels in (positions, heard_at))
        return dataclasses.replace(
            self, windows=self.windows.select(kept), positions=positions[kept],
            scans=list(itertools.compress(self.scans, heard)), received_ns=self.received_ns[heard],
            heard_at=heard_at[heard],
        )  # fmt: skip

    def provenance(self, role: str) -> dict[str, Any]:
        """Return what a model card says of the recording."""
        return {"name": self.name, "role": role, "device": self.info.device, "hash": self.content_hash}


def load_modal_traces(
    paths: Sequence[Path],
    topics: Topics,
    settings: ModalitySettings,
    progress: bool = False,
    one_map: bool = True,
    cache: Cache = NO_CACHE,
) -> list[ModalTrace]:
    """Read recordings.

    Args:
        paths: recordings with references.
        topics: of the recordings.
        settings: of the windows.
        progress: draw a bar on the standard error stream.
        one_map: refuse recordings of another origin than the first.
        cache: of what was made of recordings.

    Raises:
        RecordingError: no bag, no reference positions, or another origin.
    """
    with tqdm(paths, desc="reading", unit="recording", disable=None if progress and paths else True) as bar:
        traces = [load_modal_trace(path, topics, settings, cache) for path in bar]
    for trace in traces:
        if trace.problems:
            counts = ", ".join(f"{count} x {reason}" for reason, count in sorted(trace.problems.items()))
            _log.warning("%s: left out or repaired: %s", trace.path, counts)
        if one_map and trace.info.origin_lat_lon != traces[0].info.origin_lat_lon:
            raise RecordingError(
                f"{trace.path}: its map has the origin {trace.info.origin_lat_lon}, that of {traces[0].path} is "
                f"{traces[0].info.origin_lat_lon}; import both with one --origin"
            )
    return traces


def load_modal_trace(path: Path, topics: Topics, settings: ModalitySettings, cache: Cache = NO_CACHE) -> ModalTrace:
    """Read one recording and label its windows."""
    read = read_windows(path, topics, settings, cache)
    unlabelled = ModalTrace(
        recording_name(path), path, read.info, read.reference, read.windows, np.empty((0, 2)), read.scans,
        read.received_ns, np.empty((0, 2)), read.counts, read.problems,
    )  # fmt: skip
    return unlabelled.relabelled(read.reference.at)


def gather_access_points(traces: Sequence[ModalTrace], settings: ModalitySettings) -> AccessPoints:
    """Return the access points of a survey's traces."""
    scans = list(itertools.chain.from_iterable(trace.scans for trace in traces))
    places = np.concatenate([np.empty((0, 2)), *(trace.heard_at for trace in traces)])
    return survey_access_points(scans, places, settings.wifi)


_SAMPLES = {"imu": "ImuSample", "mag": "MagneticSample", "wifi": "WifiScan"}


def require_modalities(traces: Sequence[ModalTrace], topics: Topics, modalities: Sequence[str]) -> None:
    """Check that the recordings have what the model is to look at.

    Raises:
        TrainingError: no recording has samples of a modality; where only some lack it, they are warned of.
    """
    names = topics.to_mapping()
    for modality in modalities:
        lacking = [trace.path for trace in traces if not trace.counts.get(_SAMPLES[modality])]
        if traces and len(lacking) == len(traces):
            raise TrainingError(
                f"{', '.join(map(str, lacking))}: no samples on topic {names[modality]!r} (topics.{modality}), which "
                f"the setting modalities asks for; leave {modality} out of it, or remap with --topic {modality}=NAME"
            )
        if lacking:
            _log.warning(
                "%d of %d recordings have no samples on topic %s, e.g. %s",
                len(lacking), len(traces), names[modality], lacking[0],
            )  # fmt: skip


def inside(t_ns: TimeArray, stretches: Stretches) -> npt.NDArray[np.bool_]:
    """Tell which stamps (n,) lie in one of the stretches."""
    return np.array([any(start <= t < end for start, end in stretches) for t in t_ns.tolist()], dtype=bool)


def _digest(windows: WindowTable, positions: npt.NDArray[np.float64]) -> str:
    digest = hashlib.sha256(positions.tobytes())
    for window in windows:
        for rows in (window.imu, window.mag):
            digest.update(b"-" if rows is None else rows.tobytes())
        digest.update(repr(sorted(window.levels.items())).encode())
    return f"sha256:{digest.hexdigest()}"
