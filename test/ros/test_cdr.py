"""What is read from bytes is what rclpy's objects hold."""

from __future__ import annotations

import struct

import pytest
from rclpy.serialization import serialize_message
from sensor_msgs.msg import Imu, MagneticField

from mail_localization.errors import RecordingError
from mail_localization.ros.conversions import (
    FROM_RAW,
    imu_from_msg,
    imu_from_raw,
    imu_to_msg,
    magnetic_from_msg,
    magnetic_from_raw,
    magnetic_to_msg,
)
from mail_localization.types import ImuSample, MagneticSample

T = 1_700_000_000_123_456_789
FIELD = MagneticSample(T, (2e-5, -1e-6, 4.5e-5))
TURNED = ImuSample(T, (0.1, -0.2, 9.8), (0.01, 0.02, -0.03), (0.0, 0.0, 0.6, 0.8))
BARE = ImuSample(T, (0.0, 0.0, 9.8), (0.0, 0.0, 0.0), None)


@pytest.mark.parametrize("frame", ["", "a", "imu_link", "é" * 7, "x" * 300])
def test_bytes_are_read_as_messages_are(frame: str) -> None:
    field = magnetic_to_msg(FIELD, frame)
    field.magnetic_field_covariance[0] = 3.0
    assert magnetic_from_raw(serialize_message(field)) == magnetic_from_msg(field) == FIELD
    for sample in (TURNED, BARE):
        msg = imu_to_msg(sample, frame)
        assert imu_from_raw(serialize_message(msg)) == imu_from_msg(msg) == sample


def test_orientation_of_zeros_is_none_and_a_field_is_scaled() -> None:
    bare = Imu()
    bare.orientation.w = 0.0
    assert imu_from_raw(serialize_message(bare)).orientation is None
    assert imu_from_raw(serialize_message(Imu())).orientation == (0.0, 0.0, 0.0, 1.0)
    gauss = magnetic_to_msg(MagneticSample(T, (0.2, -0.01, 0.45)))
    assert magnetic_from_raw(serialize_message(gauss), 1e-4) == magnetic_from_msg(gauss, scale=1e-4)
    assert magnetic_from_raw(serialize_message(MagneticField())).t_ns == 0


def test_other_order_of_bytes_is_read() -> None:
    head = b"\x00\x00\x00\x00" + struct.pack(">iII", T // 10**9, T % 10**9, 4) + b"imu\x00"
    assert magnetic_from_raw(head + struct.pack(">12d", *FIELD.field, *[0.0] * 9)) == FIELD


@pytest.mark.parametrize("stream", ["imu", "mag"])
def test_torn_message_is_an_error_at_every_length(stream: str) -> None:
    whole = serialize_message(imu_to_msg(TURNED) if stream == "imu" else magnetic_to_msg(FIELD))
    for length in range(2, len(whole)):
        with pytest.raises(RecordingError, match="torn"):
            FROM_RAW[stream](whole[:length])
    with pytest.raises(RecordingError, match="torn"):
        FROM_RAW[stream](whole + bytes(4))
    text = whole[:12] + struct.pack("<I", 2**32 - 1) + whole[16:]
    with pytest.raises(RecordingError, match="torn"):
        FROM_RAW[stream](text)
