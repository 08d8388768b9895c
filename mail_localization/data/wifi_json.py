"""Wi-Fi scans as JSON text in a std_msgs/String, the form CMU/IBM CaBot uses; no standard message exists.

`{"timestamp": s, "data": [{"mac", "rssi", "ssid", "frequency" (MHz) or "channel", "age" or "timestamp" (s)}]}`;
only `mac` and `rssi` are required. wifi_mapping reads it (preset `json`) as it reads every other message.
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from mail_localization.data.wifi_values import shown
from mail_localization.errors import RecordingError
from mail_localization.types import WifiReading, WifiScan

MAX_TEXT = 1 << 20
"""Longest text parsed, characters: a scan of 4000 access points is a third of it."""

EXPECTED = 'expected {"timestamp": s, "data": [{"mac": "aa:bb:cc:dd:ee:ff", "rssi": dBm, ...}]}'


def scan_to_json(scan: WifiScan) -> str:
    """Encode a scan; the stamp keeps its nanoseconds, which a JSON float would round away."""
    seconds, nanoseconds = divmod(scan.t_ns, 1_000_000_000)
    data = json.dumps([_entry(reading) for reading in scan.readings])
    return f'{{"timestamp": {seconds}.{nanoseconds:09d}, "data": {data}}}'


def parse_json(text: Any) -> Any:
    """Return the tree of a text, its fractions as Decimal; RecordingError where it is too long or no JSON."""
    if not isinstance(text, str) or len(text) > MAX_TEXT:
        raise RecordingError(f"JSON is {len(text) if isinstance(text, str) else shown(text)} characters of {MAX_TEXT}")
    try:
        return json.loads(text, parse_float=Decimal, parse_constant=_refuse)
    except (ValueError, ArithmeticError, RecursionError) as err:
        raise RecordingError(f"not JSON ({str(err)[:80]}): {shown(text)}; {EXPECTED}") from err


def _entry(reading: WifiReading) -> dict[str, Any]:
    entry: dict[str, Any] = {"mac": reading.bssid, "rssi": reading.rssi_dbm, "ssid": reading.ssid}
    if reading.frequency_mhz:
        entry["frequency"] = reading.frequency_mhz
    if reading.age:
        entry["age"] = reading.age
    return entry


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")
