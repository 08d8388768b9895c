from __future__ import annotations

import json
import time
from collections import Counter

import numpy as np
import pytest
import wifi_messages as m

from mail_localization.data.wifi_mapping import WifiMapping, WifiMappingSettings
from mail_localization.errors import ConfigError, RecordingError
from mail_localization.types import WifiReading, WifiScan

HALL = "aa:bb:cc:dd:ee:ff"
SURVEY_PATHS = {"results": "cells", "bssid": "hw", "rssi": "level.dbm", "unit": "negative_dbm", "frequency": "khz"}
SURVEY_PATHS |= {"seen": "seen", "stamp": "t_us"}


def _mapping(msg, problems=None, **settings) -> WifiMapping:
    return WifiMapping(WifiMappingSettings(**settings), msg.__msgtype__, problems)


def _one(msg, **settings) -> WifiScan:
    (scan,) = _mapping(msg, **settings).scans(msg, m.LOGGED_NS)
    return scan


def test_percent_of_wifi_scanner_becomes_dbm_and_its_addresses_get_colons() -> None:
    assert _one(m.wifi_scanner()) == WifiScan(
        m.STAMP_NS, (WifiReading(HALL, -40.0, ssid="hall"), WifiReading("00:11:22:33:44:55", -70.0))
    )


def test_median_of_the_levels_of_rss_data_counts_and_an_access_point_without_levels_is_left_out() -> None:
    scan = _one(m.rss_data())
    assert scan.t_ns == m.STAMP_NS
    assert [(r.bssid, r.rssi_dbm, r.frequency_mhz) for r in scan.readings] == [
        (HALL, -62.0, 2437),
        ("00:11:22:33:44:55", -71.0, 5180),
    ]


def test_records_of_a_fingerprint_are_read_with_the_stamp_of_its_header() -> None:
    scan = _one(m.fingerprint())
    assert scan == WifiScan(m.STAMP_NS, (WifiReading(HALL, -61.5), WifiReading("0011223344**", -80.0)))


def test_zero_stamp_takes_the_time_of_reception_and_is_counted() -> None:
    problems: Counter[str] = Counter()
    (scan,) = _mapping(m.fingerprint(0), problems).scans(m.fingerprint(0), 7)
    assert scan.t_ns == 7
    assert problems == {"wifi.zero_stamp": 1}


def test_connections_gather_into_one_scan_with_the_age_of_each() -> None:
    mapping = _mapping(m.connection())
    heard = [(0, HALL, -55), (400, "00:11:22:33:44:55", -70), (800, HALL, -57), (1000, HALL, -50)]
    scans = [
        scan for ms, bssid, level in heard for scan in mapping.scans(m.connection(bssid, level), ms * 10**6 + 10**12)
    ]
    assert [scan.t_ns - 10**12 for scan in scans] == [800 * 10**6]
    readings = {r.bssid: (r.rssi_dbm, r.age, r.frequency_mhz) for r in scans[0].readings}
    assert readings == {HALL: (-57.0, 0.0, 5180), "00:11:22:33:44:55": (-70.0, pytest.approx(0.4), 5180)}
    assert mapping.flush(10**12 + 1_900_000_000) == []
    assert [s.readings[0].rssi_dbm for s in mapping.flush(10**12 + 2_000_000_000)] == [-50.0]
    assert mapping.flush(10**13) == []


def test_clock_set_back_ends_the_gathering() -> None:
    mapping = _mapping(m.connection())
    assert mapping.scans(m.connection(), 10**13) == []
    assert [scan.t_ns for scan in mapping.scans(m.connection(), 10**12)] == [10**13]
    assert [scan.t_ns for scan in mapping.flush(10**11)] == [10**12]


def test_without_accumulation_each_connection_is_a_scan() -> None:
    assert _one(m.connection(ghz=float("nan")), accumulate=0.0) == WifiScan(
        m.LOGGED_NS, (WifiReading(HALL, -55.0, ssid="hall"),)
    )


@pytest.mark.parametrize("bssid", ["", "Not-Associated", "00:00:00:00:00:00"])
def test_no_access_point_is_an_empty_scan(bssid: str) -> None:
    assert _one(m.connection(bssid), accumulate=0.0).readings == ()


def test_unknown_message_is_read_by_its_paths() -> None:
    assert _one(m.survey_of_cells(), **SURVEY_PATHS) == WifiScan(
        m.STAMP_NS // 1000 * 1000, (WifiReading(HALL, -62.0, pytest.approx(1.0, abs=1e-5), "", 2437),)
    )


