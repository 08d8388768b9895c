from __future__ import annotations

import math

import numpy as np
import pytest
from rclpy.serialization import deserialize_message, serialize_message

from mail_localization.data import messages
from mail_localization.errors import RecordingError
from mail_localization.ros import conversions as c
from mail_localization.types import (
    ImuSample,
    MagneticSample,
    OdometrySample,
    PoseEstimate,
    ReferencePose,
    WifiReading,
    WifiScan,
)

T = 1_700_000_000_123_456_789
IMU = ImuSample(T, (0.1, -0.2, 9.8), (0.01, 0.02, -0.03), (0.0, 0.0, 0.6, 0.8))
PAIRS = [
    (MagneticSample(T, (2e-5, -1e-6, 4.5e-5)), c.magnetic_to_msg, c.magnetic_from_msg),
    (IMU, c.imu_to_msg, c.imu_from_msg),
    (ImuSample(T, (0.0, 0.0, 9.8), (0.0, 0.0, 0.0), None), c.imu_to_msg, c.imu_from_msg),
    (WifiScan(T, (WifiReading("aa:bb:cc:dd:ee:ff", -61.5, 0.2, "hall", 5180),)), c.wifi_to_msg, c.wifi_from_msg),
    (ReferencePose(T, 1.5, -2.5, 0.5), c.reference_to_msg, c.reference_from_msg),
]


@pytest.mark.parametrize(("sample", "to_msg", "from_msg"), PAIRS)
def test_sample_survives_the_wire(sample, to_msg, from_msg) -> None:
    msg = to_msg(sample)
    assert from_msg(deserialize_message(serialize_message(msg), type(msg))) == sample


@pytest.mark.parametrize("yaw", [0.0, 1.0, -3.0, math.pi / 2])
def test_odometry_survives_the_wire(yaw: float) -> None:
    sample = OdometrySample(T, 1.0, -2.0, yaw)
    read = c.odometry_from_msg(c.odometry_to_msg(sample))
    assert (read.t_ns, read.x, read.y) == (T, 1.0, -2.0)
    assert read.yaw == pytest.approx(yaw)


def test_pose_survives_the_wire_and_marks_unobserved_axes() -> None:
    estimate = PoseEstimate(T, np.array([3.0, 4.0]), np.array([[0.5, 0.1], [0.1, 0.25]]))
    msg = c.pose_to_msg(estimate, "map", 1e6)
    read = c.pose_from_msg(deserialize_message(serialize_message(msg), type(msg)))
    assert (read.t_ns, msg.header.frame_id) == (T, "map")
    np.testing.assert_array_equal(read.position, estimate.position)
    np.testing.assert_array_equal(read.covariance, estimate.covariance)
    assert np.diag(msg.pose.covariance.reshape(6, 6))[2:].tolist() == [1e6] * 4
    assert msg.pose.pose.orientation.w == 1.0


@pytest.mark.parametrize(("sample", "to_msg"), [(s, to_msg) for s, to_msg, _ in PAIRS])
def test_bag_and_node_read_the_same_sample(sample, to_msg) -> None:
    written = messages.to_message(sample, messages.default_typestore())
    raw = bytes(messages.default_typestore().serialize_cdr(written, written.__msgtype__))
    msg = deserialize_message(raw, type(to_msg(sample)))
    from_msg = next(f for s, _, f in PAIRS if s is sample)
    assert from_msg(msg) == sample


def test_zero_stamp_takes_the_time_of_reception() -> None:
    assert c.imu_from_msg(c.imu_to_msg(ImuSample(0, IMU.acceleration, IMU.angular_velocity)), 5).t_ns == 5


def test_magnetic_scale_makes_tesla() -> None:
    msg = c.magnetic_to_msg(MagneticSample(T, (20.0, -1.0, 45.0)))
    assert c.magnetic_from_msg(msg, scale=1e-6).field == pytest.approx((2e-5, -1e-6, 4.5e-5))


def test_bad_wifi_text_is_a_recording_error() -> None:
    with pytest.raises(RecordingError, match="not JSON"):
        c.wifi_from_msg(c.String(data="not json"), T)
