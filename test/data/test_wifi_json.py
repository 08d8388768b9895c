from __future__ import annotations

import json

import pytest

from mail_localization.data.wifi_json import scan_to_json
from mail_localization.data.wifi_mapping import scan_from_json
from mail_localization.data.wifi_values import channel_frequency
from mail_localization.errors import RecordingError
from mail_localization.types import WifiReading, WifiScan

SCAN = WifiScan(
    1_700_000_000_123_456_789,
    (WifiReading("aa:bb:cc:dd:ee:ff", -61.0, 0.25, 'caf\u00e9 "x"', 2437), WifiReading("00:11:22:33:44:55", -90.5)),
)


def test_scan_survives_the_round_trip_to_the_nanosecond() -> None:
    assert scan_from_json(scan_to_json(SCAN), 5) == SCAN


def test_text_is_plain_json_with_seconds() -> None:
    content = json.loads(scan_to_json(SCAN))
    assert content["timestamp"] == pytest.approx(1_700_000_000.123456)
    assert content["data"][1] == {"mac": "00:11:22:33:44:55", "rssi": -90.5, "ssid": ""}


def test_cabot_scan_without_timestamp_takes_the_given_stamp() -> None:
    text = '{"data":[{"mac":"AA:BB:CC:DD:EE:FF","rssi":-70,"ssid":"a","channel":36}]}'
    assert scan_from_json(text, 42) == WifiScan(42, (WifiReading("aa:bb:cc:dd:ee:ff", -70.0, 0.0, "a", 5180),))


def test_empty_scan_is_a_scan() -> None:
    assert scan_from_json('{"timestamp": 0, "data": []}', 7) == WifiScan(7, ())


def test_channels_map_to_their_frequencies() -> None:
    assert [channel_frequency(c) for c in (1, 6, 14, 36, 165, 0)] == [2412, 2437, 2484, 5180, 5825, 0]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "garbage",
        "[]",
        pytest.param("[" * 100_000, id="deep"),
        "{}",
        '{"data": {}}',
        '{"data": [5]}',
        '{"data": [{"mac": 7, "rssi": 1}]}',
        '{"data": [{"mac": "a"}]}',
        '{"data": [{"mac": "a", "rssi": "loud"}]}',
        '{"data": [{"mac": "a", "rssi": NaN}]}',
        '{"data": [{"mac": "a", "rssi": 1e999}]}',
        '{"data": [{"mac": "a", "rssi": -1, "frequency": []}]}',
        '{"timestamp": "noon", "data": []}',
        '{"timestamp": -1, "data": []}',
        '{"timestamp": 1e400, "data": []}',
    ],
)
def test_bad_content_is_a_recording_error(text: str) -> None:
    with pytest.raises(RecordingError, match="Wi-Fi scan"):
        scan_from_json(text, 1)
