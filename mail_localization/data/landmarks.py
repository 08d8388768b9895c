"""Landmark files of a survey: when the walker stood where, as CSV or YAML.

CSV: columns `time` (s) or `event` (name), `x`, `y` and perhaps `z` (m in `map`); without a header line the
columns are time or event, x, y. YAML: a list of the same names, bare or under the key `landmarks`.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from mail_localization.errors import RecordingError
from mail_localization.types import ReferencePose

_EXPECTED = "expected columns time (s) or event (name), x, y (m)"
_MAX_SECONDS = Decimal(9_000_000_000)


@dataclass(frozen=True)
class Landmark:
    """One row of a landmark file: a place, and a time or the name of an event."""

    where: str
    """File and row, for messages."""
    x: float
    y: float
    z: float = 0.0
    time: Decimal | None = None
    """Seconds since 1970, or since the start of the bag."""
    event: str = ""


def read_landmarks(path: Path) -> list[Landmark]:
    """Read a .csv, .yaml or .yml file.

    Raises:
        RecordingError: the file cannot be read, or a row lacks a place or a moment.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as err:
        raise RecordingError(f"{path}: cannot be read as text: {err}") from err
    rows = _yaml_rows(path, text) if path.suffix.lower() in (".yaml", ".yml") else _csv_rows(path, text)
    landmarks = [_landmark(row, f"{path}, {where}") for where, row in rows]
    if not landmarks:
        raise RecordingError(f"{path}: no landmarks; {_EXPECTED}")
    return landmarks


def _csv_rows(path: Path, text: str) -> list[tuple[str, Mapping[str, Any]]]:
    delimiter = ";" if ";" in text and "," not in text else ","
    lines = csv.reader(text.splitlines(), delimiter=delimiter)
    rows = [(lines.line_num, [cell.strip() for cell in row]) for row in lines]
    rows = [(number, row) for number, row in rows if any(row) and not row[0].startswith("#")]
    if not rows:
        return []
    first = rows[0][1]
    if any(_is_number(cell) for cell in first[1:]):
        names = ["time" if _is_number(first[0]) else "event", "x", "y", "z"]
    else:
        names, rows = [cell.lower() for cell in first], rows[1:]
        if not {"x", "y"} <= set(names) or not {"time", "event"} & set(names):
            raise RecordingError(f"{path}: columns {', '.join(names)}; {_EXPECTED}")
    return [(f"line {number}", dict(zip(names, row, strict=False))) for number, row in rows]


def _yaml_rows(path: Path, text: str) -> list[tuple[str, Mapping[str, Any]]]:
    import yaml

    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as err:
        raise RecordingError(f"{path}: not YAML: {' '.join(str(err).split())}") from err
    entries = content.get("landmarks") if isinstance(content, Mapping) else content
    if not isinstance(entries, Sequence) or not all(isinstance(entry, Mapping) for entry in entries):
        raise RecordingError(f"{path}: expected a list of {{time or event, x, y}}, bare or under 'landmarks'")
    return [(f"entry {number}", entry) for number, entry in enumerate(entries, 1)]


def _landmark(row: Mapping[str, Any], where: str) -> Landmark:
    x, y = (_metres(row, axis, where) for axis in "xy")
    z = _metres(row, "z", where) if row.get("z") not in (None, "") else 0.0
    time, event = _text(row, "time"), _text(row, "event")
    if bool(time) == bool(event):
        raise RecordingError(f"{where}: {'both a time and an event' if time else 'neither time nor event'}; give one")
    if not time:
        return Landmark(where, x, y, z, event=event)
    try:
        seconds = Decimal(time)
    except InvalidOperation:
        seconds = Decimal("NaN")
    # Also refuses NaN, which compares unequal to everything.
    if not (seconds.is_finite() and 0 <= seconds < _MAX_SECONDS):
        raise RecordingError(f"{where}: time is {time!r}, expected seconds since 1970 or since the start of the bag")
    return Landmark(where, x, y, z, time=seconds)


def _text(row: Mapping[str, Any], name: str) -> str:
    value = row.get(name)
    return "" if value is None else str(value).strip()


def _metres(row: Mapping[str, Any], name: str, where: str) -> float:
    text = _text(row, name)
    if not _is_number(text):
        raise RecordingError(f"{where}: {name} is {text!r}, expected metres")
    return float(text)


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def resolve_landmarks(
    landmarks: Sequence[Landmark], events: Mapping[str, Sequence[int]] | None, start_ns: int | None
) -> list[ReferencePose]:
    """Give every landmark its moments.

    events: name -> stamps, ns; a name that occurred several times was passed several times.
    start_ns: start of the bag where times count from it, None where they count from 1970.

    Raises:
        RecordingError: an event is unknown, or one name stands for two places.
    """
    places: dict[str, Landmark] = {}
    poses = []
    for mark in landmarks:
        if mark.time is not None:
            poses.append(_pose((start_ns or 0) + int(mark.time * 10**9), mark))
            continue
        if events is None:
            raise RecordingError(f"{mark.where}: event {mark.event!r}, but no topic of events; name it by --events")
        if mark.event not in events:
            heard = ", ".join(sorted(events)) or "none"
            raise RecordingError(f"{mark.where}: event {mark.event!r} is not in the bag; events there: {heard}")
        earlier = places.setdefault(mark.event, mark)
        if earlier is not mark:
            raise RecordingError(f"{mark.where}: event {mark.event!r} has a place already ({earlier.where}); keep one")
        poses += [_pose(t_ns, mark) for t_ns in events[mark.event]]
    return poses


def _pose(t_ns: int, mark: Landmark) -> ReferencePose:
    return ReferencePose(t_ns, mark.x, mark.y, mark.z)
