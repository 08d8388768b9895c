"""What the importers share: the objects, reading damaged text, time order.

Nothing here guesses in silence: whatever is left out, converted or doubtful is counted by kind in `Problems`.
"""

from __future__ import annotations

import bisect
import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mail_localization.data.recording import RecordingInfo
from mail_localization.data.reference import TimeArray
from mail_localization.errors import RecordingError
from mail_localization.types import FloatArray, ReferencePose, Sample

Problems = Counter[str]
LatLon = tuple[float, float]

_MAX_STEP_NS = 600 * 10**9


@dataclass(frozen=True)
class Trace:
    """One walk or drive, as read from a dataset."""

    samples: list[Sample]
    references: list[ReferencePose]
    info: RecordingInfo
    problems: Problems
    """Kind of damage or doubt -> how often."""
    notes: tuple[str, ...] = ()
    """What is true of the whole dataset and a user must know."""


@dataclass(frozen=True)
class Source:
    """One public dataset."""

    title: str
    find: Callable[[Path], list[Path]]
    """Folder -> the file of each trace under it."""
    name: Callable[[Path], str]
    """Trace file -> path of its recording relative to the output folder."""
    read: Callable[[Path, LatLon | None], Trace]
    """Trace file and origin (None: the dataset's own) -> Trace; RecordingError where nothing is usable."""
    geographic: bool = False
    """Whether its positions are latitude and longitude, so that an origin applies."""


@dataclass(frozen=True, eq=False)
class Stream:
    """Rows of one sensor."""

    t_ns: TimeArray
    """(n,)"""
    values: FloatArray
    """(n, c)"""

    def __getitem__(self, keep: npt.NDArray[np.bool_] | npt.NDArray[np.int64]) -> Stream:
        return Stream(self.t_ns[keep], self.values[keep])

    def __len__(self) -> int:
        return len(self.t_ns)


def trace_files(folder: Path, pattern: str) -> list[Path]:
    """Return the files under a folder that match, without hidden files and read-me files."""
    files = (path for path in folder.rglob(pattern) if path.is_file())
    return sorted(p for p in files if not p.name.lower().startswith((".", "readme", "license")))


def read_lines(path: Path, problems: Problems, terminated: bool = True) -> list[str]:
    """Read text lines; where every whole line ends in a newline, an unended last one is cut off and left out."""
    try:
        text = path.read_bytes().decode("utf-8", errors="replace")
    except OSError as err:
        raise RecordingError(f"{path}: cannot be read: {err.strerror}") from err
    # Not splitlines(): network names may hold any of the dozen characters it splits at.
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    last = lines.pop() if terminated or not lines[-1] else ""
    if last:
        problems["file ends inside a line"] += 1
    return lines


def numbers(rows: Sequence[Sequence[str]], columns: int, problems: Problems, what: str) -> FloatArray:
    """Convert rows of text to (n, columns); a row with a bad or non-finite number is counted and left out."""
    if not rows:
        return np.empty((0, columns))
    try:
        values = np.array(rows, dtype=np.float64)
    except ValueError:
        values = np.array([to_floats(row) for row in rows], dtype=np.float64)
    good = sound(values)
    problems[f"{what}: unreadable number"] += int((~good).sum())
    return values[good]


def sound(values: FloatArray) -> npt.NDArray[np.bool_]:
    """Tell which rows of (n, c) hold only finite numbers of a size that any sensor or clock can give."""
    return np.asarray((np.abs(values) < 1e15).all(axis=1), dtype=np.bool_)


def to_floats(row: Sequence[str]) -> list[float]:
    """Convert text to numbers, all NaN where one is none."""
    try:
        return [float(text) for text in row]
    except ValueError:
        return [math.nan] * len(row)


def stream(seconds: FloatArray, values: FloatArray, problems: Problems, what: str, start_ns: int = 0) -> Stream:
    """Build a stream in time order; `seconds` count from `start_ns`."""
    possible = (seconds + start_ns * 1e-9 >= 0) & (seconds < 9e9)
    problems[f"{what}: time out of range"] += int((~possible).sum())
    # Microseconds first: seconds since 1970 times 1e9 is beyond what a float64 holds exactly.
    t_ns = np.rint(seconds[possible] * 1e6).astype(np.int64) * 1000 + start_ns
    return in_time_order(Stream(t_ns, values[possible]), problems, what)


def in_time_order(rows: Stream, problems: Problems, what: str) -> Stream:
    """Keep the most rows that are in strict time order; count the rest."""
    if not (np.diff(rows.t_ns) <= 0).any():
        return rows
    kept = rows[_longest_increasing(rows.t_ns)]
    repeated = int(np.isin(rows.t_ns, kept.t_ns).sum()) - len(kept)
    problems[f"{what}: repeated time"] += repeated
    problems[f"{what}: time going backwards"] += len(rows) - len(kept) - repeated
    return kept


def _longest_increasing(t_ns: TimeArray) -> npt.NDArray[np.int64]:
    """Return indices of the longest strictly increasing subsequence: one wild stamp costs one row, not the file."""
    tails: list[int] = []
    tail_index: list[int] = []
    previous = np.full(len(t_ns), -1)
    for i, t in enumerate(t_ns.tolist()):
        place = bisect.bisect_left(tails, t)
        if place == len(tails):
            tails.append(t)
            tail_index.append(i)
        else:
            tails[place], tail_index[place] = t, i
        previous[i] = tail_index[place - 1] if place else -1
    chain = [tail_index[-1]]
    while previous[chain[-1]] >= 0:
        chain.append(int(previous[chain[-1]]))
    return np.array(chain[::-1], dtype=np.int64)


def usable_samples(path: Path, samples: Iterable[Sample], problems: Problems, expected: str) -> list[Sample]:
    """Sort samples by time and leave out those cut off from the most by 10 minutes: a wild stamp is no long trace.

    Raises:
        RecordingError: there is no sample at all.
    """
    ordered = sorted(samples, key=lambda sample: sample.t_ns)
    if not ordered:
        found = describe(problems)
        raise RecordingError(f"{path}: no usable data; expected {expected}" + (f" (found: {found})" if found else ""))
    cuts = np.flatnonzero(np.diff([sample.t_ns for sample in ordered]) > _MAX_STEP_NS) + 1
    edges = [0, *cuts.tolist(), len(ordered)]
    start, end = max(itertools.pairwise(edges), key=lambda edge: edge[1] - edge[0])
    problems["sample cut off from the rest by more than 10 min"] += len(ordered) - (end - start)
    return ordered[start:end]


def describe(problems: Problems) -> str:
    """Return the counts as text, most frequent first."""
    return "; ".join(f"{count} x {kind}" for kind, count in problems.most_common() if count)
