"""From rows of numbers to samples: plausible units, merging, rotation, Wi-Fi ages, the local frame."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from mail_localization.data.reference import TimeArray
from mail_localization.data.sources.common import LatLon, Problems, Stream, in_time_order
from mail_localization.types import (
    FloatArray,
    ImuSample,
    MagneticSample,
    ReferencePose,
    Sample,
    WifiReading,
    WifiScan,
)

GRAVITY = 9.80665
_MAX_REFERENCE_DISTANCE = 10_000.0
_MAX_SPEED = 5.0
_BSSID = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")


def magnetic_samples(field: Stream, problems: Problems) -> list[MagneticSample]:
    """Convert microtesla to tesla; a file already in tesla is recognised, any other unit is left out."""
    strength = np.linalg.norm(field.values, axis=1)
    if not (strength > 0).any():
        problems["missing sensor: magnetometer"] += 1
        return []
    median = float(np.median(strength[strength > 0]))
    scale = 1e-6
    if 5e-6 <= median <= 1e-3:
        problems["magnetometer already in tesla, not microtesla"] += 1
        scale = 1.0
    elif not 5 <= median <= 1000:
        problems[f"magnetometer left out: median |B| {median:.3g} is neither microtesla nor tesla"] += 1
        return []
    elif median > 350:
        problems[f"median |B| {median:.0f} microtesla: strong bias, or another unit"] += 1
    # Rows in another unit than the rest, and the zeros of a sensor that has not started.
    plausible = (strength * scale > 1e-6) & (strength * scale < 5e-3)
    problems["magnetometer: |B| outside 1 to 5000 microtesla"] += int((~plausible).sum())
    if median * scale < 100e-6:
        problems["magnetometer: |B| above 500 microtesla, kept"] += int((plausible & (strength * scale > 5e-4)).sum())
    rows = field[plausible]
    vectors = (rows.values * scale).tolist()
    return [MagneticSample(t, (x, y, z)) for t, (x, y, z) in zip(rows.t_ns.tolist(), vectors, strict=True)]


def imu_samples(
    acc: Stream, gyro: Stream, orientation: Stream | None, problems: Problems, bridge_ns: int = 100_000_000
) -> list[ImuSample]:
    """Merge sensors at the accelerometer's stamps, interpolating the others where one has a row within `bridge_ns`.

    acc: specific force, m/s^2 (n, 3). gyro: rad/s (m, 3). orientation: world_T_sensor x, y, z, w (k, 4).
    """
    acc, gyro = _plausible_acceleration(acc, problems), _plausible_rate(gyro, problems)
    missing = [name for name, s in (("accelerometer", acc), ("gyroscope", gyro)) if not len(s)]
    problems.update(f"missing sensor: {name}" for name in missing)
    if missing:
        return []
    near = _distance_ns(acc.t_ns, gyro.t_ns) <= bridge_ns
    problems["accelerometer without gyroscope beside it"] += int((~near).sum())
    acc = acc[near]
    rates = interpolate(acc.t_ns, gyro)
    attitudes: list[tuple[float, float, float, float] | None] = [None] * len(acc)
    if orientation is not None and len(orientation):
        known = _distance_ns(acc.t_ns, orientation.t_ns) <= bridge_ns
        problems["accelerometer without orientation beside it"] += int((~known).sum())
        turned = interpolate_quaternions(acc.t_ns, orientation).tolist()
        attitudes = [(q[0], q[1], q[2], q[3]) if k else None for q, k in zip(turned, known.tolist(), strict=True)]
    elif orientation is not None:
        problems["missing sensor: orientation"] += 1
    rows = zip(acc.t_ns.tolist(), acc.values.tolist(), rates.tolist(), attitudes, strict=True)
    return [ImuSample(t, (a[0], a[1], a[2]), (w[0], w[1], w[2]), q) for t, a, w, q in rows]


def _plausible_acceleration(acc: Stream, problems: Problems) -> Stream:
    median = float(np.median(np.linalg.norm(acc.values, axis=1))) if len(acc) else GRAVITY
    if 5 <= median <= 15:
        return acc
    if 0.7 <= median <= 1.3:
        problems["accelerometer in g, converted to m/s^2"] += 1
        return Stream(acc.t_ns, acc.values * GRAVITY)
    problems[f"accelerometer left out: median {median:.3g} is neither m/s^2 nor g"] += 1
    return acc[np.zeros(len(acc), dtype=bool)]


def _plausible_rate(gyro: Stream, problems: Problems) -> Stream:
    p95 = float(np.percentile(np.linalg.norm(gyro.values, axis=1), 95)) if len(gyro) else 0.0
    if p95 <= 20:
        return gyro
    problems[f"gyroscope left out: 95th percentile {p95:.3g} is not rad/s"] += 1
    return gyro[np.zeros(len(gyro), dtype=bool)]


def _distance_ns(t_ns: TimeArray, others: TimeArray) -> TimeArray:
    """Return the distance in time from each stamp to the nearest of the others."""
    right = np.clip(np.searchsorted(others, t_ns), 0, len(others) - 1)
    left = np.maximum(right - 1, 0)
    distance: TimeArray = np.minimum(np.abs(others[right] - t_ns), np.abs(others[left] - t_ns))
    return distance


def interpolate(t_ns: TimeArray, rows: Stream) -> FloatArray:
    """Interpolate each column linearly at (n,) stamps -> (n, c); the ends are held."""
    start = rows.t_ns[0]
    x, xp = (t_ns - start) * 1e-9, (rows.t_ns - start) * 1e-9
    return np.stack([np.interp(x, xp, column) for column in rows.values.T], axis=1)


def interpolate_quaternions(t_ns: TimeArray, rows: Stream) -> FloatArray:
    """Interpolate unit quaternions (k, 4) at (n,) stamps -> (n, 4), along the shorter arc."""
    turns = (rows.values[1:] * rows.values[:-1]).sum(axis=1) < 0
    signs = np.concatenate(([1.0], np.cumprod(np.where(turns, -1.0, 1.0))))
    mixed = interpolate(t_ns, Stream(rows.t_ns, rows.values * signs[:, None]))
    unit: FloatArray = mixed / np.linalg.norm(mixed, axis=1, keepdims=True)
    return unit


def rotation_vector_stream(rows: Stream, problems: Problems) -> Stream:
    """Complete Android rotation vectors (n, 3) to quaternions (n, 4) with w = sqrt(1 - |v|^2) >= 0."""
    squared = (rows.values**2).sum(axis=1)
    valid = squared < 1.01
    problems["orientation: rotation vector longer than 1"] += int((~valid).sum())
    w = np.sqrt(np.clip(1 - squared[valid], 0, None))
    quaternions = np.column_stack([rows.values[valid], w])
    return Stream(rows.t_ns[valid], quaternions / np.linalg.norm(quaternions, axis=1, keepdims=True))


@dataclass(frozen=True)
class WifiRow:
    """One access point of one scan, as found in a file."""

    scan_ns: int
    seen_ns: int
    reading: WifiReading


def wifi_row(scan_ns: int, seen_ns: int, *, bssid: str, ssid: str, rssi: str, frequency: str) -> WifiRow | None:
    """Check one result; None where address, level or frequency cannot be."""
    address = bssid.strip().lower()
    try:
        level, mhz = float(rssi), int(frequency)
    except ValueError:
        return None
    if not _BSSID.fullmatch(address) or not -127 <= level < 0 or not 0 <= mhz < 100_000:
        return None
    return WifiRow(scan_ns, seen_ns, WifiReading(address, level, 0.0, ssid, mhz))


def wifi_scans(rows: Iterable[WifiRow], problems: Problems) -> list[WifiScan]:
    """Group results into scans by the scan's stamp; the age is the time since the access point was last seen."""
    groups: dict[int, list[WifiReading]] = {}
    for row in rows:
        age = (row.scan_ns - row.seen_ns) * 1e-9
        if age < -0.1:
            problems["Wi-Fi result seen after its scan"] += 1
        seen = row.reading
        reading = WifiReading(seen.bssid, seen.rssi_dbm, round(max(age, 0.0), 6), seen.ssid, seen.frequency_mhz)
        groups.setdefault(row.scan_ns, []).append(reading)
    stamps = np.array(list(groups), dtype=np.int64)
    kept = in_time_order(Stream(stamps, np.empty((len(stamps), 0))), problems, "Wi-Fi scan")
    if not len(kept):
        problems["missing sensor: Wi-Fi"] += 1
    return [WifiScan(t, tuple(groups[t])) for t in kept.t_ns.tolist()]


