"""IPIN 2023 competition, track 3: GetSensorData text logs of two phones in a museum.

Every row has the app's time (when the app read it) and most have the sensor's own time (when it was measured).
The reference marks carry app time. A sensor row reaches the app some milliseconds late, never early, so the
1st percentile of (app - sensor) over a log is the offset between the clocks plus the least delay;
sensor time plus that offset keeps the even sampling and is right to a few milliseconds.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np

from mail_localization.data.recording import RecordingInfo
from mail_localization.data.sources import common, sensors
from mail_localization.data.sources.common import LatLon, Problems, Source, Stream, Trace
from mail_localization.data.sources.sensors import WifiRow
from mail_localization.types import FloatArray, Sample

ORIGIN: LatLon = (49.4609, 11.1104)
"""South-west of all marks: one frame for every log of the museum."""
_COLUMNS = {"MAGN": (1, 2, 3, 4, 5), "ACCE": (1, 2, 3, 4, 5), "GYRO": (1, 2, 3, 4, 5), "AHRS": (1, 2, 6, 7, 8)}
"""Line type -> app time, sensor time, three values (of AHRS the quaternion's x, y, z)."""
_FIELDS = {"MAGN": 7, "ACCE": 7, "GYRO": 7, "AHRS": 10, "POSI": 7, "WIFI": 7}
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_DATE = re.compile(r"% Date of creation:\s*\w+ (\w{3}) (\d+) (\d+):(\d+):(\d+) \S*?([+-]\d\d):(\d\d) (\d{4})")


def find(folder: Path) -> list[Path]:
    """Return the logs under a folder."""
    return common.trace_files(folder, "*.txt")


def name(path: Path) -> str:
    """Return the log's own name."""
    return path.stem


def read(path: Path, origin: LatLon | None = None) -> Trace:
    """Read one log; `origin` replaces the museum's for logs of another building."""
    problems = Problems()
    rows: dict[str, list[list[str]]] = defaultdict(list)
    lines = common.read_lines(path, problems)
    header = [line for line in lines if line.startswith("%")]
    for line in lines:
        fields = line.split(";")
        wanted = _FIELDS.get(fields[0])
        if wanted == len(fields):
            rows[fields[0]].append(fields)
        elif wanted is not None:
            problems[f"{fields[0]}: wrong number of fields"] += 1
        elif line.strip() and not line.startswith("%") and not re.match(r"[A-Z0-9]{4};", line):
            problems["damaged line"] += 1
    return _trace(path, header, rows, origin or ORIGIN, problems)


def _trace(
    path: Path, header: list[str], rows: dict[str, list[list[str]]], origin: LatLon, problems: Problems
) -> Trace:
    start_ns = _creation_ns(header, problems)
    streams, offsets = {}, []
    for kind in _COLUMNS:
        streams[kind], offset = _stream(kind, rows[kind], start_ns, problems)
        offsets += [] if offset is None else [offset]
    orientation = sensors.rotation_vector_stream(streams["AHRS"], problems)
    samples: list[Sample] = [
        *sensors.magnetic_samples(streams["MAGN"], problems),
        *sensors.imu_samples(streams["ACCE"], streams["GYRO"], orientation, problems),
        *sensors.wifi_scans(_wifi_rows(rows["WIFI"], start_ns, min(offsets, default=None), problems), problems),
    ]
    samples = common.usable_samples(path, samples, problems, "lines of 'MAGN;app s;sensor s;x;y;z;accuracy'")
    marks = common.numbers([[f[1], f[3], f[4], f[5], f[6]] for f in rows["POSI"]], 5, problems, "POSI")
    places = common.stream(marks[:, 0], marks[:, 1:], problems, "POSI", start_ns)
    metres = Stream(places.t_ns, sensors.local_east_north(places.values[:, :2], origin))
    references = sensors.reference_poses(metres, samples, problems)
    return Trace(samples, references, _info(header, places.values[:, 2:], origin, problems), problems)


def _stream(kind: str, rows: list[list[str]], start_ns: int, problems: Problems) -> tuple[Stream, float | None]:
    columns = _COLUMNS[kind]
    table = common.numbers([[fields[i] for i in columns] for fields in rows], 5, problems, kind)
    if not len(table):
        return Stream(np.empty(0, dtype=np.int64), np.empty((0, 3))), None
    seconds, offset = to_app_clock(table[:, 0], table[:, 1], problems, kind)
    return common.stream(seconds, table[:, 2:], problems, kind, start_ns), offset


def to_app_clock(app: FloatArray, sensor: FloatArray, problems: Problems, what: str) -> tuple[FloatArray, float | None]:
    """Map (n,) sensor times to the app's clock, s; where the sensor clock is unusable, the app time stands."""
    delay = app - sensor
    astray = np.abs(delay - np.median(delay)) > 1.0
    if astray.mean() > 0.05:
        problems[f"{what}: sensor clock jumps, app time used"] += 1
        return app, None
    problems[f"{what}: sensor time off by more than 1 s, app time used"] += int(astray.sum())
    sound = delay[~astray]
    offset = float(np.percentile(sound, 1))
    halves = np.array_split(sound, 2) if len(sound) > 200 else [sound, sound]
    if abs(float(np.percentile(halves[1], 1) - np.percentile(halves[0], 1))) > 0.05:
        problems[f"{what}: sensor clock drifts by more than 50 ms"] += 1
    return np.where(astray, app, sensor + offset), offset


def _wifi_rows(rows: list[list[str]], start_ns: int, offset: float | None, problems: Problems) -> list[WifiRow]:
    """Read app time, sensor time, ssid, bssid, frequency, level; without a sensor clock the age is unknown: 0."""
    found = []
    for fields in rows:
        app, sensor = common.to_floats(fields[1:3])
        _, _, _, ssid, bssid, frequency, rssi = fields
        row = None
        if 0 <= app < 1e6 and abs(sensor) < 1e9:
            scan_ns, seen_ns = _ns(app, start_ns), _ns(app if offset is None else sensor + offset, start_ns)
            row = sensors.wifi_row(scan_ns, seen_ns, bssid=bssid, ssid=ssid, rssi=rssi, frequency=frequency)
        if row is None:
            problems["WIFI: damaged line"] += 1
        else:
            found.append(row)
    return found


def _ns(seconds: float, start_ns: int) -> int:
    return start_ns + round(seconds * 1e6) * 1000


def _creation_ns(header: Sequence[str], problems: Problems) -> int:
    """Return when the app's clock was at zero, from the line 'Date of creation'."""
    match = next(filter(None, map(_DATE.match, header)), None)
    try:
        month, day, hour, minute, second, hours, minutes, year = match.groups() if match else ()
        zone = timezone(timedelta(hours=int(hours), minutes=int(hours[0] + minutes)))
        clock = (int(hour), int(minute), int(second))
        moment = datetime(int(year), _MONTHS.index(month) + 1, int(day), *clock, tzinfo=zone)
    except ValueError:
        problems["no date of creation: times count from 1970"] += 1
        return 0
    return int(moment.timestamp()) * 1_000_000_000


def _info(header: Sequence[str], floors: FloatArray, origin: LatLon, problems: Problems) -> RecordingInfo:
    """Collect device, floor and building; `floors` is (n, 2) floor and building numbers of the marks."""
    entries = dict(line[2:].split(":", 1) for line in header if ":" in line)
    device = " ".join(entries.get(key, "").strip() for key in ("Manufacturer", "Model")).strip()
    numbers, counts = np.unique(floors[:, 0], return_counts=True)
    if len(numbers) > 1:
        problems["marks on several floors: the most frequent is kept as floor"] += 1
    floor = f"{numbers[counts.argmax()]:g}" if len(numbers) else ""
    site = f"building {floors[0, 1]:g}" if len(floors) else ""
    return RecordingInfo(device, floor, site, "ipin2023-track3", origin)


SOURCE = Source("IPIN 2023 track 3", find, name, read, geographic=True)
