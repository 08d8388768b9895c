"""What is read from bytes is what the library's messages hold."""

from __future__ import annotations

from pathlib import Path

import pytest
from rosbags.rosbag2 import Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from surveys import START_NS

from mail_localization.data import cdr, messages
from mail_localization.data.recording import Recording
from mail_localization.types import ImuSample, MagneticSample

SAMPLES: list[ImuSample | MagneticSample] = [
    MagneticSample(START_NS, (2e-5, -1e-6, 4.5e-5)),
    ImuSample(START_NS + 1, (0.1, -0.2, 9.8), (0.01, 0.02, -0.03), (0.0, 0.0, 0.6, 0.8)),
    ImuSample(START_NS + 2, (0.1, -0.2, 9.8), (0.01, 0.02, -0.03), None),
]


@pytest.mark.parametrize("little_endian", [True, False])
@pytest.mark.parametrize("frame", ["", "a", "imu_link", "é" * 7])
@pytest.mark.parametrize("sample", SAMPLES)
def test_bytes_are_read_as_the_library_does(
    sample: ImuSample | MagneticSample, frame: str, little_endian: bool
) -> None:
    store, stream = messages.default_typestore(), messages.STREAM_OF[type(sample)]
    msgtype = messages.WRITTEN_TYPE[stream]
    message = messages.to_message(sample, store)
    message.header.frame_id = frame
    raw = bytes(store.serialize_cdr(message, msgtype, little_endian=little_endian))
    assert cdr.is_plain(raw)
    assert cdr.READERS[stream](raw) == sample
    assert messages.from_message(store.deserialize_cdr(raw, msgtype), stream, 0) == sample


def test_bag_with_another_definition_of_imu_is_read_by_it(tmp_path: Path) -> None:
    store = get_typestore(Stores.ROS2_HUMBLE)
    fields = ["std_msgs/Header header"]
    for name in ("linear_acceleration", "angular_velocity"):
        fields += [f"geometry_msgs/Vector3 {name}", f"float64[9] {name}_covariance"]
    fields += ["geometry_msgs/Quaternion orientation", "float64[9] orientation_covariance"]
    del store.fielddefs["sensor_msgs/msg/Imu"]
    store.register(get_types_from_msg("\n".join(fields), "sensor_msgs/msg/Imu"))
    standard = messages.to_message(SAMPLES[1], messages.default_typestore())
    message = store.types["sensor_msgs/msg/Imu"](**vars(standard))
    with Writer(tmp_path / "bag", version=9) as writer:
        connection = writer.add_connection("/imu/data", "sensor_msgs/msg/Imu", typestore=store)
        writer.write(connection, START_NS, store.serialize_cdr(message, "sensor_msgs/msg/Imu"))
    assert list(Recording(tmp_path / "bag").samples()) == [SAMPLES[1]]
