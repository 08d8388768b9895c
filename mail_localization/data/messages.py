"""Samples to and from rosbag2 messages, through the library rosbags (no ROS)."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from mail_localization.data.wifi_json import scan_to_json
from mail_localization.data.wifi_mapping import scan_from_json
from mail_localization.types import (
    ImuSample,
    MagneticSample,
    OdometrySample,
    ReferencePose,
    Sample,
    WifiScan,
)

if TYPE_CHECKING:
    from rosbags.typesys.store import Typestore

_POSE, _POSE_COVARIANCE = "geometry_msgs/msg/PoseStamped", "geometry_msgs/msg/PoseWithCovarianceStamped"
_ODOMETRY = "nav_msgs/msg/Odometry"

READ_TYPES: dict[str, tuple[str, ...]] = {
    "imu": ("sensor_msgs/msg/Imu",),
    "mag": ("sensor_msgs/msg/MagneticField",),
    # Any type that wifi_mapping can read; this one is written.
    "wifi": ("std_msgs/msg/String",),
    "odom": (_ODOMETRY,),
    "reference": (_POSE, _POSE_COVARIANCE, _ODOMETRY),
}
WRITTEN_TYPE = {stream: types[0] for stream, types in READ_TYPES.items()}
STREAM_OF: dict[type, str] = {
    ImuSample: "imu",
    MagneticSample: "mag",
    WifiScan: "wifi",
    OdometrySample: "odom",
    ReferencePose: "reference",
}


@functools.cache
def default_typestore() -> Typestore:
    """Return the message definitions for writing, and for bags that carry none (Humble, sqlite3)."""
    from rosbags.typesys import Stores, get_typestore

    return get_typestore(Stores.ROS2_HUMBLE)


def are_standard(msgtypes: Iterable[str], store: Typestore) -> bool:
    """Tell whether a bag gives the types the fields that ROS gives them."""
    return all(store.fielddefs.get(name, ((), None))[1] == default_typestore().fielddefs[name][1] for name in msgtypes)


def stamp_ns(message: Any) -> int | None:
    """Return the header's stamp in nanoseconds, None where the type has no header."""
    header = getattr(message, "header", None)
    return None if header is None else header.stamp.sec * 1_000_000_000 + header.stamp.nanosec


def from_message(message: Any, stream: str, logged_ns: int) -> Sample | ReferencePose:
    """Convert a deserialized message; where it has no stamp, the time it was logged counts."""
    return _READERS[stream](message, stamp_ns(message) or logged_ns)


def _imu_from_message(message: Any, t_ns: int) -> ImuSample:
    a, w, q = message.linear_acceleration, message.angular_velocity, message.orientation
    # REP-145: a first element of -1 says that there is no orientation; a zero quaternion says it too.
    known = message.orientation_covariance[0] != -1 and (q.x, q.y, q.z, q.w) != (0, 0, 0, 0)
    return ImuSample(t_ns, (a.x, a.y, a.z), (w.x, w.y, w.z), (q.x, q.y, q.z, q.w) if known else None)


def _magnetic_from_message(message: Any, t_ns: int) -> MagneticSample:
    b = message.magnetic_field
    return MagneticSample(t_ns, (b.x, b.y, b.z))


def _odometry_from_message(message: Any, t_ns: int) -> OdometrySample:
    p, q = message.pose.pose.position, message.pose.pose.orientation
    yaw = np.arctan2(2 * (q.w * q.z + q.x * q.y), 1 - 2 * (q.y * q.y + q.z * q.z))
    return OdometrySample(t_ns, p.x, p.y, float(yaw))


def _reference_from_message(message: Any, t_ns: int) -> ReferencePose:
    pose = message.pose
    p = pose.pose.position if hasattr(pose, "pose") else pose.position
    return ReferencePose(t_ns, p.x, p.y, p.z)


_READERS: dict[str, Callable[[Any, int], Sample | ReferencePose]] = {
    "imu": _imu_from_message,
    "mag": _magnetic_from_message,
    "wifi": lambda message, t_ns: scan_from_json(message.data, t_ns),
    "odom": _odometry_from_message,
    "reference": _reference_from_message,
}


def to_message(sample: Sample | ReferencePose, store: Typestore) -> Any:
    """Build the message of WRITTEN_TYPE for a sample."""
    make = functools.partial(_make, store)
    match sample:
        case ImuSample():
            return _imu_to_message(sample, make)
        case MagneticSample():
            field = make("geometry_msgs/msg/Vector3", *sample.field)
            return make("sensor_msgs/msg/MagneticField", _header(make, sample.t_ns, "imu_link"), field, _zeros(9))
        case WifiScan():
            return make("std_msgs/msg/String", scan_to_json(sample))
        case OdometrySample():
            return _odometry_to_message(sample, make)
        case ReferencePose():
            pose = _planar_pose(make, sample.x, sample.y, sample.z, 0.0)
            return make(_POSE, _header(make, sample.t_ns, "map"), pose)


def _imu_to_message(sample: ImuSample, make: Callable[..., Any]) -> Any:
    unknown = _zeros(9)
    unknown[0] = -1
    return make(
        "sensor_msgs/msg/Imu",
        _header(make, sample.t_ns, "imu_link"),
        make("geometry_msgs/msg/Quaternion", *(sample.orientation or (0.0, 0.0, 0.0, 1.0))),
        unknown if sample.orientation is None else _zeros(9),
        make("geometry_msgs/msg/Vector3", *sample.angular_velocity),
        _zeros(9),
        make("geometry_msgs/msg/Vector3", *sample.acceleration),
        _zeros(9),
    )


def _odometry_to_message(sample: OdometrySample, make: Callable[..., Any]) -> Any:
    still = make("geometry_msgs/msg/Vector3", 0.0, 0.0, 0.0)
    pose = _planar_pose(make, sample.x, sample.y, 0.0, sample.yaw)
    return make(
        _ODOMETRY,
        _header(make, sample.t_ns, "odom"),
        "base_link",
        make("geometry_msgs/msg/PoseWithCovariance", pose, _zeros(36)),
        make("geometry_msgs/msg/TwistWithCovariance", make("geometry_msgs/msg/Twist", still, still), _zeros(36)),
    )


def _planar_pose(make: Callable[..., Any], x: float, y: float, z: float, yaw: float) -> Any:
    point = make("geometry_msgs/msg/Point", x, y, z)
    turn = make("geometry_msgs/msg/Quaternion", 0.0, 0.0, float(np.sin(yaw / 2)), float(np.cos(yaw / 2)))
    return make("geometry_msgs/msg/Pose", point, turn)


def _header(make: Callable[..., Any], t_ns: int, frame_id: str) -> Any:
    stamp = make("builtin_interfaces/msg/Time", *divmod(t_ns, 1_000_000_000))
    return make("std_msgs/msg/Header", stamp, frame_id)


def _make(store: Typestore, msgtype: str, *values: Any) -> Any:
    return store.types[msgtype](*values)


def _zeros(n: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.zeros(n)
