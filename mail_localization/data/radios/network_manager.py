"""What NetworkManager hears, over D-Bus: no root, and it goes on managing the connection."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from mail_localization.data import wifi_values as values
from mail_localization.errors import RadioError, RecordingError, importing
from mail_localization.types import WifiReading

TIMEOUT = 5.0
"""Time NetworkManager may take to answer, s."""

_NAME = "org.freedesktop.NetworkManager"
_DEVICE, _WIRELESS, _ACCESS_POINT = f"{_NAME}.Device", f"{_NAME}.Device.Wireless", f"{_NAME}.AccessPoint"
_DBUS = "org.freedesktop.DBus"
_UNAVAILABLE = 20
"""NM_DEVICE_STATE_UNAVAILABLE: switched off, or without firmware; what is below is unmanaged."""

Objects = Mapping[str, Mapping[str, Mapping[str, tuple[str, Any]]]]
"""Answer of GetManagedObjects: path -> interface -> property -> (type, value)."""


class NetworkManagerRadio:
    """A Wi-Fi interface that NetworkManager manages."""

    def __init__(self, interface: str) -> None:
        with importing("reading NetworkManager over D-Bus"):
            import jeepney.io.blocking  # noqa: F401
        self._interface, self.note = interface, ""
        self._connection: Any = None
        self._device, found = find_device(self._objects(), interface)
        self.name = f"{found} through NetworkManager"

    def scan(self) -> list[WifiReading]:
        """Ask for a scan, whose results come some seconds later, and return what is known now."""
        try:
            if not self.note:
                self._request_scan()
            return parse_objects(self._objects(), self._device, time.clock_gettime(time.CLOCK_BOOTTIME))
        except RadioError:
            # A restarted NetworkManager may have given the device another path; connect anew next time.
            self.close()
            self._device, _ = find_device(self._objects(), self._interface)
            raise

    def close(self) -> None:
        """Leave the bus."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _request_scan(self) -> None:
        try:
            self._call(self._device, _WIRELESS, "RequestScan", "a{sv}", ({},))
        except _Refused as err:
            # Refused so soon after another scan or while connecting: that one's results will do.
            if "PermissionDenied" in err.name or "AccessDenied" in err.name:
                self.note = (
                    f"may not start scans, only read NetworkManager's own ({err}): allow the user the polkit action "
                    "org.freedesktop.NetworkManager.wifi.scan"
                )

    def _objects(self) -> Objects:
        (objects,) = self._call("/org/freedesktop", f"{_DBUS}.ObjectManager", "GetManagedObjects")
        return objects  # type: ignore[no-any-return]

    def _call(self, path: str, interface: str, method: str, signature: str = "", body: tuple[Any, ...] = ()) -> Any:
        """Return the body of the answer.

        Raises:
            _Refused: the other side answered with an error.
            RadioError: there is no bus, or no answer.
        """
        from jeepney import DBusAddress, HeaderFields, MessageType, new_method_call
        from jeepney.auth import AuthenticationError
        from jeepney.io.blocking import open_dbus_connection

        try:
            if self._connection is None:
                self._connection = open_dbus_connection(bus="SYSTEM")
            message = new_method_call(DBusAddress(path, _NAME, interface), method, signature or None, body)
            reply = self._connection.send_and_get_reply(message, timeout=TIMEOUT)
        except (OSError, EOFError, AuthenticationError, ValueError) as err:
            self.close()
            raise RadioError(f"no answer on the system's D-Bus: {err!r}; is NetworkManager running?") from err
        if reply.header.message_type == MessageType.error:
            name = reply.header.fields.get(HeaderFields.error_name, "")
            raise _Refused(str(name), str(reply.body[0] if reply.body else ""))
        return reply.body


class _Refused(RadioError):
    """An error that came as an answer over D-Bus."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(f"{text or name} ({name})" if name else text)
        self.name = name


def find_device(objects: Objects, interface: str) -> tuple[str, str]:
    """Return path and name of a Wi-Fi interface, "" = the first one; RadioError where it is missing or off."""
    names = {
        path: str(interfaces.get(_DEVICE, {}).get("Interface", ("s", ""))[1])
        for path, interfaces in objects.items()
        if _WIRELESS in interfaces
    }
    if not names:
        raise RadioError("NetworkManager has no Wi-Fi device: is the adapter plugged in, its driver loaded?")
    path = next((path for path in sorted(names) if names[path] == interface or not interface), "")
    if not path:
        raise RadioError(
            f"NetworkManager has no Wi-Fi device {interface!r}; it has {', '.join(sorted(names.values()))}"
        )
    state = objects[path].get(_DEVICE, {}).get("State", ("u", _UNAVAILABLE + 1))[1]
    if state < _UNAVAILABLE:
        raise RadioError(
            f"NetworkManager does not manage {names[path]}: sudo nmcli device set {names[path]} managed yes"
        )
    if state == _UNAVAILABLE:
        raise RadioError(f"{names[path]} is switched off: nmcli radio wifi on, or rfkill unblock wifi")
    return path, names[path]


def parse_objects(objects: Objects, device: str, boottime: float) -> list[WifiReading]:
    """Return what a device hears; `boottime` (s) is now on CLOCK_BOOTTIME; RadioError where the device is gone."""
    if _WIRELESS not in objects.get(device, {}):
        raise RadioError("the Wi-Fi device is gone")
    paths = objects[device][_WIRELESS].get("AccessPoints", ("ao", []))[1]
    readings = (_reading(objects.get(path, {}).get(_ACCESS_POINT, {}), boottime) for path in paths)
    return [reading for reading in readings if reading is not None]


def _reading(properties: Mapping[str, tuple[str, Any]], boottime: float) -> WifiReading | None:
    """Build a reading; None for an access point that was never heard in a scan."""
    known = {name: value for name, (_, value) in properties.items()}
    try:
        last_seen, bssid = known["LastSeen"], values.bssid(known["HwAddress"])
        rssi_dbm = values.dbm(known["Strength"], "percent_nm")
    except (KeyError, RecordingError):
        return None
    if last_seen < 0 or not bssid:
        return None
    name = values.ssid(bytes(known.get("Ssid", b"")).decode(errors="replace"))
    return WifiReading(bssid, rssi_dbm, max(boottime - last_seen, 0.0), name, int(known.get("Frequency", 0)))
