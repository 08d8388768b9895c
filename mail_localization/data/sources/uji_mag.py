"""UJIIndoorLoc-Mag: one phone in a lab of 15 x 17 m, rows every 0.1 s, corners of the path at the end.

Rows: ms since 1970, magnetic field xyz (microtesla), linear acceleration xyz (gravity taken out), azimuth, pitch, roll
(degrees, Android's getOrientation: world = Rz(-azimuth) Rx(-pitch) Ry(roll) device; rotating the field so gives
about 22 north and -26 up over all files, any other sign scatters it).
Then `<n>` and n lines: latitude, longitude of two corners and the first and last row between them.

- The app sampled the sensors' last values: a value is a reading only when it changes. Those before the first change
  date from before the log (often from the previous path) and are left out.
- Specific force = linear acceleration + gravity turned into the phone by its orientation.
- There is no gyroscope: the angular velocity is the mean turn between two orientations (0.2 s).
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from mail_localization.data.recording import RecordingInfo
from mail_localization.data.sources import common, sensors
from mail_localization.data.sources.common import LatLon, Problems, Source, Stream, Trace
from mail_localization.types import FloatArray, ImuSample, Sample

ORIGIN: LatLon = (39.9938, -0.0740)
"""South-west of all corners."""
_BRIDGE_NS = 500_000_000
"""Longest time to the nearest change of the orientation: a phone held still changes less often than at 5 Hz."""
_FOOTER = re.compile(r"^(?P<glued>.*)<(\d+)>\s*$")
_NOTES = (
    "repeated sensor values are not measurements and are written once (magnetometer and orientation change at 5 Hz)",
    "no gyroscope: angular velocity is derived from the orientation; specific force is linear acceleration plus "
    "gravity turned by the orientation",
)


def find(folder: Path) -> list[Path]:
    """Return the trace files under a folder."""
    return common.trace_files(folder, "*.txt")


def name(path: Path) -> str:
    """Return lines|curves/CORRIDOR/PATH where the file lies in the dataset's folders, else PATH."""
    in_place = len(path.parts) > 2 and path.parts[-3] in ("lines", "curves")
    return "/".join((*path.parts[-3:-1], path.stem)) if in_place else path.stem


def read(path: Path, origin: LatLon | None = None) -> Trace:
    """Read one path; row numbers of corners count every line before `<n>`, damaged ones too."""
    problems = Problems()
    lines = common.read_lines(path, problems, terminated=False)
    cut = next((i for i, line in enumerate(lines) if _FOOTER.match(line)), len(lines))
    table = _row_table(lines[:cut], problems)
    good = common.sound(table)
    every = common.stream(table[good, 0] * 1e-3, table[good, 1:], problems, "row")
    samples: list[Sample] = [
        *sensors.magnetic_samples(_changes(every, slice(0, 3)), problems),
        *_imu_samples(every, problems),
    ]
    samples = common.usable_samples(path, samples, problems, "rows of 'ms mag xyz linear acc xyz azimuth pitch roll'")
    corners = _corners(lines[cut:], table[:, 0], problems)
    metres = Stream(corners.t_ns, sensors.local_east_north(corners.values, origin or ORIGIN))
    references = sensors.reference_poses(metres, samples, problems)
    extra = {"angular_velocity": "derived from orientation", "acceleration": "gravity added back by orientation"}
    info = RecordingInfo(site="UJI lab", source="uji-mag", origin_lat_lon=origin or ORIGIN, extra=extra)
    return Trace(samples, references, info, problems, _NOTES)


def _row_table(lines: list[str], problems: Problems) -> FloatArray:
    """Convert lines to (n, 10), NaN for damaged ones so that row numbers stay right."""
    rows = [line.split() for line in lines]
    problems["row: wrong number of fields"] += sum(len(row) != 10 for row in rows)
    table = np.array([common.to_floats(row) if len(row) == 10 else [np.nan] * 10 for row in rows]).reshape(-1, 10)
    problems["row: unreadable number"] += sum(len(r) == 10 for r in rows) - int(common.sound(table).sum())
    return table


def _changes(every: Stream, columns: slice) -> Stream:
    """Return the rows at which a value changed."""
    values = every.values[:, columns]
    changed = np.concatenate(([False], (np.diff(values, axis=0) != 0).any(axis=1)))[: len(every)]
    return Stream(every.t_ns[changed], values[changed])


