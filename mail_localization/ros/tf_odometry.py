"""Odometry that is published as transforms only: odom_T_base read from /tf and /tf_static."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
from geometry_msgs.msg import TransformStamped
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile

from mail_localization.data.messages import stamp_ns
from mail_localization.ros.losses import Losses
from mail_localization.ros.merged_queue import MergedQueue
from mail_localization.types import FloatArray, OdometrySample

MISSING = (
    "odom_source is tf, but the package tf2_msgs is not installed, so there is no odometry; install ROS 2's tf2 "
    "(apt: ros-$ROS_DISTRO-tf2-ros), or set odom_source to topic"
)
_MOST_FRAMES = 1000
_LONGEST_CHAIN = 20


class FrameTree:
    """The newest transform of each frame to its parent, and the chain between two of them."""

    def __init__(self, parent: str, child: str) -> None:
        self._parent, self._child = parent, child
        self._edges: dict[str, tuple[str, FloatArray]] = {}

    def add(self, transform: TransformStamped) -> bool:
        """Take a transform in; tell whether it is part of the chain from the child up to the parent."""
        frame = transform.child_frame_id.lstrip("/")
        if frame in self._edges or len(self._edges) < _MOST_FRAMES:
            self._edges[frame] = transform.header.frame_id.lstrip("/"), _matrix(transform)
        return frame in self._chain()

    def chained(self) -> FloatArray | None:
        """Return parent_T_child (4, 4), or None while a link is missing."""
        chain = self._chain()
        if not chain or self._edges[chain[-1]][0] != self._parent:
            return None
        product = np.eye(4)
        for frame in chain:
            product = self._edges[frame][1] @ product
        return product

    def _chain(self) -> list[str]:
        """Return the frames from the child up to the one just below the parent, or as far as known."""
        frames: list[str] = []
        frame = self._child
        while frame in self._edges and frame != self._parent and len(frames) < _LONGEST_CHAIN:
            frames.append(frame)
            frame = self._edges[frame][0]
        return frames


class TfOdometry:
    """Hand on an odometry sample whenever a transform between the odometry's frame and the base is sent."""

    def __init__(
        self,
        node: Node,
        parent: str,
        child: str,
        callback: Callable[[OdometrySample], None],
        queue: MergedQueue | None = None,
    ) -> None:
        """Take the queue that /tf is read in, with others."""
        self._queue = MergedQueue(Losses(node, Counter())) if queue is None else queue
        self._node, self._callback = node, callback
        self._tree = FrameTree(parent, child)
        self._subscriptions: list[Any] = []
        try:
            from tf2_msgs.msg import TFMessage
        except ImportError:
            node.get_logger().error(MISSING)
            return
        # As tf2's own listener does it.
        latched = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._subscriptions = [
            node.create_subscription(TFMessage, "/tf", self._queue.callback("tf", self.receive), 100),
            node.create_subscription(TFMessage, "/tf_static", self.receive_static, latched),
        ]
        self._queue.add("tf", self._subscriptions[0])

    def destroy(self) -> None:
        """Stop listening."""
        self._queue.remove("tf")
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._subscriptions.clear()

    def receive_static(self, msg: Any) -> None:
        """Take in transforms that hold at any time."""
        for transform in msg.transforms:
            self._tree.add(transform)

    def receive(self, msg: Any) -> None:
        """Take in transforms, and hand on what they make of the chain."""
        changed = [transform for transform in msg.transforms if self._tree.add(transform)]
        odom_T_base = self._tree.chained() if changed else None
        if odom_T_base is not None:
            newest = max(stamp_ns(transform) or 0 for transform in changed)
            yaw = math.atan2(odom_T_base[1, 0], odom_T_base[0, 0])
            self._callback(OdometrySample(newest, float(odom_T_base[0, 3]), float(odom_T_base[1, 3]), yaw))


def _matrix(msg: TransformStamped) -> FloatArray:
    """Return parent_T_child (4, 4)."""
    t, q = msg.transform.translation, msg.transform.rotation
    x, y, z, w = q.x, q.y, q.z, q.w
    return np.array([
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w), t.x],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w), t.y],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y), t.z],
        [0.0, 0.0, 0.0, 1.0],
    ])  # fmt: skip
