"""Whatever a Wi-Fi message holds: sound scans or a documented error, after work in proportion to its size."""

from __future__ import annotations

import json
import math
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import wifi_messages as m
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mail_localization.data.wifi_accumulator import MAX_RESULTS
from mail_localization.data.wifi_mapping import WifiMapping, WifiMappingSettings
from mail_localization.errors import MailLocalizationError
from mail_localization.types import WifiScan

RECEIVED_NS = 1_700_000_000_000_000_000
KEYS = ("timestamp", "data", "mac", "rssi", "ssid", "frequency", "channel", "age", "a", "")
PER_VALUE, ALWAYS = 60, 200
"""Calls of functions that a value of a message may cost, and a message however small."""

numbers = st.integers() | st.floats() | st.sampled_from([0, -61, 1e308, 2**63, -(2**63), 10**400, 0.1, 1_700_000_000.5])
texts = st.text(max_size=8) | st.sampled_from(["aa:bb:cc:dd:ee:ff", "-61", "nan", "1e999", "\ud800", "\0", "9" * 40])
leaves = st.none() | st.booleans() | numbers | texts
trees = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS) | texts, inner, max_size=5),
    max_leaves=25,
)
results = st.fixed_dictionaries(
    {},
    optional={
        "mac": st.just("aa:bb:cc:dd:ee:ff") | trees,
        "rssi": st.just(-61) | trees,
        **dict.fromkeys(("ssid", "frequency", "channel", "age", "timestamp"), trees),
    },
)
scans = st.fixed_dictionaries(
    {}, optional={"timestamp": st.just(1_700_000_000.5) | trees, "data": st.lists(results, max_size=5) | trees}
)
paths = st.sampled_from([*KEYS[:-1], ".", "a.a", "data.rssi", "data.data.mac", "a" + ".a" * 15, "nobody"])
mappings = st.fixed_dictionaries(
    {"bssid": paths, "rssi": paths},
    optional={
        **dict.fromkeys(("results", "ssid", "frequency", "channel", "age", "seen", "stamp"), paths),
        "layout": st.sampled_from(["auto", "arrays", "records", "single"]),
        "unit": st.sampled_from(["dbm", "negative_dbm", "percent_nm", "percent"]),
        "stamp_unit": st.sampled_from(["auto", "s", "ms", "us", "ns"]),
    },
)
contents = st.one_of(
    trees,
    st.lists(numbers.filter(lambda value: abs(value) < 2**63), max_size=4).map(np.array),
    st.lists(leaves, max_size=4).map(tuple),
    st.builds(m.time, st.integers(0, 2**62)),
    st.binary(max_size=8),
)
access_points = st.builds(lambda *fields: m.make("wifi_scan/msg/AddressRSSI", *fields), contents, contents)
thorough = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def size(value: Any) -> int:
    """Return the number of values, each counted by the length of its text."""
    if isinstance(value, dict):
        return 1 + sum(size(key) + size(inner) for key, inner in value.items())
    if isinstance(value, (list, tuple, np.ndarray)):
        return 1 + sum(map(size, value))
    if hasattr(value, "__msgtype__"):
        return 1 + sum(size(inner) for inner in vars(value).values())
    return 1 + (len(value) if isinstance(value, (str, bytes)) else 0)


def calls(action: Callable[[], Any]) -> tuple[Any, int]:
    """Return what an action gives, None for a documented error, and how many calls of functions it took."""
    made = 0

    def count(frame: Any, event: str, argument: Any) -> None:
        nonlocal made
        made += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        return action(), made
    except MailLocalizationError:
        return None, made
    finally:
        sys.setprofile(before)


def decoded(given_settings: dict[str, Any], type_name: str, msg: Any, values: int) -> list[WifiScan]:
    """Decode one message, within its share of work; [] where it was refused."""
    problems: Counter[str] = Counter()

    try:
        mapping = WifiMapping(WifiMappingSettings.from_mapping(given_settings), type_name, problems)
    except MailLocalizationError:
        return []

    def decode() -> list[WifiScan]:
        return mapping.scans(msg, RECEIVED_NS) + mapping.flush(RECEIVED_NS + 10**12)

    found, made = calls(decode)
    assert made < ALWAYS + PER_VALUE * values
    assert all(name in ("wifi.zero_stamp", "wifi.bad_result") for name in problems)
    for scan in found or ():
        check(scan)
    return found or []