def test_unknown_message_without_paths_is_refused_with_its_fields() -> None:
    with pytest.raises(ConfigError, match=r"wifi\.bssid, wifi\.rssi: .*my_radio/msg/Survey.* it has t_us, cells"):
        _one(m.survey_of_cells())


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"results": "cell"}, r"wifi\.results: no field 'cell': the message \(my_radio/Survey\) has t_us, cells"),
        ({"bssid": "mac"}, r"wifi\.bssid: no field 'mac': .*my_radio/Cell\) has hw, level, khz, seen"),
        ({"rssi": "level.dBm"}, r"wifi\.rssi: no field 'level\.dBm': level \(my_radio/Level\) has dbm"),
        ({"stamp": "header.stamp"}, r"wifi\.stamp: no field 'header\.stamp': .* has t_us, cells"),
        ({"bssid": "hw.x"}, r"wifi\.bssid: no field 'hw\.x': hw \(str\) has no fields"),
    ],
)
def test_wrong_path_names_the_parameter_and_the_fields_that_exist(wrong, words) -> None:
    with pytest.raises(ConfigError, match=words):
        _one(m.survey_of_cells(), **(SURVEY_PATHS | wrong))


def test_wrong_path_is_found_on_an_empty_message() -> None:
    empty = m.make("my_radio/msg/Survey", 0, [])
    with pytest.raises(ConfigError, match=r"wifi\.results"):
        _mapping(empty, **SURVEY_PATHS | {"results": "cell"}).check(empty)
    _mapping(empty, **SURVEY_PATHS).check(empty)


@pytest.mark.parametrize("path", ["__class__", "cells.__len__", "t_us.__class__.__mro__", "__dataclass_fields__"])
def test_only_fields_can_be_reached(path: str) -> None:
    with pytest.raises(ConfigError, match="no field"):
        _one(m.survey_of_cells(), results="cells", bssid="hw", rssi="level.dbm", stamp=path)


@pytest.mark.parametrize("path", ["a..b", ".a", "a.", ".".join("a" * 17)])
def test_what_is_no_path_is_refused_when_the_settings_are_read(path: str) -> None:
    with pytest.raises(ConfigError, match=r"wifi\.bssid"):
        WifiMappingSettings(bssid=path)


@pytest.mark.parametrize("name", ["String", "a/b/c", "os/system('x')", "../msg/X", "pkg.evil/msg/X", "pkg/srv/X"])
def test_what_is_no_type_is_refused_when_the_settings_are_read(name: str) -> None:
    with pytest.raises(ConfigError, match=r"wifi\.type"):
        WifiMappingSettings(type=name)


def test_layout_without_its_path_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"wifi\.results: layout records needs it"):
        _mapping(m.survey_of_cells(), layout="records", bssid="hw", rssi="x")


def test_json_of_another_form_is_read_by_keys() -> None:
    text = '{"when": 1700000000123, "aps": [{"id": "AA-BB-CC-DD-EE-FF", "rx": {"q": "80"}}]}'
    paths = {"results": "aps", "bssid": "id", "rssi": "rx.q", "stamp": "when", "stamp_unit": "ms", "unit": "percent"}
    assert _one(m.text(text), **paths) == WifiScan(1_700_000_000_123_000_000, (WifiReading(HALL, -60.0),))


def test_json_that_is_a_list_or_has_parallel_lists_is_read() -> None:
    assert _one(m.text('[{"mac": "a", "rssi": -50}]'), results=".").readings == (WifiReading("a", -50.0),)
    columns = m.text('{"mac": ["a", "b"], "rssi": [-50, -60]}')
    assert len(_one(columns, layout="arrays").readings) == 2
    assert _one(m.text('{"mac": "a", "rssi": -50}'), layout="single", accumulate=0.0).readings[0].rssi_dbm == -50.0


def test_cabot_results_have_times_of_their_own_and_channels_as_text() -> None:
    data = [{"mac": HALL, "rssi": -70, "timestamp": 1_699_999_999.5, "channel": "6", "ssid": "x", "id": "x-" + HALL}]
    scan = _one(m.text(json.dumps({"type": "rssi", "timestamp": 1_700_000_000.0, "data": data})))
    assert scan == WifiScan(1_700_000_000 * 10**9, (WifiReading(HALL, -70.0, 0.5, "x", 2437),))


