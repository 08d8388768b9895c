"""Wi-Fi scans out of any message: which field holds what is told by settings or known by the type's name.

Works alike on messages of rclpy and of rosbags.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import statistics
from collections import Counter
from typing import Any, ClassVar

from mail_localization.data import wifi_values as values
from mail_localization.data.fields import FieldPath, field_names, is_list, shown_names
from mail_localization.data.wifi_accumulator import MAX_RESULTS, ScanAccumulator
from mail_localization.data.wifi_json import parse_json
from mail_localization.data.wifi_settings import PATHS, PRESETS, WifiMappingSettings, full_type, resolved
from mail_localization.errors import ConfigError, RecordingError
from mail_localization.types import WifiReading, WifiScan

__all__ = ["WifiMapping", "WifiMappingSettings", "scan_from_json"]

_OF_A_RESULT = ("bssid", "rssi", "ssid", "frequency", "channel", "age", "seen")
_MAX_LEVELS = 256


class WifiMapping:
    """Read the scans of one topic."""

    def __init__(
        self, settings: WifiMappingSettings, type_name: str, problems: Counter[str] | None = None, prefix: str = "wifi."
    ) -> None:
        """Take `problems` to count what is left out or repaired, under names that begin with `prefix`."""
        self.type_name = full_type(type_name)
        self._settings = resolved(settings, self.type_name)
        in_json = bool(self._settings.text)
        given = {name: getattr(self._settings, name) for name in PATHS}
        self._paths = {
            name: FieldPath(f"wifi.{name}", text, in_json and name != "text") for name, text in given.items() if text
        }
        self._problems: Counter[str] = Counter() if problems is None else problems
        self._prefix = prefix
        self._gathered = ScanAccumulator(self._settings.accumulate)

    def scans(self, msg: Any, received_ns: int) -> list[WifiScan]:
        """Return the scans that a message completes, stamped `received_ns` where it has no stamp of its own.

        Raises:
            ConfigError: a path is missing or wrong; it names the fields that exist.
            RecordingError: the message holds no readable scan.
        """
        self._require_paths(msg)
        try:
            return self._scans(msg, received_ns)
        except RecordingError as err:
            raise RecordingError(f"Wi-Fi scan of {self.type_name}: {err}") from err

    def _scans(self, msg: Any, received_ns: int) -> list[WifiScan]:
        root = parse_json(self._paths["text"].read(msg)) if "text" in self._paths else msg
        t_ns = self._stamp_ns(msg, root) or received_ns
        layout = self._layout(root)
        scan = WifiScan(t_ns, self._readings(self._results(root, layout), t_ns))
        if layout != "single" or not self._settings.accumulate:
            return [scan]
        return self._gathered.add(scan, received_ns)

    def flush(self, now_ns: int) -> list[WifiScan]:
        """Return the scan that has been gathered for as long as it may be; `now_ns` as `received_ns` counts."""
        return self._gathered.flush(now_ns)

    def check(self, msg: Any) -> None:
        """Raise ConfigError where the settings do not fit a message, be it empty; it names the fields that exist."""
        self._require_paths(msg)
        for name, path in self._paths.items():
            inside = name != "text" if "text" in self._paths else "results" in self._paths and name in _OF_A_RESULT
            if not inside:
                path.read(msg)

    def is_single(self, msg: Any) -> bool:
        """Tell whether messages hold one access point each; a message that may be empty shows it by its fields."""
        if "text" in self._paths:
            return self._settings.layout == "single"
        return self._layout(msg) == "single"

    def _require_paths(self, msg: Any) -> None:
        missing = [f"wifi.{name}" for name in ("bssid", "rssi") if name not in self._paths]
        if missing:
            raise ConfigError(
                f"{', '.join(missing)}: say which field holds it, for {self.type_name} is none of the known types "
                f"({', '.join(preset['type'] for preset in PRESETS.values())}); it has {shown_names(msg)}"
            )

    def _layout(self, root: Any) -> str:
        """Return how the access points lie in the message or the JSON."""
        if self._settings.layout not in ("auto", "json"):
            return self._settings.layout
        if "results" in self._paths:
            return "records"
        return "arrays" if is_list(self._paths["bssid"].read(root)) else "single"

    def _stamp_ns(self, msg: Any, root: Any) -> int:
        """Return the scan's own stamp, 0 where it has none."""
        stamp = self._paths["stamp"].read(root) if "stamp" in self._paths and not is_list(root) else None
        if stamp is None and "header" in field_names(msg):
            stamp = msg.header.stamp
        if stamp is None:
            return 0
        t_ns = values.time_ns(stamp, self._settings.stamp_unit)
        if not t_ns:
            self._count("zero_stamp")
        return t_ns

    def _results(self, root: Any, layout: str) -> list[dict[str, Any]]:
        """Return name -> value of each access point, with the record they are from; None what JSON does not have."""
        paths = {name: self._paths[name] for name in _OF_A_RESULT if name in self._paths}
        if layout == "arrays":
            return _rows(root, {name: (path, path.read(root)) for name, path in paths.items()})
        records = [root]
        if layout == "records":
            where = self._paths["results"]
            records = where.read(root)
            # Through a list a path leads to a list of what each has, which is no list of access points.
            if not is_list(records) or (is_list(root) and where.text != "."):
                raise RecordingError(f"no list {where.text!r} ({where.parameter}); found {shown_names(root)}")
            _check_number(len(records))
        return [{name: path.read(record) for name, path in paths.items()} | {"from": record} for record in records]

    def _readings(self, results: list[dict[str, Any]], t_ns: int) -> tuple[WifiReading, ...]:
        """Return the readable results; one bad one among good ones is counted, nothing but bad ones is an error."""
        readings: list[WifiReading] = []
        errors: list[RecordingError] = []
        for result in results:
            try:
                reading = self._reading(result, t_ns)
            except RecordingError as err:
                errors.append(err)
                continue
            if reading is not None:
                readings.append(reading)
        if errors and not readings:
            raise errors[0]
        if errors:
            self._count("bad_result", len(errors))
        return tuple(readings)

    def _reading(self, result: dict[str, Any], t_ns: int) -> WifiReading | None:
        """Read one access point; None where none was heard."""
        for name in ("bssid", "rssi"):
            if result[name] is None:
                path = self._paths[name]
                raise RecordingError(f"result without {path.text!r} ({path.parameter}): {shown_names(result['from'])}")
        bssid = values.bssid(result["bssid"])
        if not bssid or (is_list(result["rssi"]) and len(result["rssi"]) == 0):
            return None
        level = _level(result["rssi"])
        frequency = values.frequency_mhz(_number(result, "frequency"))
        if not frequency:
            frequency = values.channel_frequency(int(_number(result, "channel")))
        rssi_dbm = values.dbm(level, self._settings.unit)
        return WifiReading(bssid, rssi_dbm, self._age(result, t_ns), values.ssid(result.get("ssid")), frequency)

    def _age(self, result: dict[str, Any], t_ns: int) -> float:
        if result.get("age") is None and result.get("seen") is not None:
            seen_ns = values.time_ns(result["seen"], self._settings.stamp_unit)
            return max(t_ns - seen_ns, 0) * 1e-9 if seen_ns else 0.0
        return max(_number(result, "age"), 0.0)

    def _count(self, name: str, number: int = 1) -> None:
        self._problems[self._prefix + name] += number


