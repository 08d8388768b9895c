"""The two messages that come by the hundred a second, read from their bytes.

A live node's executor and a replay spend most of their time on making message objects that are thrown away at once:
rclpy's take four times as long as this, those of rosbags seven times. Nodes and bags share it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from mail_localization.errors import RecordingError
from mail_localization.types import ImuSample, MagneticSample

_ENCAPSULATION = 4
"""Bytes before the message; alignment counts from behind them."""
_ORDER = {b"\x00\x00": ">", b"\x00\x01": "<"}
"""Order of bytes by the encapsulation of plain CDR (OMG DDS-RTPS, table 10.1)."""
_PADDING = 3
"""Most bytes that a middleware adds behind a message."""


def is_plain(raw: bytes) -> bool:
    """Tell whether a message's encapsulation is plain CDR, the only one that is read here."""
    return raw[:2] in _ORDER


def imu_from_cdr(raw: bytes) -> ImuSample:
    """Read a sensor_msgs/Imu; without a stamp `t_ns` is 0.

    Raises:
        RecordingError: it is torn.
    """
    t_ns, numbers = _stamped(raw, 37)
    orientation = numbers[:4]
    # REP-145: a first element of -1 says that there is no orientation; a zero quaternion says it too.
    known = numbers[4] != -1 and orientation != (0, 0, 0, 0)
    return ImuSample(t_ns, numbers[25:28], numbers[13:16], orientation if known else None)


def magnetic_from_cdr(raw: bytes) -> MagneticSample:
    """Read a sensor_msgs/MagneticField; without a stamp `t_ns` is 0.

    Raises:
        RecordingError: it is torn.
    """
    t_ns, numbers = _stamped(raw, 12)
    return MagneticSample(t_ns, numbers[:3])


_STAMPED = ("std_msgs/msg/Header", "builtin_interfaces/msg/Time", "geometry_msgs/msg/Vector3")
TYPES: dict[str, tuple[str, ...]] = {
    "imu": ("sensor_msgs/msg/Imu", "geometry_msgs/msg/Quaternion", *_STAMPED),
    "mag": ("sensor_msgs/msg/MagneticField", *_STAMPED),
}
"""By stream: the message read, and those in it, which must be as ROS defines them."""
READERS: dict[str, Callable[[bytes], ImuSample | MagneticSample]] = {
    "imu": imu_from_cdr,
    "mag": magnetic_from_cdr,
}
"""By stream."""


def _stamped(raw: bytes, count: int) -> tuple[int, tuple[Any, ...]]:
    """Return the header's stamp, ns, and the `count` numbers behind the header."""
    order = _ORDER[raw[:2]]
    try:
        seconds, nanoseconds, text = struct.unpack_from(f"{order}iII", raw, _ENCAPSULATION)
        # They lie at a multiple of their size.
        begin = _ENCAPSULATION + (12 + text + 7) // 8 * 8
        numbers = struct.unpack_from(f"{order}{count}d", raw, begin)
    except struct.error as err:
        raise RecordingError(f"a message of {len(raw)} bytes is torn: {err}") from err
    if len(raw) > begin + 8 * count + _PADDING:
        raise RecordingError(f"a message of {len(raw)} bytes is torn: it ends at {begin + 8 * count}")
    return seconds * 1_000_000_000 + nanoseconds, numbers
