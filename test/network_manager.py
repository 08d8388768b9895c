"""A private D-Bus daemon with a service on it that answers as NetworkManager does, for machines without a radio.

The objects are those of NetworkManager 1.42.4's GetManagedObjects (its manager and loopback device as recorded), the
Wi-Fi device and its access points as the project's introspection files describe them.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import Any

import jeepney
from jeepney.bus_messages import message_bus
from jeepney.io.blocking import Proxy, open_dbus_connection

DAEMON = shutil.which("dbus-daemon")

_CONFIG = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-BUS Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><listen>unix:dir={folder}</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*" eavesdrop="true"/>
<allow eavesdrop="true"/><allow own="*"/></policy>
</busconfig>
"""
_NM = "org.freedesktop.NetworkManager"
_ROOT = "/org/freedesktop/NetworkManager"
WIFI_DEVICE = f"{_ROOT}/Devices/2"


def access_point(bssid: str, percent: int, last_seen: int, ssid: bytes = b"hall", mhz: int = 5180) -> dict[str, Any]:
    return {
        f"{_NM}.AccessPoint": {
            "Flags": ("u", 1), "WpaFlags": ("u", 0), "RsnFlags": ("u", 392), "Ssid": ("ay", ssid),
            "Frequency": ("u", mhz), "HwAddress": ("s", bssid), "Mode": ("u", 2), "MaxBitrate": ("u", 270000),
            "Strength": ("y", percent), "LastSeen": ("i", last_seen),
        }
    }  # fmt: skip


def objects(
    access_points: list[dict[str, Any]], state: int = 30, radios: tuple[str, ...] = ("wlan0",)
) -> dict[str, Any]:
    """Return the answer of GetManagedObjects; the access points are those of the first radio."""
    found: dict[str, Any] = {
        _ROOT: {_NM: {"WirelessEnabled": ("b", True), "Version": ("s", "1.42.4"), "State": ("u", 20)}},
        f"{_ROOT}/AgentManager": {f"{_NM}.AgentManager": {}},
        f"{_ROOT}/Devices/1": {
            f"{_NM}.Device": {"Interface": ("s", "lo"), "State": ("u", 10), "DeviceType": ("u", 32)},
            f"{_NM}.Device.Loopback": {},
        },
    }
    paths = [f"{_ROOT}/AccessPoint/{i}" for i in range(len(access_points))]
    for i, radio in enumerate(radios):
        found[f"{_ROOT}/Devices/{2 + i}"] = {
            f"{_NM}.Device": {"Interface": ("s", radio), "State": ("u", state), "DeviceType": ("u", 2)},
            f"{_NM}.Device.Wireless": {
                "HwAddress": ("s", "02:00:00:00:00:00"), "AccessPoints": ("ao", paths if i == 0 else []),
                "LastScan": ("x", 1000),
            },
        }  # fmt: skip
    return found | dict(zip(paths, access_points, strict=True))


class Service:
    """Own NetworkManager's name on a daemon of our own; `objects` and `refusal` may be changed while it runs."""

    def __init__(self) -> None:
        # Short: a socket's path has 107 characters.
        self._folder = tempfile.TemporaryDirectory(prefix="bus")
        config = Path(self._folder.name) / "bus.conf"
        config.write_text(_CONFIG.format(folder=self._folder.name))
        self._daemon = subprocess.Popen(
            [str(DAEMON), f"--config-file={config}", "--print-address", "--nofork"], stdout=subprocess.PIPE, text=True
        )
        assert self._daemon.stdout
        self.address = self._daemon.stdout.readline().strip()
        self.objects: dict[str, Any] = objects([])
        self.refusal = ""
        self.requests = 0
        self._connection = open_dbus_connection(self.address)
        Proxy(message_bus, self._connection).RequestName(_NM)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                message = self._connection.receive()
            except (OSError, EOFError):
                return
            fields = message.header.fields
            method = fields.get(jeepney.HeaderFields.member)
            if method == "GetManagedObjects":
                reply = jeepney.new_method_return(message, "a{oa{sa{sv}}}", (self.objects,))
            elif method == "RequestScan" and not self.refusal:
                self.requests += 1
                reply = jeepney.new_method_return(message)
            elif method == "RequestScan":
                reply = jeepney.new_error(message, self.refusal, "s", ("refused",))
            else:
                continue
            self._connection.send(reply)

    def stop(self) -> None:
        self._daemon.terminate()
        self._daemon.wait(10)
        self._thread.join(10)
        self._connection.close()
        self._folder.cleanup()
