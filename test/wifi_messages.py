"""Third-party Wi-Fi messages, built from their definitions with rosbags: no ROS package has to be installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

STAMP_NS = 1_700_000_000_123_456_789
LOGGED_NS = STAMP_NS + 50_000_000

# As in Haz25/wifi_scanner, RMiyagusuku/ros-wifi-localization, RafBerkvens/wifi_scan and clearpathrobotics/wireless;
# my_radio is nobody's.
DEFINITIONS = {
    "wifi_scanner/msg/WifiScan": "builtin_interfaces/Time stamp\nstring[] ssid\nstring[] bssid\nint32[] power\n",
    "rss/msg/RssDatum": "int8[] rss\n",
    "rss/msg/RssData": "uint64 time_start_ns\nuint32 duration_ms\nstring[] mac_address\nint16[] freq\n"
    "RssDatum[] data\n",
    "wifi_scan/msg/AddressRSSI": "string address\nfloat64 rssi\n",
    "wifi_scan/msg/Fingerprint": "std_msgs/Header header\nAddressRSSI[] list\n",
    "wireless_msgs/msg/Connection": "float32 bitrate\nint16 txpower\nstring link_quality_raw\nfloat32 link_quality\n"
    "int16 signal_level\nint16 noise_level\nstring essid\nstring bssid\nfloat64 frequency\n",
    "my_radio/msg/Level": "float64[] dbm\n",
    "my_radio/msg/Cell": "string hw\nLevel level\nuint32 khz\nbuiltin_interfaces/Time seen\n",
    "my_radio/msg/Survey": "uint64 t_us\nCell[] cells\n",
}


def typestore() -> Typestore:
    store = get_typestore(Stores.ROS2_HUMBLE)
    types: dict[str, Any] = {}
    for name, text in DEFINITIONS.items():
        types |= get_types_from_msg(text, name)
    store.register(types)
    return store


STORE = typestore()


def make(msgtype: str, *values: Any) -> Any:
    return STORE.types[msgtype](*values)


def time(t_ns: int = STAMP_NS) -> Any:
    return make("builtin_interfaces/msg/Time", *divmod(t_ns, 10**9))


def wifi_scanner(t_ns: int = STAMP_NS) -> Any:
    bssids = ["AABBCCDDEEFF", "001122334455"]
    return make("wifi_scanner/msg/WifiScan", time(t_ns), ["hall", ""], bssids, np.array([100, 50], np.int32))


def rss_data() -> Any:
    data = [make("rss/msg/RssDatum", np.array(levels, np.int8)) for levels in ([-60, -62, -90], [-71], [])]
    macs = ["aa:bb:cc:dd:ee:ff", "00:11:22:33:44:55", "00:11:22:33:44:66"]
    freq = np.array([2437, 5180, 2412], np.int16)
    return make("rss/msg/RssData", STAMP_NS, 1000, macs, freq, data)


def fingerprint(t_ns: int = STAMP_NS) -> Any:
    entries = [
        make("wifi_scan/msg/AddressRSSI", "AABBCCDDEEFF", -61.5),
        make("wifi_scan/msg/AddressRSSI", "0011223344**", -80.0),
    ]
    return make("wifi_scan/msg/Fingerprint", make("std_msgs/msg/Header", time(t_ns), "base_link"), entries)


def connection(bssid: str = "AA:BB:CC:DD:EE:FF", level: int = -55, ghz: float = 5.18) -> Any:
    return make("wireless_msgs/msg/Connection", 866.7, 22, "70/70", 1.0, level, -95, "hall", bssid, ghz)


def survey_of_cells() -> Any:
    level = make("my_radio/msg/Level", np.array([61.0, 63.0]))
    cell = make("my_radio/msg/Cell", "AA-BB-CC-DD-EE-FF", level, 2_437_000, time(STAMP_NS - 10**9))
    return make("my_radio/msg/Survey", STAMP_NS // 1000, [cell])


def text(data: str) -> Any:
    return make("std_msgs/msg/String", data)


def write_bag(
    path: Path, messages: list[Any], topic: str = "/wifi/scan", plugin: StoragePlugin = StoragePlugin.MCAP
) -> Path:
    """Write messages of one type, logged 0.1 s apart from LOGGED_NS on."""
    with Writer(path, version=9, storage_plugin=plugin) as writer:
        msgtype = messages[0].__msgtype__
        connection = writer.add_connection(topic, msgtype, typestore=STORE)
        for i, message in enumerate(messages):
            writer.write(connection, LOGGED_NS + i * 100_000_000, STORE.serialize_cdr(message, msgtype))
    return path