def check(scan: WifiScan) -> None:
    assert isinstance(scan.t_ns, int) and 0 < scan.t_ns < 2**63
    assert len(scan.readings) <= MAX_RESULTS
    for reading in scan.readings:
        assert isinstance(reading.bssid, str) and 0 < len(reading.bssid) <= 128 and reading.bssid.isprintable()
        assert -200.0 <= reading.rssi_dbm <= 20.0
        assert math.isfinite(reading.age) and reading.age >= 0.0
        assert isinstance(reading.frequency_mhz, int) and 0 <= reading.frequency_mhz <= 100_000
        assert isinstance(reading.ssid, str)
        reading.ssid.encode(errors="strict")


def string(text: Any) -> Any:
    return m.make("std_msgs/msg/String", text)


@thorough
@given(scans | results | trees)
def test_any_json_is_a_scan_or_refused(tree: Any) -> None:
    text = json.dumps(tree)
    decoded({}, "std_msgs/msg/String", string(text), len(text) + size(tree))


@thorough
@given(st.text(alphabet=st.characters() | st.sampled_from('{}[]",:0123456789.eE+-tfn'), max_size=200))
def test_any_text_is_a_scan_or_refused(text: str) -> None:
    decoded({}, "std_msgs/msg/String", string(text), len(text))


@thorough
@given(scans | trees, mappings)
def test_any_paths_into_any_json_give_scans_or_are_refused(tree: Any, given_settings: dict[str, Any]) -> None:
    text = json.dumps(tree)
    decoded({"text": "data", "preset": "none", **given_settings}, "my_radio/msg/Text", string(text), len(text) + 20)


@thorough
@given(st.lists(contents, min_size=4, max_size=4))
def test_any_content_of_parallel_lists_gives_scans_or_is_refused(fields: list[Any]) -> None:
    decoded({}, "wifi_scanner/msg/WifiScan", m.make("wifi_scanner/msg/WifiScan", *fields), size(fields))
    msg = m.make("rss/msg/RssData", fields[0], 1, fields[1], fields[2], fields[3])
    decoded({}, "rss/msg/RssData", msg, size(fields))


@thorough
@given(contents, contents | st.lists(access_points, max_size=4))
def test_any_content_of_records_gives_scans_or_is_refused(header: Any, records: Any) -> None:
    msg = m.make("wifi_scan/msg/Fingerprint", header, records)
    decoded({}, "wifi_scan/msg/Fingerprint", msg, size([header, records]))


@thorough
@given(st.lists(contents, min_size=9, max_size=9))
def test_any_content_of_single_access_points_gives_scans_or_is_refused(fields: list[Any]) -> None:
    decoded({}, "wireless_msgs/msg/Connection", m.make("wireless_msgs/msg/Connection", *fields), size(fields))


@thorough
@given(st.lists(st.integers(0, 2**62) | st.integers(RECEIVED_NS, RECEIVED_NS + 10**10), max_size=30))
def test_gathered_scans_hold_each_access_point_heard_and_stay_bounded(stamps: list[int]) -> None:
    mapping = WifiMapping(WifiMappingSettings(stamp="frequency", stamp_unit="ns"), "wireless_msgs/msg/Connection")
    found = []
    for number, t_ns in enumerate(stamps):
        fields = (1.0, 0, "", 1.0, -61, 0, "", f"02:00:00:00:00:{number:02x}", t_ns)
        found += mapping.scans(m.make("wireless_msgs/msg/Connection", *fields), RECEIVED_NS)
    found += mapping.flush(RECEIVED_NS + 10**12)
    for scan in found:
        check(scan)
    assert Counter(r.bssid for scan in found for r in scan.readings) == {
        f"02:00:00:00:00:{number:02x}": 1 for number in range(len(stamps))
    }


def test_good_scan_passes_the_same_checks() -> None:
    # Else all of the above could hold because nothing is ever decoded.
    text = json.dumps({"timestamp": 1_700_000_000.5, "data": [{"mac": "aa:bb:cc:dd:ee:ff", "rssi": -61}]})
    assert len(decoded({}, "std_msgs/msg/String", string(text), len(text))[0].readings) == 1
