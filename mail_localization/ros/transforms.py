"""Planar transforms on /tf: map->odom, map->base, and odometry read from there."""

from __future__ import annotations

import math
from collections.abc import Callable

from geometry_msgs.msg import Quaternion, Transform, TransformStamped, Vector3
from rclpy.node import Node
from std_msgs.msg import Header

from mail_localization.motion.planar import PlanarTransform
from mail_localization.ros.conversions import time_to_msg
from mail_localization.ros.settings import TargetSettings
from mail_localization.types import PoseEstimate

MISSING = (
    "publish_tf: the package tf2_msgs is not installed, so no transform is sent; install ROS 2's tf2 "
    "(apt: ros-$ROS_DISTRO-tf2-ros), or use the topic pose instead"
)
PERIOD_NS = 50_000_000
"""Sensor time between two transforms: as often as nav2 and slam_toolbox send theirs."""


def transform_to_msg(transform: PlanarTransform, t_ns: int, parent: str, child: str) -> TransformStamped:
    """Build parent_T_child in three dimensions: z, roll and pitch are zero."""
    half = transform.yaw / 2
    return TransformStamped(
        header=Header(stamp=time_to_msg(t_ns), frame_id=parent),
        child_frame_id=child,
        transform=Transform(
            translation=Vector3(x=transform.x, y=transform.y, z=0.0),
            rotation=Quaternion(x=0.0, y=0.0, z=math.sin(half), w=math.cos(half)),
        ),
    )


def transform_from_msg(msg: TransformStamped) -> PlanarTransform:
    """Read the part of a transform that is in the plane."""
    t, q = msg.transform.translation, msg.transform.rotation
    yaw = math.atan2(2 * (q.w * q.z + q.x * q.y), 1 - 2 * (q.y * q.y + q.z * q.z))
    return PlanarTransform(t.x, t.y, yaw)


def tf_broadcaster(node: Node) -> Callable[[TransformStamped], None] | None:
    """Return what sends a transform on /tf: tf2_ros, else tf2_msgs alone; None where both are missing."""
    try:
        from tf2_ros import TransformBroadcaster

        return TransformBroadcaster(node).sendTransform
    except ImportError:
        pass
    try:
        from tf2_msgs.msg import TFMessage
    except ImportError:
        return None
    # As tf2_ros does it: reliable, so that a lookup does not fail for one lost transform.
    publisher = node.create_publisher(TFMessage, "/tf", 100)
    return lambda transform: publisher.publish(TFMessage(transforms=[transform]))


class TransformOutput:
    """Send map->odom where there is odometry, else map->base_link; nothing before either is known."""

    def __init__(self, node: Node, settings: Callable[[], TargetSettings]) -> None:
        self._settings = settings
        self._newest_ns = 0
        before = set(node.publishers)
        self._send = tf_broadcaster(node) if settings().publish_tf else None
        self._node, self._own = node, set(node.publishers) - before
        if settings().publish_tf and self._send is None:
            node.get_logger().error(MISSING)

    def close(self) -> None:
        """Stop sending."""
        self._send = None
        for publisher in self._own:
            self._node.destroy_publisher(publisher)

    def reset(self) -> None:
        """Forget when the last transform was sent."""
        self._newest_ns = 0

    def odometry(self, map_T_odom: PlanarTransform | None, t_ns: int) -> None:
        """Send map->odom at the time of an odometry pose."""
        settings = self._settings()
        if map_T_odom is not None and settings.odom_frame_id:
            self._transform(map_T_odom, t_ns, settings.odom_frame_id)

    def pose(self, estimate: PoseEstimate) -> None:
        """Send map->base_link where the target has no odometry; a base of unknown heading faces along x."""
        settings = self._settings()
        if not settings.odom_frame_id:
            x, y = map(float, estimate.position)
            self._transform(PlanarTransform(x, y, estimate.yaw or 0.0), estimate.t_ns, settings.base_frame_id)

    def _transform(self, transform: PlanarTransform, t_ns: int, child: str) -> None:
        # A time before the newest one is of a clock that was set back.
        if self._send is None or 0 <= t_ns - self._newest_ns < PERIOD_NS:
            return
        self._newest_ns = t_ns
        settings = self._settings()
        holds_ns = t_ns + round(settings.transform_tolerance * 1e9)
        self._send(transform_to_msg(transform, holds_ns, settings.global_frame_id, child))