def local_east_north(lat_lon: FloatArray, origin: LatLon) -> FloatArray:
    """Convert (n, 2) degrees to metres east and north of the origin (WGS84 radii there; millimetres within 1 km)."""
    a, e2 = 6378137.0, 6.69437999014e-3
    latitude = math.radians(origin[0])
    w = 1 - e2 * math.sin(latitude) ** 2
    north = math.radians(1) * a * (1 - e2) / w**1.5
    east = math.radians(1) * a / math.sqrt(w) * math.cos(latitude)
    return np.column_stack([(lat_lon[:, 1] - origin[1]) * east, (lat_lon[:, 0] - origin[0]) * north])


def _without_leaps(positions: Stream, problems: Problems) -> Stream:
    """Leave out positions that nobody can have walked to and from; count the leaps that remain."""
    leaps = _speeds(positions) > _MAX_SPEED
    wild = np.zeros(len(positions), dtype=bool)
    wild[1:-1] = leaps[:-1] & leaps[1:]
    problems["reference faster than 5 m/s from and to its neighbours"] += int(wild.sum())
    kept = positions[~wild]
    problems["step between references faster than 5 m/s, kept"] += int((_speeds(kept) > _MAX_SPEED).sum())
    return kept


def _speeds(positions: Stream) -> FloatArray:
    steps = np.linalg.norm(np.diff(positions.values, axis=0), axis=1)
    speeds: FloatArray = steps / (np.diff(positions.t_ns) * 1e-9)
    return speeds


def reference_poses(positions: Stream, samples: Sequence[Sample], problems: Problems) -> list[ReferencePose]:
    """Build reference poses from (n, 2) metres, without those far away, leaping, or outside the time of the samples."""
    times = [sample.t_ns for sample in samples] or [0]
    slack = 5 * 10**9
    inside = (positions.t_ns >= min(times) - slack) & (positions.t_ns <= max(times) + slack)
    problems["reference outside the time of the sensors"] += int((~inside).sum())
    near = (np.abs(positions.values) < _MAX_REFERENCE_DISTANCE).all(axis=1)
    problems["reference more than 10 km from the origin (see --origin)"] += int((~near).sum())
    kept = _without_leaps(positions[inside & near], problems)
    if len(kept) < 2:
        problems["fewer than 2 reference positions"] += 1
    return [ReferencePose(t, x, y) for t, (x, y) in zip(kept.t_ns.tolist(), kept.values.tolist(), strict=True)]
