"""Recordings as labelled Wi-Fi fingerprints: what was heard where."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from mail_localization.data.recording import Recording, RecordingInfo, Topics
from mail_localization.data.reference import distinct_places
from mail_localization.errors import RecordingError
from mail_localization.preprocess.access_points import survey_access_points
from mail_localization.preprocess.wifi import AccessPoints, Levels, WifiMemory, WifiSettings
from mail_localization.types import FloatArray


@dataclass(frozen=True, eq=False)
class FingerprintTrace:
    """The labelled scans of one recording; what is fresh at a scan's stamp is its fingerprint."""

    name: str
    path: Path
    info: RecordingInfo
    t_ns: npt.NDArray[np.int64]
    """(n,) stamps of the scans."""
    positions: FloatArray
    """(n, 2) the reference at the stamps, m."""
    heard_at: FloatArray
    """(n, 2) the reference at the mean time at which the results were received, m: the stamps are later."""
    levels: list[Levels]
    """n times address -> level, dBm."""
    content_hash: str
    """Hash of stamps, positions and levels."""
    problems: Counter[str]
    """What was refused on the way, by reason."""

    def __len__(self) -> int:
        return len(self.levels)

    @property
    def places(self) -> FloatArray:
        """(m, 2) the places of the scans, one per half metre or so, m."""
        return distinct_places(self.positions)

    def provenance(self, role: str) -> dict[str, Any]:
        """Return what a model card says of the recording."""
        return {"name": self.name, "role": role, "device": self.info.device, "hash": self.content_hash}

    def vectors(self, access_points: AccessPoints) -> FloatArray:
        """Return the levels (n, A) of known access points, dBm; NaN where unheard."""
        vectors = [access_points.vector(heard) for heard in self.levels]
        return np.array(vectors).reshape(len(self), len(access_points))


def load_fingerprints(
    paths: Sequence[Path], topics: Topics, settings: WifiSettings, progress: bool = False
) -> list[FingerprintTrace]:
    """Read the labelled scans of several recordings of one site; one without Wi-Fi has none.

    Raises:
        RecordingError: no bag, no reference, another origin than the first's, or Wi-Fi in none of them.
    """
    with tqdm(paths, desc="reading", unit="recording", disable=None if progress and paths else True) as bar:
        traces = [load_fingerprint_trace(path, topics, settings) for path in bar]
    for trace in traces[1:]:
        if trace.info.origin_lat_lon != traces[0].info.origin_lat_lon:
            raise RecordingError(
                f"{trace.path}: its map has the origin {trace.info.origin_lat_lon}, that of {traces[0].path} is "
                f"{traces[0].info.origin_lat_lon}; import both with one --origin"
            )
    return traces


def load_fingerprint_trace(path: Path, topics: Topics, settings: WifiSettings) -> FingerprintTrace:
    """Read the scans of one recording that lie between its references.

    Raises:
        RecordingError: no bag, no Wi-Fi topic in it, or no reference positions.
    """
    memory = WifiMemory(settings)
    stamps: list[int] = []
    ages: list[float] = []
    levels: list[Levels] = []
    with Recording.opened(path, topics) as recording:
        if not recording.counts.get(topics.wifi):
            raise RecordingError(
                f"{path}: no Wi-Fi scans on topic {topics.wifi!r} (topics.wifi); it has "
                f"{', '.join(sorted(recording.counts))}; remap with --topic wifi=NAME, or leave the recording out"
            )
        reference = recording.reference()
        for scan in recording.samples({"wifi"}):
            t_ns = memory.add(scan)  # type: ignore[arg-type]
            if t_ns is not None and reference.start_ns <= t_ns <= reference.end_ns:
                stamps.append(t_ns)
                ages.append(memory.age(t_ns))
                levels.append(memory.heard(t_ns))
    t = np.array(stamps, dtype=np.int64)
    positions = reference.at(t)
    received = np.maximum(t - (np.array(ages) * 1e9).astype(np.int64), reference.start_ns)
    problems = recording.problems + memory.counters
    digest = _digest(t, positions, levels)
    return FingerprintTrace(
        recording.name, path, recording.info, t, positions, reference.at(received), levels, digest, problems
    )


def gather(traces: Sequence[FingerprintTrace], settings: WifiSettings) -> AccessPoints:
    """Return the access points of a survey's traces."""
    scans = [levels for trace in traces for levels in trace.levels]
    places = np.concatenate([np.empty((0, 2)), *(trace.heard_at for trace in traces)])
    return survey_access_points(scans, places, settings)


def _digest(t_ns: npt.NDArray[np.int64], positions: FloatArray, levels: list[Levels]) -> str:
    digest = hashlib.sha256(t_ns.tobytes() + positions.tobytes())
    for heard in levels:
        digest.update(repr(sorted(heard.items())).encode())
    return f"sha256:{digest.hexdigest()}"
