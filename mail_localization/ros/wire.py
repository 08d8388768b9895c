"""IMU and magnetometer messages read from the bytes that came: rclpy's objects take four times as long to make."""

from __future__ import annotations

import struct
from typing import Any

from rclpy.serialization import deserialize_message
from sensor_msgs.msg import Imu, MagneticField

from mail_localization.errors import RecordingError
from mail_localization.ros.conversions import imu_from_msg, magnetic_from_msg
from mail_localization.types import ImuSample, MagneticSample

_ENCAPSULATION = 4
"""Bytes before the message; the second tells the order of bytes where the first is 0 and it is 0 or 1 (plain CDR)."""


def imu_from_raw(raw: bytes) -> ImuSample:
    """Read a serialized sensor_msgs/Imu as imu_from_msg does; RecordingError where it is torn."""
    if not _is_plain(raw):
        return imu_from_msg(deserialize_message(raw, Imu))
    t_ns, numbers = _stamped(raw, 37)
    orientation, covariance = numbers[:4], numbers[4]
    known = covariance != -1 and orientation != (0, 0, 0, 0)
    return ImuSample(t_ns, numbers[25:28], numbers[13:16], orientation if known else None)


def magnetic_from_raw(raw: bytes, scale: float = 1.0) -> MagneticSample:
    """Read a serialized sensor_msgs/MagneticField as magnetic_from_msg does; RecordingError where it is torn."""
    if not _is_plain(raw):
        return magnetic_from_msg(deserialize_message(raw, MagneticField), scale=scale)
    t_ns, (x, y, z, *_) = _stamped(raw, 12)
    return MagneticSample(t_ns, (x * scale, y * scale, z * scale))


FROM_RAW: dict[str, Any] = {"imu": imu_from_raw, "mag": magnetic_from_raw}


def _is_plain(raw: bytes) -> bool:
    return raw[:2] in (b"\x00\x00", b"\x00\x01")


def _stamped(raw: bytes, count: int) -> tuple[int, tuple[Any, ...]]:
    """Return the header's stamp, ns, and the numbers behind the header."""
    order = "<" if raw[1] else ">"
    try:
        seconds, nanoseconds, text = struct.unpack_from(f"{order}iII", raw, _ENCAPSULATION)
        # They lie at a multiple of their size.
        begin = _ENCAPSULATION + (12 + text + 7) // 8 * 8
        return seconds * 1_000_000_000 + nanoseconds, struct.unpack_from(f"{order}{count}d", raw, begin)
    except struct.error as err:
        raise RecordingError(f"a message of {len(raw)} bytes is torn: {err}") from err
