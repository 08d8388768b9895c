"""Settings that say where a Wi-Fi message keeps what, and the ones of the messages in use; no standard one exists."""

from __future__ import annotations

import re

from mail_localization.config import Settings, setting
from mail_localization.data.fields import FieldPath
from mail_localization.data.wifi_values import STAMP_UNITS, UNITS
from mail_localization.errors import ConfigError

PRESETS: dict[str, dict[str, str]] = {
    # CMU/IBM CaBot, our own recordings, and wifi_scanner_node.
    "json": {
        "type": "std_msgs/msg/String", "layout": "json", "text": "data", "results": "data", "bssid": "mac",
        "rssi": "rssi", "ssid": "ssid", "frequency": "frequency", "channel": "channel", "age": "age",
        "seen": "timestamp", "stamp": "timestamp", "stamp_unit": "s",
    },
    # Haz25/wifi_scanner: `power` is the SIGNAL column of nmcli.
    "wifi_scanner": {
        "type": "wifi_scanner/msg/WifiScan", "layout": "arrays", "bssid": "bssid", "rssi": "power", "ssid": "ssid",
        "stamp": "stamp", "unit": "percent_nm",
    },
    # RMiyagusuku/ros-wifi-localization: several levels of each access point.
    "rss": {
        "type": "rss/msg/RssData", "layout": "arrays", "bssid": "mac_address", "rssi": "data.rss",
        "frequency": "freq", "stamp": "time_start_ns", "stamp_unit": "ns",
    },
    # RafBerkvens/wifi_scan.
    "wifi_scan": {
        "type": "wifi_scan/msg/Fingerprint", "layout": "records", "results": "list", "bssid": "address",
        "rssi": "rssi", "stamp": "header.stamp",
    },
    # Clearpath's wireless_watcher: the one access point that the robot is connected to.
    "wireless_msgs": {
        "type": "wireless_msgs/msg/Connection", "layout": "single", "bssid": "bssid", "rssi": "signal_level",
        "ssid": "essid", "frequency": "frequency",
    },
}  # fmt: skip
"""Settings of the message types in use; `type` says which type a preset is taken for by itself."""

_LAYOUTS = ("auto", "arrays", "records", "single", "json")
PATHS = ("text", "results", "bssid", "rssi", "ssid", "frequency", "channel", "age", "seen", "stamp")
"""The settings that are paths."""


class WifiMappingSettings(Settings):
    """Where a Wi-Fi message keeps what; paths are dotted field names, and an empty one is the preset's."""

    type: str = setting("", "message type, e.g. wifi_scanner/msg/WifiScan; empty = the publisher's")
    preset: str = setting("auto", "known message to start from; auto = by type", choices=("auto", "none", *PRESETS))
    layout: str = setting(
        "auto",
        "arrays (parallel lists), records (list of access points), single (one access point a message), json (text); "
        "auto = by what the paths lead to",
        choices=_LAYOUTS,
    )
    text: str = setting("", "path of the JSON text; the other paths then are keys in it")
    results: str = setting("", "path of the list of access points ('.' = the JSON itself); the paths below then "
                           "start at one of them")  # fmt: skip
    bssid: str = setting("", "path of the hardware address")
    rssi: str = setting("", "path of the signal level, or of a list of levels whose median counts")
    ssid: str = setting("", "path of the network name")
    frequency: str = setting("", "path of the channel's frequency; Hz, kHz, MHz or GHz")
    channel: str = setting("", "path of the channel number, where there is no frequency")
    age: str = setting("", "path of the time since the access point was heard, s")
    seen: str = setting("", "path of the time at which the access point was heard, in stamp_unit")
    stamp: str = setting("", "path of the scan's time, from the message or the JSON; empty = header.stamp if there")
    stamp_unit: str = setting("auto", "unit of a stamp that is a number", choices=("auto", *STAMP_UNITS))
    unit: str = setting("auto", "unit of the signal level; percent_nm is NetworkManager's, -40 - 0.6 (100 - q) dBm; "
                        "percent is q / 2 - 100 dBm", choices=("auto", *UNITS))  # fmt: skip
    accumulate: float = setting(1.0, "time over which messages of layout single make one scan, s; 0 = each is one",
                                minimum=0.0, maximum=60.0)  # fmt: skip

    def check(self) -> None:
        """Refuse a type that is none, and paths that cannot lead anywhere."""
        if self.type:
            full_type(self.type)
        for name in PATHS:
            if getattr(self, name):
                FieldPath(f"wifi.{name}", getattr(self, name))


def settings_for(settings: WifiMappingSettings, msgtype: str) -> WifiMappingSettings:
    """Return the settings where they may be meant for a type, the defaults where they name another one."""
    others = bool(settings.type) and full_type(settings.type) != full_type(msgtype)
    return WifiMappingSettings() if others else settings


def resolved(settings: WifiMappingSettings, type_name: str) -> WifiMappingSettings:
    """Return the settings with the preset's values where nothing was set; ConfigError on a layout that lacks a path."""
    name = settings.preset
    if name == "auto":
        name = next((name for name, preset in PRESETS.items() if preset["type"] == type_name), "none")
    preset = {} if name == "none" else PRESETS[name]
    unset = {key: value for key, value in preset.items() if getattr(settings, key) in ("", "auto")}
    if settings.unit == "auto":
        unset.setdefault("unit", "dbm")
    full = WifiMappingSettings.from_mapping({**settings.to_mapping(), **unset, "type": type_name}, "wifi")
    for layout, path in (("json", "text"), ("records", "results")):
        if full.layout == layout and not getattr(full, path):
            raise ConfigError(f"wifi.{path}: layout {layout} needs it")
    return full


def full_type(name: str) -> str:
    """Return `package/msg/Name`, also of `package/Name`; ConfigError where it is no message type."""
    match = re.fullmatch(r"([a-z][a-z0-9_]*)/(?:msg/)?([A-Z][A-Za-z0-9]*)", name)
    if not match:
        raise ConfigError(f"wifi.type: {name[:80]!r} is no message type such as wifi_scanner/msg/WifiScan")
    return f"{match[1]}/msg/{match[2]}"
