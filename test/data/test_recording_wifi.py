"""Wi-Fi of other packages' message types, out of real bags that carry the definitions."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
import wifi_messages as m
from rosbags.rosbag2 import StoragePlugin

from mail_localization.cli import main
from mail_localization.data.recording import Recording, Topics
from mail_localization.errors import RecordingError
from mail_localization.types import ReferencePose, WifiReading, WifiScan

HALL = "aa:bb:cc:dd:ee:ff"
SURVEY = {"type": "my_radio/Survey", "results": "cells", "bssid": "hw", "rssi": "level.dbm", "unit": "negative_dbm"}


def _scans(bag: Path, **wifi) -> list[WifiScan]:
    topics = Topics.from_mapping({"wifi_mapping": wifi})
    return [sample for sample in Recording(bag, topics).samples() if isinstance(sample, WifiScan)]


@pytest.mark.parametrize("plugin", [StoragePlugin.MCAP, StoragePlugin.SQLITE3])
@pytest.mark.parametrize(
    ("message", "t_ns", "levels"),
    [
        (m.wifi_scanner(), m.STAMP_NS, [-40.0, -70.0]),
        (m.rss_data(), m.STAMP_NS, [-62.0, -71.0]),
        (m.fingerprint(), m.STAMP_NS, [-61.5, -80.0]),
        (m.connection(), m.LOGGED_NS, [-55.0]),
        (m.text('{"data": [{"mac": "a", "rssi": -50}]}'), m.LOGGED_NS, [-50.0]),
    ],
    ids=["wifi_scanner", "rss", "wifi_scan", "wireless_msgs", "json"],
)
def test_known_type_is_read_from_a_bag(tmp_path: Path, plugin: StoragePlugin, message, t_ns: int, levels) -> None:
    (scan,) = _scans(m.write_bag(tmp_path / "bag", [message], plugin=plugin))
    assert (scan.t_ns, [reading.rssi_dbm for reading in scan.readings]) == (t_ns, levels)


def test_unknown_type_is_read_by_its_paths_and_others_as_ever(tmp_path: Path) -> None:
    strange = m.write_bag(tmp_path / "strange", [m.survey_of_cells()])
    ordinary = m.write_bag(tmp_path / "ordinary", [m.text('{"data": [{"mac": "a", "rssi": -50}]}')])
    assert _scans(strange, **SURVEY)[0].readings == (WifiReading(HALL, -62.0),)
    assert _scans(ordinary, **SURVEY)[0].readings == (WifiReading("a", -50.0),)


def test_connections_gather_to_the_end_of_the_bag(tmp_path: Path) -> None:
    # Logged 0.1 s apart: eleven fill the first second, the rest waits for the end.
    messages = [m.connection(f"00:00:00:00:00:{i:02x}", -50 - i) for i in range(1, 16)]
    scans = _scans(m.write_bag(tmp_path / "bag", messages))
    assert [len(scan.readings) for scan in scans] == [10, 5]
    assert scans[0].readings[0].age == pytest.approx(0.9)


def test_unknown_type_without_paths_is_told_with_its_fields(tmp_path: Path) -> None:
    bag = m.write_bag(tmp_path / "bag", [m.survey_of_cells()])
    with pytest.raises(RecordingError, match=r"topic '/wifi/scan': wifi\.bssid, wifi\.rssi: .* it has t_us, cells"):
        _scans(bag)
    assert list(Recording(bag).samples({"mag"})) == []


def test_bad_message_is_counted(tmp_path: Path) -> None:
    good = m.text('{"data": [{"mac": "a", "rssi": -50}]}')
    recording = Recording(m.write_bag(tmp_path / "bag", [m.text("nonsense"), good, m.text("[")]))
    assert len(list(recording.samples())) == 1
    assert recording.problems == {"/wifi/scan: message cannot be read": 2}


def test_bag_without_definitions_is_refused_with_the_remedy(tmp_path: Path) -> None:
    """As rosbag2 wrote sqlite3 before ROS 2 Iron."""
    bag = m.write_bag(tmp_path / "bag", [m.fingerprint()], plugin=StoragePlugin.SQLITE3)
    with sqlite3.connect(next(bag.glob("*.db3"))) as database:
        database.execute("DELETE FROM message_definitions")
    with pytest.raises(RecordingError, match=r"does not define wifi_scan/msg/Fingerprint .*ros2 bag convert"):
        _scans(bag)


def test_survey_keeps_the_scans_of_a_type_of_ones_own(tmp_path: Path) -> None:
    bag = m.write_bag(tmp_path / "bag", [m.survey_of_cells()] * 3)
    marks = tmp_path / "marks.csv"
    seconds = m.LOGGED_NS * 1e-9
    marks.write_text(f"time,x,y\n{seconds},0,0\n{seconds + 0.2},1,0\n")
    options = [f"--wifi={name}={value}" for name, value in SURVEY.items()]
    out = tmp_path / "out"
    assert main(["survey", str(bag), "--landmarks", str(marks), "--out", str(out), *options]) == 0
    # The survey is ordinary JSON from here on.
    assert [scan.readings for scan in _scans(out)] == [(WifiReading(HALL, -62.0),)] * 3
    assert len(Recording(out).reference().t_ns) == 2
    assert not any(isinstance(sample, ReferencePose) for sample in Recording(out).samples())


@pytest.mark.parametrize(
    ("option", "words"),
    [("bssid=a..b", "wifi.bssid: 'a..b' is no"), ("bsid=a", "unknown setting 'bsid'; did you mean 'bssid'"),
     ("unit=mW", "unit: 'mW' is not one of")],
)  # fmt: skip
def test_wrong_option_is_one_line(tmp_path: Path, capsys, option: str, words: str) -> None:
    arguments = ["survey", str(tmp_path), "--poses", "/p", "--out", str(tmp_path / "out"), "--wifi", option]
    assert main(arguments) == 1
    assert words.removesuffix(" is no") in capsys.readouterr().err


@pytest.mark.parametrize("option", ["bssid", "=a", "accumulate=long"])
def test_option_that_is_none_is_wrong_usage(tmp_path: Path, option: str) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["survey", str(tmp_path), "--poses", "/p", "--out", str(tmp_path / "out"), "--wifi", option])
