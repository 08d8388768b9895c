"""Aalto: a wheeled robot in a Vicon room of about 6 x 4.6 m; N-time.csv (s), N-mag.csv (microtesla), N-loc.csv (m).

The orientation has been taken out of the field already: it is in the room's frame, which becomes `map`.
There is no IMU and no odometry. The dataset speaks of centimetres, but the numbers span the room in metres.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mail_localization.data.recording import RecordingInfo
from mail_localization.data.sources import common, sensors
from mail_localization.data.sources.common import LatLon, Problems, Source, Stream, Trace
from mail_localization.errors import RecordingError
from mail_localization.types import FloatArray

_ROOM = 6.0
"""Longer side of the room, m."""
_NOTES = (
    "the field is already turned into the room's frame: the sensor's orientation is not in the data",
    "no IMU and no odometry; positions are metres (the dataset's text says centimetres, the values span 5 x 4)",
)


def find(folder: Path) -> list[Path]:
    """Return the N-mag.csv files under a folder."""
    return common.trace_files(folder, "*-mag.csv")


def name(path: Path) -> str:
    """Return SENSOR/trial_N."""
    return f"{path.parent.name}/trial_{_trial(path)}"


def _trial(path: Path) -> str:
    return path.stem.rsplit("-", 1)[0]


def read(path: Path, origin: LatLon | None = None) -> Trace:
    """Read one trial, given any of its three files."""
    problems = Problems()
    trial = _trial(path)
    time, mag, loc = (_table(path.with_name(f"{trial}-{part}.csv"), n, problems) for part, n in _PARTS.items())
    count = min(len(time), len(mag), len(loc))
    if max(len(time), len(mag), len(loc)) > count:
        problems["files of different length: surplus rows left out"] += max(len(time), len(mag), len(loc)) - count
    loc = _in_metres(loc[:count], problems)
    good = common.sound(np.hstack([time[:count], mag[:count], loc]))
    every = common.stream(time[:count][good, 0], np.hstack([mag[:count], loc])[good], problems, "row")
    fields = sensors.magnetic_samples(Stream(every.t_ns, every.values[:, :3]), problems)
    samples = common.usable_samples(path, fields, problems, "N-time.csv, N-mag.csv and N-loc.csv with as many rows")
    references = sensors.reference_poses(Stream(every.t_ns, every.values[:, 3:]), samples, problems)
    extra = {"time": "counts from the start of the log", "magnetic_frame": "map"}
    info = RecordingInfo(path.parent.name, "", "Aalto Vicon room", "aalto-magnetic", extra=extra)
    return Trace(samples, references, info, problems, _NOTES)


_PARTS = {"time": 1, "mag": 3, "loc": 2}
"""Part of a trial -> number of columns."""


def _table(path: Path, columns: int, problems: Problems) -> FloatArray:
    """Read (n, columns), NaN for damaged rows so that the three files stay beside each other."""
    try:
        lines = common.read_lines(path, problems)
    except RecordingError:
        problems[f"missing file: {path.name}"] += 1
        return np.empty((0, columns))
    rows = [line.split(",") for line in lines]
    table = [common.to_floats(row) if len(row) == columns else [np.nan] * columns for row in rows]
    values = np.array(table).reshape(-1, columns)
    problems[f"{path.stem.rsplit('-', 1)[-1]}: damaged row"] += int((~common.sound(values)).sum())
    return values


def _in_metres(loc: FloatArray, problems: Problems) -> FloatArray:
    """Divide by 100 where the positions can only be centimetres: they span more than three rooms."""
    known = loc[common.sound(loc)]
    # Percentiles: a few damaged rows must not decide the unit of all.
    low, high = np.percentile(known, [5, 95], axis=0) if len(known) else (np.zeros(2), np.zeros(2))
    if (high - low).max() <= 3 * _ROOM:
        return loc
    problems["positions in centimetres, converted to metres"] += 1
    return loc / 100


SOURCE = Source("Aalto magnetic", find, name, read)
