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

from mail_localization.data.recording import Recording, RecordingInfo, Topics
from mail_localization.data.reference import distinct_places
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
    path: Path, topics: Topics, window: WindowSettings, magnetic: MagneticSettings, streams: Collection[str] = ()
) -> Trace:
    """Read a recording and label its rows, of the streams given or else of those of the magnetic features.

    Raises:
        RecordingError: no bag, or no reference positions.
    """
    recording = Recording(path, topics)
    reference = recording.reference()
    sensors = SensorRows(window, streams or magnetic.streams, magnetic.saturation)
    runs = segments(sensors.all(recording.samples(sensors.inputs)))
    positions = [reference.at(run.t_ns) for run in runs]
    digest = hashlib.sha256()
    for run, labels in zip(runs, positions, strict=True):
        digest.update(run.rows.tobytes())
        digest.update(labels.tobytes())
    problems = recording.problems + sensors.counters
    name, hexdigest = recording.name, digest.hexdigest()
    return Trace(name, path, recording.info, runs, positions, f"sha256:{hexdigest}", problems)


def load_traces(
    paths: list[Path],
    topics: Topics,
    window: WindowSettings,
    magnetic: MagneticSettings,
    progress: bool = False,
    streams: Collection[str] = (),
) -> list[Trace]:
    """Read several recordings of one site; those of another origin than the first are refused."""
    with tqdm(paths, desc="reading", unit="recording", disable=None if progress and paths else True) as bar:
        traces = [load_trace(path, topics, window, magnetic, streams) for path in bar]
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
