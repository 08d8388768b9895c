"""Recordings as labelled traces: rows of the uniform clock with the reference position of each."""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from mail_localization.data.cache import NO_CACHE, Array, Cache, Entry
from mail_localization.data.recording import Recording, RecordingInfo, Topics, recording_name
from mail_localization.data.reference import Reference, distinct_places
from mail_localization.errors import RecordingError
from mail_localization.preprocess.magnetic import MagneticSettings
from mail_localization.preprocess.sensors import SensorRows
from mail_localization.preprocess.windows import Segment, WindowSettings, segments
from mail_localization.types import FloatArray

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Trace:
    """One surveyed recording on the uniform clock."""

    name: str
    path: Path
    info: RecordingInfo
    segments: list[Segment]
    positions: list[FloatArray]
    """For each segment (n, 2): the reference at each row's stamp, m; NaN outside the references."""
    content_hash: str
    """Hash of all rows and positions."""
    problems: Counter[str]
    """What was refused on the way, by reason."""

    @property
    def places(self) -> FloatArray:
        """(n, 2) the surveyed places of the rows, one per half metre or so, m."""
        return distinct_places(np.concatenate([np.empty((0, 2)), *self.positions]))

    def provenance(self, role: str) -> dict[str, Any]:
        """Return what a model card says of the recording."""
        return {"name": self.name, "role": role, "device": self.info.device, "hash": self.content_hash}


def load_trace(
    path: Path, topics: Topics, window: WindowSettings, magnetic: MagneticSettings, streams: Collection[str] = (),
    cache: Cache = NO_CACHE,
) -> Trace:  # fmt: skip
    """Read a recording and label its rows, of the streams given or else of those of the magnetic features.

    Raises:
        RecordingError: no bag, or no reference positions.
    """
    names = tuple(streams or magnetic.streams)
    settings = {
        "topics": topics.to_mapping(), "streams": names, "saturation": magnetic.saturation,
        "rate_hz": window.rate_hz, "max_gap": window.max_gap, "length": window.length,
    }  # fmt: skip
    entry = cache.kept("rows", path, settings, lambda: _rows(path, topics, window, names, magnetic.saturation))
    runs, reference = _segments(entry.arrays), reference_from(entry.arrays)
    positions = [reference.at(run.t_ns) for run in runs]
    digest = hashlib.sha256()
    for run, labels in zip(runs, positions, strict=True):
        digest.update(run.rows.tobytes())
        digest.update(labels.tobytes())
    return Trace(
        recording_name(path), path, RecordingInfo.from_json(entry.facts["info"]), runs, positions,
        f"sha256:{digest.hexdigest()}", Counter(entry.facts["problems"]),
    )  # fmt: skip


def _rows(path: Path, topics: Topics, window: WindowSettings, streams: Collection[str], saturation: float) -> Entry:
    """Read a recording's rows on the clock and its references."""
    sensors = SensorRows(window, streams, saturation)
    with Recording.opened(path, topics) as recording:
        arrays = reference_arrays(recording.reference())
        runs = segments(sensors.all(recording.samples(sensors.inputs)))
    arrays["rows"] = np.concatenate([np.empty((0, sensors.width)), *(run.rows for run in runs)])
    arrays["t_ns"] = np.concatenate([np.empty(0, dtype=np.int64), *(run.t_ns for run in runs)])
    arrays["first"] = np.array([run.first_index for run in runs], dtype=np.int64)
    arrays["length"] = np.array([len(run.rows) for run in runs], dtype=np.int64)
    problems = recording.problems + sensors.counters
    return Entry(arrays, {"info": recording.info.to_json(), "problems": dict(problems)})


def _segments(arrays: dict[str, Array]) -> list[Segment]:
    stops = np.cumsum(arrays["length"]).tolist()
    return [
        Segment(first, arrays["t_ns"][stop - length : stop], arrays["rows"][stop - length : stop])
        for first, length, stop in zip(arrays["first"].tolist(), arrays["length"].tolist(), stops, strict=True)
    ]


def reference_arrays(reference: Reference) -> dict[str, Array]:
    """Return references as a cache keeps them."""
    return {"reference_ns": reference.t_ns, "reference": reference.position}


def reference_from(arrays: dict[str, Array]) -> Reference:
    """Return what `reference_arrays` was given."""
    return Reference(arrays["reference_ns"], arrays["reference"])


def load_traces(
    paths: list[Path],
    topics: Topics,
    window: WindowSettings,
    magnetic: MagneticSettings,
    progress: bool = False,
    streams: Collection[str] = (),
    cache: Cache = NO_CACHE,
) -> list[Trace]:
    """Read several recordings of one site; those of another origin than the first are refused."""
    with tqdm(paths, desc="reading", unit="recording", disable=None if progress and paths else True) as bar:
        traces = [load_trace(path, topics, window, magnetic, streams, cache) for path in bar]
    for trace in traces:
        if trace.problems:
            counts = ", ".join(f"{count} x {reason}" for reason, count in sorted(trace.problems.items()))
            _log.warning("%s: left out or repaired: %s", trace.path, counts)
    for trace in traces[1:]:
        if trace.info.origin_lat_lon != traces[0].info.origin_lat_lon:
            raise RecordingError(
                f"{trace.path}: its map has the origin {trace.info.origin_lat_lon}, that of {traces[0].path} is "
                f"{traces[0].info.origin_lat_lon}; import both with one --origin"
            )
    return traces
