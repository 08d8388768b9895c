"""Single values of Wi-Fi scans as senders give them: hardware addresses, levels, times, frequencies."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable
from decimal import Decimal
from numbers import Integral
from typing import Any

from mail_localization.errors import RecordingError

UNITS: dict[str, Callable[[float], float]] = {
    "dbm": lambda level: level,
    "negative_dbm": lambda level: -level,
    # NetworkManager maps -100 ... -40 dBm to 0 ... 100 %.
    "percent_nm": lambda level: -40.0 - 0.6 * (100.0 - level),
    # The other common mapping (Windows, many drivers): -100 ... -50 dBm.
    "percent": lambda level: level / 2.0 - 100.0,
}
"""Unit of a signal level -> dBm."""
STAMP_UNITS = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}
"""Unit of a numeric stamp -> nanoseconds."""
_AUTO_BELOW = {"s": 10**11, "ms": 10**14, "us": 10**17}

_PLAUSIBLE_DBM = (-200.0, 20.0)
_MAX_TEXT = 128
_MAC = re.compile(r"[0-9a-f]{12}")
_NO_ACCESS_POINT = {"", "00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff", "not-associated", "off/any", "any"}
"""What drivers and iwconfig write where no access point is heard."""


def number(value: Any, name: str) -> float:
    """Return a finite number, also out of text; RecordingError for anything else."""
    try:
        usable = not isinstance(value, bool) and (not isinstance(value, str) or len(value) < 32)
        result = float(value) if usable else math.nan
    except (TypeError, ValueError, OverflowError):
        result = math.nan
    if not math.isfinite(result):
        raise RecordingError(f"{name} is {shown(value)}; expected a number")
    return result


def bssid(value: Any) -> str:
    """Return a hardware address in lower case with colons, "" where the sender says that there is none.

    Raises:
        RecordingError: it is no text, or no address could look like that.
    """
    text = _normal_address(value) if isinstance(value, str) and len(value) <= _MAX_TEXT else None
    if text is None:
        raise RecordingError(f"hardware address is {shown(value)}; expected text such as 'aa:bb:cc:dd:ee:ff'")
    return text


# The same access points come back in every scan.
@functools.lru_cache(maxsize=8192)
def _normal_address(value: str) -> str | None:
    text = value.strip().lower()
    if not (text.isascii() and text.isprintable()):
        return None
    digits = text.replace(":", "").replace("-", "") if len(text) in (12, 17) else ""
    if _MAC.fullmatch(digits):
        text = ":".join(digits[i : i + 2] for i in range(0, 12, 2))
    return "" if text in _NO_ACCESS_POINT else text


def ssid(value: Any) -> str:
    """Return a network name that every message and file can hold, shortened to a bounded length."""
    if not isinstance(value, str):
        return ""
    if value.isascii() and value.isprintable():
        return value[:_MAX_TEXT]
    return value[:_MAX_TEXT].encode("utf-8", "replace").decode("utf-8").replace("\0", "")


def dbm(level: float, unit: str) -> float:
    """Convert a signal level to dBm; RecordingError where it cannot be in that unit."""
    result = UNITS[unit](level)
    plausible = 0 <= level <= 100 if unit.startswith("percent") else _PLAUSIBLE_DBM[0] <= result <= _PLAUSIBLE_DBM[1]
    if not plausible:
        raise RecordingError(
            f"signal level {level:g} cannot be in unit {unit!r}; set wifi.unit to one of {', '.join(UNITS)}"
        )
    return result


def frequency_mhz(value: float) -> int:
    """Return a channel's centre frequency in MHz, whether it came in Hz, kHz, MHz or GHz; 0 where it is none."""
    for factor in (1.0, 1e3, 1e-3, 1e-6) if value else ():
        if 700.0 <= value * factor <= 80_000.0:
            return round(value * factor)
    return 0


def channel_frequency(channel: int) -> int:
    """Return the centre of a 2.4 or 5 GHz channel, MHz; 0 where the channel is unknown (6 GHz repeats the numbers)."""
    if channel == 14:
        return 2484
    if 1 <= channel <= 13:
        return 2407 + 5 * channel
    return 5000 + 5 * channel if 32 <= channel <= 177 else 0


def time_ns(value: Any, unit: str = "auto") -> int:
    """Return a ROS time, or a number in a unit of STAMP_UNITS, as integer nanoseconds.

    Unit `auto` goes by size, which tells times since 1970 apart.

    Raises:
        RecordingError: it is neither.
    """
    try:
        if hasattr(value, "sec") and hasattr(value, "nanosec"):
            value, unit = int(value.sec) * 1_000_000_000 + int(value.nanosec), "ns"
        # By way of Decimal: a float has no nanoseconds left at seconds since 1970.
        exact = _exact(value)
        fitting = unit if unit != "auto" else next((u for u, limit in _AUTO_BELOW.items() if exact < limit), "ns")
        if 0 <= exact < Decimal(2**63) / STAMP_UNITS[fitting]:
            return int(exact * STAMP_UNITS[fitting])
    except (RecordingError, ArithmeticError):
        pass
    raise RecordingError(f"stamp is {shown(value)}; expected a time since 1970 in {unit} (wifi.stamp_unit)")


def _exact(value: Any) -> Decimal:
    if isinstance(value, Decimal):
        return value
    if isinstance(value, Integral) and not isinstance(value, bool):
        return Decimal(int(value))
    return Decimal(repr(number(value, "stamp")))


def shown(value: Any) -> str:
    """Return a value for an error message: short, whatever it is."""
    if isinstance(value, str):
        return repr(value[:60])
    return str(value)[:60] if isinstance(value, (int, float, Decimal)) else f"a {type(value).__name__}"
