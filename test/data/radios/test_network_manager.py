from __future__ import annotations

import time
from collections.abc import Iterator

import network_manager as nm
import pytest

from mail_localization.data.radios import open_radio
from mail_localization.data.radios.network_manager import NetworkManagerRadio, find_device, parse_objects
from mail_localization.errors import RadioError
from mail_localization.types import WifiReading

HALL = "AA:BB:CC:DD:EE:FF"


def test_percent_becomes_dbm_and_last_seen_becomes_age() -> None:
    objects = nm.objects([nm.access_point(HALL, 100, 990), nm.access_point("00:11:22:33:44:55", 0, 999, b"\xff", 2412)])
    assert parse_objects(objects, nm.WIFI_DEVICE, 1000.5) == [
        WifiReading(HALL.lower(), -40.0, 10.5, "hall", 5180),
        WifiReading("00:11:22:33:44:55", -100.0, 1.5, "\ufffd", 2412),
    ]


def test_access_point_that_was_never_heard_is_left_out() -> None:
    # -1: known from a connection attempt only.
    assert parse_objects(nm.objects([nm.access_point(HALL, 50, -1)]), nm.WIFI_DEVICE, 1000.0) == []


def test_access_point_without_properties_is_left_out() -> None:
    objects = nm.objects([{}, {"org.freedesktop.NetworkManager.AccessPoint": {"Strength": ("y", 200)}}])
    assert parse_objects(objects, nm.WIFI_DEVICE, 1000.0) == []


def test_device_is_found_by_name_or_is_the_first() -> None:
    objects = nm.objects([], radios=("wlan1", "wlan0"))
    assert find_device(objects, "") == (nm.WIFI_DEVICE, "wlan1")
    assert find_device(objects, "wlan0")[1] == "wlan0"


@pytest.mark.parametrize(
    ("objects", "interface", "words"),
    [
        (nm.objects([], radios=()), "", "no Wi-Fi device: is the adapter plugged in"),
        (nm.objects([]), "wlan7", "no Wi-Fi device 'wlan7'; it has wlan0"),
        (nm.objects([], state=10), "", "does not manage wlan0: sudo nmcli device set wlan0 managed yes"),
        (nm.objects([], state=20), "", "wlan0 is switched off: nmcli radio wifi on"),
    ],
)
def test_missing_or_switched_off_device_is_named_with_the_remedy(objects, interface: str, words: str) -> None:
    with pytest.raises(RadioError, match=words):
        find_device(objects, interface)


def test_device_that_is_gone_is_said() -> None:
    with pytest.raises(RadioError, match="gone"):
        parse_objects(nm.objects([], radios=()), nm.WIFI_DEVICE, 0.0)


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[nm.Service]:
    if nm.DAEMON is None:
        pytest.skip("dbus-daemon is not installed: sudo apt install dbus")
    service = nm.Service()
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", service.address)
    yield service
    service.stop()


def _now() -> int:
    return int(time.clock_gettime(time.CLOCK_BOOTTIME))


def test_scan_over_dbus(service: nm.Service) -> None:
    service.objects = nm.objects([nm.access_point(HALL, 70, _now() - 3)])
    radio = open_radio("networkmanager", "")
    assert radio.name == "wlan0 through NetworkManager"
    (reading,) = radio.scan()
    assert (reading.bssid, reading.rssi_dbm) == (HALL.lower(), -58.0)
    assert 3.0 <= reading.age < 5.0
    assert (service.requests, radio.note) == (1, "")


def test_refused_scan_request_leaves_what_is_known(service: nm.Service) -> None:
    service.objects = nm.objects([nm.access_point(HALL, 70, _now())])
    radio = NetworkManagerRadio("")
    service.refusal = "org.freedesktop.NetworkManager.Device.NotAllowed"
    assert len(radio.scan()) == 1
    assert radio.note == ""
    service.refusal = "org.freedesktop.DBus.Error.AccessDenied"
    assert len(radio.scan()) == 1
    assert "polkit action org.freedesktop.NetworkManager.wifi.scan" in radio.note


def test_adapter_that_is_plugged_in_again_is_found_again(service: nm.Service) -> None:
    first = nm.objects([nm.access_point(HALL, 70, _now())])
    service.objects = first
    radio = NetworkManagerRadio("")
    service.objects = nm.objects([], radios=())
    with pytest.raises(RadioError):
        radio.scan()
    service.objects = {path.replace("Devices/2", "Devices/9"): found for path, found in first.items()}
    with pytest.raises(RadioError, match="gone"):
        radio.scan()
    assert len(radio.scan()) == 1


def test_without_a_bus_or_a_service_the_reason_is_said(service: nm.Service, monkeypatch: pytest.MonkeyPatch) -> None:
    radio = NetworkManagerRadio("")
    service.stop()
    with pytest.raises(RadioError, match="is NetworkManager running"):
        radio.scan()
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent")
    with pytest.raises(RadioError, match="is NetworkManager running"):
        NetworkManagerRadio("")
