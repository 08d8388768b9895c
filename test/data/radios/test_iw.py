from __future__ import annotations

from pathlib import Path

import pytest

from mail_localization.data.radios import open_radio
from mail_localization.data.radios.iw import IwRadio, parse_interfaces, parse_scan
from mail_localization.errors import RadioError
from mail_localization.types import WifiReading

# As iw 5.19 prints it (print_bss_handler and print_ies in its scan.c), with the traps of real outputs: an associated
# station, two ages, decimals, escaped names, names in deeper fields, a driver without calibration, one without a level.
SCAN = (Path(__file__).parent / "iw_scan.txt").read_text()
DEVICES = (Path(__file__).parent / "iw_dev.txt").read_text()

EXPECTED = [
    WifiReading("aa:bb:cc:dd:ee:ff", -54.0, 1.32, "caf\u00e9 \\", 2412),
    WifiReading("00:11:22:33:44:55", -70.5, 400.0, "", 5180),
    WifiReading("00:11:22:33:44:66", -70.0, 0.0, "", 5955),
]


def test_scan_is_read_with_levels_ages_names_and_frequencies() -> None:
    assert parse_scan(SCAN, 500.0) == EXPECTED


@pytest.mark.parametrize("text", ["", "\tsignal: -1.00 dBm", "BSS nonsense", "BSS aa:bb:cc:dd:ee:ff(on wlan0)\n"])
def test_scan_without_results_is_empty(text: str) -> None:
    assert parse_scan(text, 0.0) == []


def test_interfaces_are_listed_in_order() -> None:
    assert parse_interfaces(DEVICES) == ["wlp2s0", "wlan1"]


@pytest.fixture
def iw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a program named iw first on the path; it answers as the real one does on a machine with a radio."""
    (tmp_path / "devices").write_text(DEVICES)
    (tmp_path / "dump").write_text(SCAN)
    program = tmp_path / "iw"
    program.write_text(
        "#!/bin/sh\n"
        f"cd {tmp_path}\n"
        'echo "$*" >> calls\n'
        'case "$*" in\n'
        "  dev) cat devices;;\n"
        '  *" scan dump") cat dump;;\n'
        '  *" scan") [ ! -e refusal ] || { cat refusal >&2; exit 240; }; cat dump;;\n'
        "esac\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return tmp_path


def _calls(iw: Path) -> list[str]:
    return (iw / "calls").read_text().splitlines()


def test_scan_is_asked_for_where_that_is_allowed(iw: Path) -> None:
    radio = open_radio("iw", "")
    assert (radio.name, len(radio.scan()), radio.note) == ("wlp2s0 through iw", 3, "")
    assert _calls(iw) == ["dev", "dev wlp2s0 scan"]


def test_without_root_the_newest_results_are_read_and_the_remedy_is_said(iw: Path) -> None:
    (iw / "refusal").write_text("command failed: Operation not permitted (-1)\n")
    radio = IwRadio("wlan1")
    assert [len(radio.scan()), len(radio.scan())] == [3, 3]
    assert "setcap cap_net_admin+ep" in radio.note
    assert _calls(iw) == ["dev", "dev wlan1 scan", "dev wlan1 scan dump", "dev wlan1 scan dump"]


def test_busy_radio_is_read_and_asked_again(iw: Path) -> None:
    (iw / "refusal").write_text("command failed: Device or resource busy (-16)\n")
    radio = IwRadio("")
    assert len(radio.scan()) == 3
    (iw / "refusal").unlink()
    assert len(radio.scan()) == 3
    assert _calls(iw)[-1] == "dev wlp2s0 scan"


def test_radio_that_fails_is_said(iw: Path) -> None:
    radio = IwRadio("")
    (iw / "refusal").write_text("command failed: Network is down (-100)\n")
    with pytest.raises(RadioError, match="iw dev wlp2s0 scan: command failed: Network is down"):
        radio.scan()


def test_missing_interface_is_named(iw: Path) -> None:
    with pytest.raises(RadioError, match="no Wi-Fi interface 'wlan9'; there is wlp2s0, wlan1"):
        IwRadio("wlan9")
    (iw / "devices").write_text("")
    with pytest.raises(RadioError, match="iw knows no Wi-Fi interface"):
        IwRadio("")


def test_no_radio_at_all_names_every_way_that_was_tried(iw: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (iw / "devices").write_text("")
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent")
    with pytest.raises(RadioError, match=r"no Wi-Fi radio can be used: networkmanager: .*; iw: iw knows no"):
        open_radio("auto", "")