def test_wrong_key_in_json_names_the_keys_that_exist() -> None:
    with pytest.raises(RecordingError, match=r"no list 'data' \(wifi\.results\); found aps, when"):
        _one(m.text('{"aps": [], "when": 1}'))
    with pytest.raises(RecordingError, match=r"result without 'mac' \(wifi\.bssid\): bssid, level"):
        _one(m.text('{"data": [{"bssid": "a", "level": 1}]}'))


def test_bad_result_among_good_ones_is_left_out_and_counted() -> None:
    problems: Counter[str] = Counter()
    msg = m.text('{"data": [{"mac": "a", "rssi": -50}, {"mac": "b", "rssi": "loud"}, 7, {"mac": "c", "rssi": 70}]}')
    (scan,) = _mapping(msg, problems).scans(msg, 1)
    assert [r.bssid for r in scan.readings] == ["a"]
    assert problems == {"wifi.bad_result": 3}


def test_level_that_cannot_be_in_its_unit_names_the_units() -> None:
    with pytest.raises(RecordingError, match=r"70 cannot be in unit 'dbm'; set wifi\.unit .*percent_nm"):
        _one(m.text('{"data": [{"mac": "a", "rssi": 70}]}'))
    with pytest.raises(RecordingError, match="-61 cannot be in unit 'percent'"):
        _one(m.text('{"data": [{"mac": "a", "rssi": -61}]}'), unit="percent")


def test_parallel_lists_of_different_length_are_bad_content() -> None:
    msg = m.make("wifi_scanner/msg/WifiScan", m.time(), [], ["a", "b"], np.array([1], np.int32))
    with pytest.raises(RecordingError, match=r"'power' \(wifi\.rssi\) has 1 values for 2 addresses"):
        _one(msg)


def _hostile() -> dict[str, object]:
    records = [m.make("wifi_scan/msg/AddressRSSI", "a", -50.0)] * 100_000
    header = m.make("std_msgs/msg/Header", m.time(), "")
    return {
        "many_records": m.make("wifi_scan/msg/Fingerprint", header, records),
        "many_columns": m.make(
            "wifi_scanner/msg/WifiScan", m.time(), [], ["a"] * 100_000, np.full(100_000, 50, np.int32)
        ),
        "many_levels": m.make(
            "rss/msg/RssData", 1, 1, ["a"], np.array([1], np.int16),
            [m.make("rss/msg/RssDatum", np.full(10**6, -50, np.int8))],
        ),
        "nan": m.make("wifi_scan/msg/Fingerprint", header, [m.make("wifi_scan/msg/AddressRSSI", "a", float("nan"))]),
        "negative_time": m.wifi_scanner(-(10**9)),
        "bad_address": m.connection("\ufffd\ufffd:11"),
        "long_text": m.text("[" + "1," * (1 << 20)),
        "many_json": m.text(json.dumps({"data": [{"mac": "a", "rssi": -1}] * 20_000})),
        "deep": m.text('{"data": ' + "[" * 900 + "]" * 900 + "}"),
        "deep_objects": m.text('{"a":' * 100_000),
        "wide_levels": m.text(json.dumps({"data": [{"mac": "a", "rssi": [-1] * 100_000}]})),
        "huge_exponent": m.text('{"data": [{"mac": "a", "rssi": 1e9999999999999999999}]}'),
        "huge_stamp": m.text('{"timestamp": 1e999999999, "data": []}'),
        "huge_integer": m.text('{"data": [{"mac": "a", "rssi": ' + "9" * 5000 + "}]}"),
        "long_integer": m.text('{"data": [{"mac": "a", "rssi": ' + "9" * 4000 + "}]}"),
        "infinite_channel": m.text('{"data": [{"mac": "a", "rssi": -1, "channel": "inf"}]}'),
        "lone_surrogate": m.text('{"data": [{"mac": "\\ud800", "rssi": -1}]}'),
        "boolean": m.text('{"data": [{"mac": "a", "rssi": true}]}'),
    }  # fmt: skip


@pytest.mark.parametrize("name", list(_hostile()))
def test_hostile_message_is_bad_content_in_bounded_time(name: str) -> None:
    msg = _hostile()[name]
    mapping = _mapping(msg, accumulate=0.0)
    start = time.process_time()
    with pytest.raises(RecordingError) as caught:
        mapping.scans(msg, 1)
    assert time.process_time() - start < 0.5
    assert len(str(caught.value)) < 400


def test_name_that_no_file_can_hold_is_repaired() -> None:
    (reading,) = _one(m.text('{"data": [{"mac": "a", "rssi": -1, "ssid": "\\ud800\\u0000caf\\u00e9"}]}')).readings
    assert reading.ssid == "?caf\u00e9"
