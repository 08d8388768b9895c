"""Wi-Fi scans as JSON text in a std_msgs/String, the form CMU/IBM CaBot uses; no standard message exists.

`{"timestamp": s, "data": [{"mac", "rssi", "ssid", "frequency" (MHz) or "channel", "age" (s)}]}`;
only `mac` and `rssi` are required.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from mail_localization.errors import RecordingError
from mail_localization.types import WifiReading, WifiScan

_EXPECTED = 'expected {"timestamp": s, "data": [{"mac": "aa:bb:cc:dd:ee:ff", "rssi": dBm, ...}]}'


def scan_to_json(scan: WifiScan) -> str:
    """Encode a scan; the stamp keeps its nanoseconds, which a JSON float would round away."""
    seconds, nanoseconds = divmod(scan.t_ns, 1_000_000_000)
    data = json.dumps([_entry(reading) for reading in scan.readings])
    return f'{{"timestamp": {seconds}.{nanoseconds:09d}, "data": {data}}}'


def scan_from_json(text: str, t_ns: int) -> WifiScan:
    """Decode a scan, stamped `t_ns` where the text has no timestamp of its own; RecordingError on bad content."""
    try:
        content = json.loads(text, parse_float=Decimal, parse_constant=_refuse)
    except (ValueError, RecursionError) as err:
        raise RecordingError(f"Wi-Fi scan is not JSON ({err}): {text[:80]!r}; {_EXPECTED}") from err
    if not isinstance(content, Mapping) or not isinstance(content.get("data"), list):
        raise RecordingError(f"Wi-Fi scan has no list 'data': {text[:80]!r}; {_EXPECTED}")
    readings = tuple(_reading(entry) for entry in content["data"])
    return WifiScan(_stamp_ns(content.get("timestamp")) or t_ns, readings)


def channel_frequency(channel: int) -> int:
    """Return the centre of a 2.4 or 5 GHz channel, MHz; 0 where the channel is unknown (6 GHz repeats the numbers)."""
    if channel == 14:
        return 2484
    if 1 <= channel <= 13:
        return 2407 + 5 * channel
    return 5000 + 5 * channel if 32 <= channel <= 177 else 0


def _entry(reading: WifiReading) -> dict[str, Any]:
    entry: dict[str, Any] = {"mac": reading.bssid, "rssi": reading.rssi_dbm, "ssid": reading.ssid}
    if reading.frequency_mhz:
        entry["frequency"] = reading.frequency_mhz
    if reading.age:
        entry["age"] = reading.age
    return entry


def _reading(entry: Any) -> WifiReading:
    if not isinstance(entry, Mapping) or not isinstance(entry.get("mac"), str) or not entry["mac"].strip():
        raise RecordingError(f"Wi-Fi scan has an entry without 'mac': {entry!r}; {_EXPECTED}")
    rssi = _number(entry, "rssi")
    if rssi is None:
        raise RecordingError(f"Wi-Fi scan has an entry without 'rssi': {entry!r}; {_EXPECTED}")
    frequency = int(_number(entry, "frequency") or 0) or channel_frequency(int(_number(entry, "channel") or 0))
    age = _number(entry, "age") or 0.0
    return WifiReading(entry["mac"].strip().lower(), rssi, age, str(entry.get("ssid") or ""), frequency)


def _number(entry: Mapping[str, Any], name: str) -> float | None:
    value = entry.get(name)
    if value is None:
        return None
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise RecordingError(f"Wi-Fi scan: {name} of {entry.get('mac')!r} is {value!r}; expected a number")
    return number


def _stamp_ns(value: Any) -> int:
    if value is None:
        return 0
    usable = isinstance(value, (int, Decimal)) and not isinstance(value, bool) and 0 <= value < 2**63 / 1e9
    if not usable:
        raise RecordingError(f"Wi-Fi scan: timestamp is {value!r}; expected seconds since 1970")
    return int(Decimal(value) * 1_000_000_000)


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")
