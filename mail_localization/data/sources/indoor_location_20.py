"""Microsoft Indoor Location Competition 2.0: one phone model in malls, tab-separated text, milliseconds since 1970.

Waypoints are metres in the floor's own frame (x right, y up on the floor plan), which becomes `map`.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from pathlib import Path

import numpy as np

from mail_localization.data.recording import RecordingInfo
from mail_localization.data.sources import common, sensors
from mail_localization.data.sources.common import LatLon, Problems, Source, Stream, Trace
from mail_localization.data.sources.sensors import WifiRow
from mail_localization.types import Sample

_VALUES = {
    "TYPE_ACCELEROMETER": (6, 3),
    "TYPE_GYROSCOPE": (6, 3),
    "TYPE_MAGNETIC_FIELD": (6, 3),
    "TYPE_ROTATION_VECTOR": (6, 3),
    "TYPE_WAYPOINT": (4, 2),
}
"""Record type -> number of fields, number of values after time and type."""
_RECORD = re.compile(r"(?=\d{13}\tTYPE_)")
_HEADER = re.compile(r"(\w+):([^\t\r\n]*)")


def find(folder: Path) -> list[Path]:
    """Return the trace files under a site, a floor or the whole dataset."""
    return common.trace_files(folder, "*.txt")


def name(path: Path) -> str:
    """Return SITE/FLOOR/ID where the file lies in the dataset's folders, else ID."""
    in_place = path.parent.name == "path_data_files" and len(path.parts) >= 4
    return "/".join((*path.parts[-4:-2], path.stem)) if in_place else path.stem


def read(path: Path, origin: LatLon | None = None) -> Trace:
    """Read one trace."""
    problems = Problems()
    rows: dict[str, list[list[str]]] = defaultdict(list)
    wifi: list[WifiRow] = []
    header: dict[str, str] = {}
    for record in _records(common.read_lines(path, problems), problems):
        if record.startswith("#"):
            header.update(_HEADER.findall(record))
            continue
        fields = record.split("\t")
        kind = fields[1] if len(fields) > 1 else ""
        if kind in _VALUES:
            count, values = _VALUES[kind]
            if len(fields) == count:
                rows[kind].append([fields[0], *fields[2 : 2 + values]])
            else:
                problems[f"{kind}: wrong number of fields"] += 1
        elif kind == "TYPE_WIFI":
            row = _wifi_row(fields)
            if row is None:
                problems["TYPE_WIFI: damaged line"] += 1
            else:
                wifi.append(row)
        elif not kind.startswith("TYPE_"):
            problems["damaged line"] += 1
    streams = {kind: _stream(kind, rows[kind], problems) for kind in _VALUES}
    return _trace(path, streams, wifi, header, problems)


def _trace(
    path: Path, streams: dict[str, Stream], wifi: list[WifiRow], header: dict[str, str], problems: Problems
) -> Trace:
    orientation = sensors.rotation_vector_stream(streams["TYPE_ROTATION_VECTOR"], problems)
    samples: list[Sample] = [
        *sensors.magnetic_samples(streams["TYPE_MAGNETIC_FIELD"], problems),
        *sensors.imu_samples(streams["TYPE_ACCELEROMETER"], streams["TYPE_GYROSCOPE"], orientation, problems),
        *sensors.wifi_scans(wifi, problems),
    ]
    samples = common.usable_samples(path, samples, problems, "lines of 'ms<TAB>TYPE_MAGNETIC_FIELD<TAB>x<TAB>y<TAB>z'")
    references = sensors.reference_poses(streams["TYPE_WAYPOINT"], samples, problems)
    return Trace(samples, references, _info(path, header), problems)


def _records(lines: list[str], problems: Problems) -> list[str]:
    """Split lines in which a newline was lost between two records."""
    records: list[str] = []
    for line in lines:
        if line.count("\tTYPE_") <= 1:
            records.append(line)
            continue
        problems["two records in one line, split"] += 1
        records.extend(part for part in _RECORD.split(line) if part)
    return [record for record in records if record.strip()]


def _stream(kind: str, rows: list[list[str]], problems: Problems) -> Stream:
    table = common.numbers(rows, 1 + _VALUES[kind][1], problems, kind)
    return common.stream(table[:, 0] * 1e-3, table[:, 1:], problems, kind)


def _wifi_row(fields: list[str]) -> WifiRow | None:
    """Read time, type, ssid, bssid, level, frequency, last seen."""
    if len(fields) != 7 or not (fields[0].isdecimal() and fields[6].isdecimal()) or len(fields[0]) != 13:
        return None
    scan_ns, seen_ns = int(fields[0]) * 1_000_000, int(fields[6]) * 1_000_000
    _, _, ssid, bssid, rssi, frequency, _ = fields
    return sensors.wifi_row(scan_ns, seen_ns, bssid=bssid, ssid=ssid, rssi=rssi, frequency=frequency)


def _info(path: Path, header: dict[str, str]) -> RecordingInfo:
    extra = {"site_id": header.get("SiteID", ""), "floor_id": header.get("FloorId", ""), **_floor_size(path)}
    device = " ".join(filter(None, (header.get("Brand"), header.get("Model"))))
    folders = name(path).split("/")
    site, floor = folders[:2] if len(folders) == 3 else ("", "")
    return RecordingInfo(
        device=device,
        floor=header.get("FloorName", "").strip() or floor,
        site=site or header.get("SiteName", ""),
        source="indoor-location-20",
        extra={key: value for key, value in extra.items() if value},
    )


def _floor_size(path: Path) -> dict[str, str]:
    """Return the extent of the floor plan in metres where floor_info.json lies beside the traces."""
    try:
        size = json.loads((path.parent.parent / "floor_info.json").read_text(encoding="utf-8"))["map_info"]
        return {f"floor_{side}": str(float(np.float64(size[side]))) for side in ("width", "height")}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


SOURCE = Source("Indoor Location Competition 2.0", find, name, read)
