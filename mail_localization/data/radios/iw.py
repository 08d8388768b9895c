"""What the tool `iw` hears. Reading the kernel's newest results needs no root; asking for a new scan does."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time

from mail_localization.data import wifi_values as values
from mail_localization.errors import RadioError, RecordingError
from mail_localization.types import WifiReading

SCAN_TIMEOUT = 20.0
"""Time a scan of all channels may take, s."""

_BSS = re.compile(r"BSS ([0-9a-fA-F:]{17})")
# One tab: what stands deeper belongs to an information element, whose text the access point chooses.
_FIELD = re.compile(r"\t(freq|signal|last seen|SSID): (.*)")
_ESCAPE = re.compile(rb"\\x([0-9a-fA-F]{2})")


class IwRadio:
    """A Wi-Fi interface, through `iw dev INTERFACE scan`."""

    def __init__(self, interface: str) -> None:
        # Without root /usr/sbin may not be on the path.
        self._iw = shutil.which("iw", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin") or ""
        if not self._iw:
            raise RadioError("iw is not installed: sudo apt install iw")
        found = parse_interfaces(self._run("dev"))
        if not found:
            raise RadioError("iw knows no Wi-Fi interface (`iw dev`): is the adapter plugged in, its driver loaded?")
        if interface and interface not in found:
            raise RadioError(f"no Wi-Fi interface {interface!r}; there is {', '.join(found)}")
        self._interface = interface or found[0]
        self.name, self.note = f"{self._interface} through iw", ""

    def scan(self) -> list[WifiReading]:
        """Scan where this user may; otherwise return what the kernel heard last, with its age."""
        if not self.note:
            try:
                return parse_scan(self._run("dev", self._interface, "scan"), _boottime())
            except RadioError as err:
                if "not permitted" in str(err):
                    self.note = (
                        "may not start scans, only read what others start: run NetworkManager, or allow it by "
                        f"`sudo setcap cap_net_admin+ep {self._iw}`"
                    )
                elif "busy" not in str(err):
                    raise
        return parse_scan(self._run("dev", self._interface, "scan", "dump"), _boottime())

    def _run(self, *arguments: str) -> str:
        command = [self._iw, *arguments]
        try:
            done = subprocess.run(
                command, capture_output=True, timeout=SCAN_TIMEOUT, check=False, env=os.environ | {"LC_ALL": "C"}
            )
        except (OSError, subprocess.TimeoutExpired) as err:
            raise RadioError(f"{' '.join(command)}: {err}") from err
        if done.returncode:
            words = (done.stderr or done.stdout).decode(errors="replace").strip()
            raise RadioError(f"{' '.join(command)}: {words[:200]}")
        return done.stdout.decode(errors="replace")


def parse_interfaces(text: str) -> list[str]:
    """Return the interfaces that `iw dev` lists, in its order."""
    return re.findall(r"^\s*Interface (\S+)", text, re.MULTILINE)


def parse_scan(text: str, boottime: float) -> list[WifiReading]:
    """Return the readings in the output of `iw dev INTERFACE scan`; `boottime` (s) is now on CLOCK_BOOTTIME."""
    stations: list[tuple[str, dict[str, str]]] = []
    for line in text.splitlines():
        if station := _BSS.match(line):
            stations.append((station[1], {}))
        elif stations and (field := _FIELD.match(line)):
            name = "boottime" if field[2].endswith("[boottime]") else field[1]
            stations[-1][1].setdefault(name, field[2])
    readings = (_reading(bssid, fields, boottime) for bssid, fields in stations)
    return [reading for reading in readings if reading is not None]


def _reading(bssid: str, fields: dict[str, str], boottime: float) -> WifiReading | None:
    """Build a reading; None where the driver gives no level."""
    level, _, unit = fields.get("signal", "").partition(" ")
    try:
        # Drivers without calibration give a share of 100.
        rssi_dbm = float(level) if unit == "dBm" else values.dbm(float(level.removesuffix("/100")), "percent")
        ms, seconds = fields.get("last seen", "").split(" ")[0], fields.get("boottime", "").split("s")[0]
        age = float(ms) * 1e-3 if ms else boottime - float(seconds) if seconds else 0.0
        frequency = values.frequency_mhz(float(fields.get("freq", "0")))
    except (ValueError, RecordingError):
        return None
    return WifiReading(bssid.lower(), rssi_dbm, max(age, 0.0), _ssid(fields.get("SSID", "")), frequency)


def _ssid(text: str) -> str:
    r"""Return a name out of iw's printable form, in which other bytes are `\xNN`."""
    raw = _ESCAPE.sub(lambda match: bytes([int(match[1], 16)]), text.encode())
    return values.ssid(raw.decode(errors="replace"))


def _boottime() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)