def _imu_samples(every: Stream, problems: Problems) -> list[ImuSample]:
    turns, linear = _changes(every, slice(6, 9)), _changes(every, slice(3, 6))
    if len(turns) < 2:
        problems["missing sensor: orientation"] += 1
        return []
    angles = Stream(turns.t_ns, quaternions_of_android(turns.values))
    rates = Stream(turns.t_ns, _rates(angles))
    linear = linear[linear.t_ns >= turns.t_ns[0]]
    force = linear.values + gravity_in_device(sensors.interpolate_quaternions(linear.t_ns, angles))
    held = np.searchsorted(turns.t_ns, linear.t_ns, side="right") - 1
    gyro = Stream(linear.t_ns, rates.values[held])
    return sensors.imu_samples(Stream(linear.t_ns, force), gyro, angles, problems, _BRIDGE_NS)


def quaternions_of_android(degrees: FloatArray) -> FloatArray:
    """Convert azimuth, pitch, roll (n, 3) of getOrientation to world_T_device quaternions (n, 4), x, y, z, w."""
    half = np.radians(degrees) / 2 * (-1.0, -1.0, 1.0)
    sine, cosine, zero = np.sin(half), np.cos(half), np.zeros(len(half))
    about_z = np.column_stack([zero, zero, sine[:, 0], cosine[:, 0]])
    about_x = np.column_stack([sine[:, 1], zero, zero, cosine[:, 1]])
    about_y = np.column_stack([zero, sine[:, 2], zero, cosine[:, 2]])
    return _product(_product(about_z, about_x), about_y)


def gravity_in_device(q: FloatArray) -> FloatArray:
    """Turn the specific force at rest, g upwards, into the device: world_T_device (n, 4) -> (n, 3), m/s^2."""
    x, y, z, w = q.T
    up = np.column_stack([2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)])
    return sensors.GRAVITY * up


def _rates(angles: Stream) -> FloatArray:
    """Return the angular velocity in the device from each orientation to the next, (n, 3), rad/s; the last is held."""
    inverse = angles.values[:-1] * (-1.0, -1.0, -1.0, 1.0)
    turn = _product(inverse, angles.values[1:])
    turn *= np.where(turn[:, 3:] < 0, -1.0, 1.0)
    sine = np.linalg.norm(turn[:, :3], axis=1)
    angle = 2 * np.arctan2(sine, turn[:, 3])
    scale = np.divide(angle, sine, out=np.full_like(sine, 2.0), where=sine > 1e-9)
    rates = turn[:, :3] * (scale / (np.diff(angles.t_ns) * 1e-9))[:, None]
    return np.concatenate([rates, rates[-1:]])


def _product(a: FloatArray, b: FloatArray) -> FloatArray:
    """Multiply quaternions (n, 4) x, y, z, w."""
    av, aw, bv, bw = a[:, :3], a[:, 3:], b[:, :3], b[:, 3:]
    return np.hstack([aw * bv + bw * av + np.cross(av, bv), aw * bw - (av * bv).sum(axis=1, keepdims=True)])


def _corners(lines: list[str], times_ms: FloatArray, problems: Problems) -> Stream:
    """Read latitude and longitude at the rows of the corners, (n, 2)."""
    declared = int(_FOOTER.match(lines[0])[2]) if lines else 0  # type: ignore[index]
    found: dict[int, tuple[float, float]] = {}
    legs = [line.split() for line in lines[1:] if line.strip()]
    for fields in legs:
        values = common.to_floats(fields)
        rows = (int(values[4]), min(int(values[5]), len(times_ms) - 1)) if _is_leg(values, len(times_ms)) else None
        if rows is None or not np.isfinite(times_ms[list(rows)]).all():
            problems["corner line: damaged"] += 1
            continue
        # A leg begins one row after the last one ended, at the same corner: its first row counts only once.
        if not any(abs(rows[0] - row) <= 1 for row in found):
            found[rows[0]] = (values[0], values[1])
        found[rows[1]] = (values[2], values[3])
    if len(legs) < max(declared, 1):
        problems["corner lines missing: file truncated"] += 1
    order = sorted(found)
    places = np.array([found[row] for row in order]).reshape(-1, 2)
    return common.stream(times_ms[order] * 1e-3, places, problems, "corner")


def _is_leg(values: list[float], rows: int) -> bool:
    if len(values) != 6 or not np.isfinite(values).all():
        return False
    first, last = values[4:]
    return 0 <= first < last <= rows + 1 and abs(values[0]) <= 90 and abs(values[2]) <= 90


SOURCE = Source("UJIIndoorLoc-Mag", find, name, read, geographic=True)
