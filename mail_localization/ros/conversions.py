"""Messages to samples and back, in `x_from_msg` / `x_to_msg` pairs.

Reading is shared with the bags (data/messages.py, data/cdr.py), so that a live node and a replay see the same numbers.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Point, PoseStamped, PoseWithCovarianceStamped, Quaternion, Vector3
from nav_msgs.msg import Odometry
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import Imu, MagneticField
from std_msgs.msg import Header, String

from mail_localization.data import cdr, messages
from mail_localization.data.wifi_json import scan_to_json
from mail_localization.types import (
    ImuSample,
    MagneticSample,
    OdometrySample,
    PoseEstimate,
    ReferencePose,
    WifiScan,
)

stamp_ns = messages.stamp_ns


def time_to_msg(t_ns: int) -> Time:
    """Build a stamp from integer nanoseconds."""
    seconds, nanoseconds = divmod(t_ns, 1_000_000_000)
    return Time(sec=seconds, nanosec=nanoseconds)


def magnetic_from_msg(msg: MagneticField, received_ns: int = 0, scale: float = 1.0) -> MagneticSample:
    """Read a magnetometer message; `scale` times its field is in tesla, `received_ns` replaces a zero stamp."""
    b = msg.magnetic_field
    return MagneticSample(stamp_ns(msg) or received_ns, (b.x * scale, b.y * scale, b.z * scale))


def magnetic_from_raw(raw: bytes, scale: float = 1.0) -> MagneticSample:
    """Read the bytes of a magnetometer message as `magnetic_from_msg` does; RecordingError where they are torn."""
    if not cdr.is_plain(raw):
        return magnetic_from_msg(deserialize_message(raw, MagneticField), scale=scale)
    sample = cdr.magnetic_from_cdr(raw)
    x, y, z = sample.field
    return MagneticSample(sample.t_ns, (x * scale, y * scale, z * scale))


def magnetic_to_msg(sample: MagneticSample, frame_id: str = "imu_link") -> MagneticField:
    """Build a magnetometer message, tesla."""
    return MagneticField(header=_header(sample.t_ns, frame_id), magnetic_field=_vector(sample.field))


def imu_from_msg(msg: Imu, received_ns: int = 0) -> ImuSample:
    """Read an IMU message; `received_ns` replaces a zero stamp."""
    return messages.from_message(msg, "imu", received_ns)  # type: ignore[return-value]


def imu_from_raw(raw: bytes) -> ImuSample:
    """Read the bytes of an IMU message as `imu_from_msg` does; RecordingError where they are torn."""
    return cdr.imu_from_cdr(raw) if cdr.is_plain(raw) else imu_from_msg(deserialize_message(raw, Imu))


def imu_to_msg(sample: ImuSample, frame_id: str = "imu_link") -> Imu:
    """Build an IMU message; without orientation its first covariance element is -1 (REP-145)."""
    msg = Imu(header=_header(sample.t_ns, frame_id))
    msg.linear_acceleration, msg.angular_velocity = _vector(sample.acceleration), _vector(sample.angular_velocity)
    if sample.orientation is None:
        msg.orientation_covariance[0] = -1.0
    else:
        x, y, z, w = sample.orientation
        msg.orientation = Quaternion(x=x, y=y, z=z, w=w)
    return msg


def wifi_from_msg(msg: String, received_ns: int = 0) -> WifiScan:
    """Read a Wi-Fi scan in JSON; `received_ns` replaces a missing stamp; RecordingError on bad content."""
    return messages.from_message(msg, "wifi", received_ns)  # type: ignore[return-value]


def wifi_to_msg(scan: WifiScan) -> String:
    """Build a Wi-Fi scan message in JSON."""
    return String(data=scan_to_json(scan))


def odometry_from_msg(msg: Odometry, received_ns: int = 0) -> OdometrySample:
    """Read a planar odometry pose; `received_ns` replaces a zero stamp."""
    return messages.from_message(msg, "odom", received_ns)  # type: ignore[return-value]


def odometry_to_msg(sample: OdometrySample) -> Odometry:
    """Build an odometry message, odom_T_base; the twist stays zero."""
    msg = Odometry(header=_header(sample.t_ns, "odom"), child_frame_id="base_link")
    msg.pose.pose.position = Point(x=sample.x, y=sample.y, z=0.0)
    msg.pose.pose.orientation = Quaternion(z=math.sin(sample.yaw / 2), w=math.cos(sample.yaw / 2))
    return msg


def reference_from_msg(msg: PoseStamped, received_ns: int = 0) -> ReferencePose:
    """Read a surveyed position; `received_ns` replaces a zero stamp."""
    return messages.from_message(msg, "reference", received_ns)  # type: ignore[return-value]


def reference_to_msg(pose: ReferencePose, frame_id: str = "map") -> PoseStamped:
    """Build a surveyed position message without attitude."""
    msg = PoseStamped(header=_header(pose.t_ns, frame_id))
    msg.pose.position = Point(x=pose.x, y=pose.y, z=pose.z)
    return msg


def pose_to_msg(
    estimate: PoseEstimate, frame_id: str = "map", unobserved_variance: float = 1e6
) -> PoseWithCovarianceStamped:
    """Build a pose; z, roll, pitch and an unknown yaw are unobserved (1e6 where 1.8e308 would make a filter's NaN)."""
    msg = PoseWithCovarianceStamped(header=_header(estimate.t_ns, frame_id))
    x, y = estimate.position
    msg.pose.pose.position = Point(x=float(x), y=float(y), z=0.0)
    covariance = np.diag([0.0, 0.0] + [unobserved_variance] * 4)
    covariance[:2, :2] = estimate.covariance
    if estimate.yaw is not None:
        msg.pose.pose.orientation = Quaternion(z=math.sin(estimate.yaw / 2), w=math.cos(estimate.yaw / 2))
        covariance[5, 5] = unobserved_variance if estimate.yaw_stddev is None else estimate.yaw_stddev**2
    msg.pose.covariance = covariance.ravel()
    return msg


def pose_from_msg(msg: PoseWithCovarianceStamped) -> PoseEstimate:
    """Read the position and its covariance."""
    p = msg.pose.pose.position
    covariance = np.asarray(msg.pose.covariance, np.float64).reshape(6, 6)[:2, :2].copy()
    return PoseEstimate(stamp_ns(msg) or 0, np.array([p.x, p.y]), covariance)


def _header(t_ns: int, frame_id: str) -> Header:
    return Header(stamp=time_to_msg(t_ns), frame_id=frame_id)


def _vector(values: tuple[float, float, float]) -> Vector3:
    x, y, z = map(float, values)
    return Vector3(x=x, y=y, z=z)


FROM_MSG: dict[str, Any] = {
    "imu": imu_from_msg,
    "mag": magnetic_from_msg,
    "wifi": wifi_from_msg,
    "odom": odometry_from_msg,
}
"""By stream."""
FROM_RAW: dict[str, Any] = {"imu": imu_from_raw, "mag": magnetic_from_raw}
"""By stream: those that are subscribed to as bytes."""
