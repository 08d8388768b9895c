from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import network_manager as nm
import pytest

from mail_localization.data.wifi_mapping import WifiMappingSettings
from mail_localization.ros.wifi_input import WifiInput
from mail_localization.types import WifiScan

COMMAND = [sys.executable, "-m", "mail_localization.ros.wifi_scanner_node", "--ros-args"]
HALL = "AA:BB:CC:DD:EE:FF"


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[nm.Service]:
    if nm.DAEMON is None:
        pytest.skip("dbus-daemon is not installed: sudo apt install dbus")
    service = nm.Service()
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", service.address)
    yield service
    service.stop()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., tuple[subprocess.Popen[bytes], Path]]]:
    started: list[subprocess.Popen[bytes]] = []

    def run(*arguments: str) -> tuple[subprocess.Popen[bytes], Path]:
        words = tmp_path / "words.txt"
        with words.open("wb") as file:
            started.append(subprocess.Popen([*COMMAND, *arguments], stdout=file, stderr=file))
        return started[-1], words

    yield run
    for process in started:
        process.kill()
        process.wait()


def _now() -> int:
    return int(time.clock_gettime(time.CLOCK_BOOTTIME))


def test_what_networkmanager_hears_is_heard_by_the_localizers_input(service, start, peer) -> None:
    service.objects = nm.objects([nm.access_point(HALL, 70, _now()), nm.access_point("00:11:22:33:44:55", 20, 1)])
    scans: list[WifiScan] = []
    input_ = WifiInput(peer.node, WifiMappingSettings(), "wifi/scan", scans.append, Counter())
    process, words = start("-p", "period:=0.2", "-p", "max_age:=600.0")

    def heard() -> bool:
        # A result that is new each time: best effort may lose the first ones.
        service.objects = nm.objects([nm.access_point(HALL, 70, _now())])
        return bool(scans) or process.poll() is not None

    peer.spin_until(heard, "no scan")
    assert process.poll() is None, words.read_text()
    (reading,) = scans[0].readings
    assert (reading.bssid, reading.rssi_dbm, reading.ssid, reading.frequency_mhz) == (HALL.lower(), -58.0, "hall", 5180)
    assert 0.0 <= reading.age < 3.0
    # What was published already is no new measurement.
    service.objects = nm.objects([nm.access_point(HALL, 70, _now())])
    peer.spin_for(1.5)
    count = len(scans)
    peer.spin_for(1.0)
    assert len(scans) == count
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 0
    assert "scanning with wlan0 through NetworkManager, publishing /wifi/scan" in words.read_text()
    assert "Traceback" not in words.read_text()
    input_.destroy()


def test_networkmanager_that_goes_is_warned_of_and_the_node_lives(service, start, peer) -> None:
    process, words = start("-p", "period:=0.2")
    peer.spin_until(lambda: "scanning with" in words.read_text(), "not started")
    service.objects = nm.objects([], radios=())
    peer.spin_until(lambda: "no scan: " in words.read_text(), "no warning")
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0, words.read_text()


@pytest.mark.parametrize("backend", ["auto", "networkmanager", "iw"])
def test_machine_without_the_radio_is_told_in_one_line(start, backend: str) -> None:
    """The real ways, tried on this machine: none has an interface of that name."""
    process, words = start("-p", "interface:=no_such_radio0", "-p", f"backend:={backend}")
    assert process.wait(60) == 1
    text = words.read_text().strip()
    assert "no Wi-Fi radio can be used: " in text
    assert len(text.splitlines()) == 1, text
    assert os.environ.get("DBUS_SYSTEM_BUS_ADDRESS") is None


def test_unknown_parameter_is_refused(start) -> None:
    process, words = start("-p", "intrface:=wlan0")
    assert process.wait(60) == 1
    assert "unknown parameter 'intrface'; did you mean 'interface'?" in words.read_text()
