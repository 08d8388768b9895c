"""The machine's own Wi-Fi radio: what it hears, by NetworkManager over D-Bus or by the tool iw. Linux only.

D-Bus goes through jeepney: pure Python, kept up, and in Debian and Ubuntu (python3-jeepney). `nmcli` would need no
library, but does not tell how old a result is.
"""

from __future__ import annotations

from typing import Protocol

from mail_localization.data.radios.iw import IwRadio
from mail_localization.data.radios.network_manager import NetworkManagerRadio
from mail_localization.errors import MissingDependencyError, RadioError
from mail_localization.types import WifiReading

BACKENDS: dict[str, type[Radio]] = {"networkmanager": NetworkManagerRadio, "iw": IwRadio}


class Radio(Protocol):
    """A Wi-Fi interface that can be asked what it hears."""

    name: str
    """Interface and backend, for people."""
    note: str
    """What it may not do and the remedy; "" where it may do all."""

    def __init__(self, interface: str) -> None:
        """Open an interface, "" = the first one; RadioError where there is none."""

    def scan(self) -> list[WifiReading]:
        """Ask for a scan where that is allowed, and return what is known now, with the age of each result.

        Raises:
            RadioError: the radio, or the way to it, is gone.
        """


def open_radio(backend: str, interface: str) -> Radio:
    """Return the radio by one of BACKENDS, or by the first that works (`auto`); RadioError where none does."""
    reasons = []
    for name in BACKENDS if backend == "auto" else (backend,):
        try:
            return BACKENDS[name](interface)
        except (RadioError, MissingDependencyError) as err:
            reasons.append(f"{name}: {err}")
    raise RadioError("no Wi-Fi radio can be used: " + "; ".join(reasons))