def scan_from_json(text: str, t_ns: int) -> WifiScan:
    """Decode what `scan_to_json` wrote, stamped `t_ns` where it has no stamp; RecordingError on bad content."""
    (scan,) = _json_mapping().scans(_Text(text), t_ns)
    return scan


def _rows(root: Any, columns: dict[str, tuple[FieldPath, Any]]) -> list[dict[str, Any]]:
    """Turn parallel lists into one dict an access point; a single value holds for all, an empty optional list for none.

    Raises:
        RecordingError: address or level is no list, or a list is of another length.
    """
    path, addresses = columns["bssid"]
    if not is_list(addresses):
        raise RecordingError(f"no list {path.text!r} ({path.parameter}); found {shown_names(root)}")
    number = len(addresses)
    _check_number(number)
    rows: list[dict[str, Any]] = [{"from": root} for _ in range(number)]
    for name, (path, column) in columns.items():
        if is_list(column) and len(column) != number and (len(column) or name == "rssi"):
            raise RecordingError(f"{path.text!r} ({path.parameter}) has {len(column)} values for {number} addresses")
        for i, row in enumerate(rows):
            row[name] = column if not is_list(column) else column[i] if len(column) else None
    return rows


def _check_number(results: int) -> None:
    if results > MAX_RESULTS:
        raise RecordingError(f"{results} access points, more than {MAX_RESULTS}")


def _level(value: Any) -> float:
    """Return a signal level, the median where there are several."""
    if not is_list(value):
        return values.number(value, "signal level")
    if len(value) > _MAX_LEVELS:
        raise RecordingError(f"{len(value)} levels of one access point, more than {_MAX_LEVELS}")
    return statistics.median(values.number(level, "signal level") for level in value)


def _number(result: dict[str, Any], name: str) -> float:
    """Return an optional number, 0 where it is missing or NaN, as a disconnected radio has it."""
    value = result.get(name)
    missing = value is None or (isinstance(value, float) and math.isnan(value))
    return 0.0 if missing else values.number(value, name)


@dataclasses.dataclass(frozen=True)
class _Text:
    """A std_msgs/String, for mappings."""

    data: str
    __msgtype__: ClassVar[str] = "std_msgs/msg/String"


@functools.cache
def _json_mapping() -> WifiMapping:
    return WifiMapping(WifiMappingSettings(), _Text.__msgtype__)
