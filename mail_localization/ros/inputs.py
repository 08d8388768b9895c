"""The subscriptions: messages in, samples out, whatever a message holds."""

from __future__ import annotations

import functools
import math
import traceback
from collections.abc import Callable
from typing import Any

import numpy as np
from geometry_msgs.msg import PoseWithCovarianceStamped
from nav_msgs.msg import Odometry
from rclpy.exceptions import ParameterException
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import Imu, MagneticField

from mail_localization.errors import ConfigError, MailLocalizationError
from mail_localization.localizer import START_STDDEV
from mail_localization.ros import conversions
from mail_localization.ros.losses import Losses
from mail_localization.ros.merged_queue import MergedQueue
from mail_localization.ros.session import TOPICS, Session
from mail_localization.ros.settings import TargetSettings
from mail_localization.ros.tf_odometry import TfOdometry
from mail_localization.ros.wifi_input import WifiInput
from mail_localization.types import OdometrySample, PoseEstimate, Sample, WifiScan

TYPES: dict[str, type] = {"imu": Imu, "mag": MagneticField, "odom": Odometry}
WARN_PERIOD = 5.0
"""Time between two warnings of one kind, s."""
Consumer = Callable[[str, Sample, PoseEstimate | None], None]
"""Hears the stream, the sample and the estimate that it made possible, if any."""


class Inputs:
    """Listen to what the model uses and to `initialpose`, feed the session and tell the consumer."""

    def __init__(
        self, node: Node, session: Session, settings: Callable[[], TargetSettings], consumer: Consumer
    ) -> None:
        self._node, self._session, self._settings, self._consumer = node, session, settings, consumer
        self._problems = session.problems
        given = settings()
        self._depth, self._scale = given.queue_depth, given.magnetic_field_scale
        self._wifi: WifiInput | None = None
        self._tf: TfOdometry | None = None
        self._subscriptions: list[Any] = []
        # What the sensors are read by: where no executor does, whoever owns the node polls it.
        self.queue = MergedQueue(Losses(node, self._problems))
        try:
            self._open(given)
        except Exception:
            self.close()
            raise

    def _open(self, given: TargetSettings) -> None:
        from_tf = given.odom_source == "tf"
        for stream in sorted(self._session.inputs - {"wifi", "odom" if from_tf else ""}):
            subscription = self._subscribe(stream)
            self.queue.add(stream, subscription)
            self._subscriptions.append(subscription)
        if from_tf:
            frames = given.odom_frame_id, given.base_frame_id
            self._tf = TfOdometry(self._node, *frames, self.receive_odometry, self.queue)
        if "wifi" in self._session.inputs:
            topic, receive = TOPICS["wifi"], self.receive_wifi
            self._wifi = WifiInput(self._node, given.wifi, topic, receive, self._problems, self.queue)
        start = self._node.create_subscription(PoseWithCovarianceStamped, "initialpose", self.receive_start, 1)
        self._subscriptions.append(start)

    def close(self) -> None:
        """Stop listening."""
        for part in (self._wifi, self._tf):
            if part is not None:
                part.destroy()
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._subscriptions.clear()

    @property
    def notes(self) -> dict[str, str]:
        """What a stream waits for, where it says so itself."""
        return {} if self._wifi is None else {"wifi": self._wifi.state}

    def receive(self, stream: str, msg: Any) -> None:
        """Convert a message, or the bytes of one, feed, hand on; nothing it holds may end the node."""
        convert = (conversions.FROM_RAW if isinstance(msg, bytes) else conversions.FROM_MSG)[stream]
        if stream == "mag":
            convert = functools.partial(convert, scale=self._scale)
        self._feed(stream, lambda: convert(msg), stamped=True)

    def receive_odometry(self, sample: OdometrySample) -> None:
        """Feed an odometry pose that was read from transforms."""
        self._feed("odom", lambda: sample, stamped=True)

    def receive_wifi(self, scan: WifiScan) -> None:
        """Feed a scan; WifiInput has given one without a stamp the time of its reception."""
        self._feed("wifi", lambda: scan, stamped=False)

    def receive_start(self, msg: PoseWithCovarianceStamped) -> None:
        """Tell the session where the target is, as RViz's "2D Pose Estimate" or nav2 says it."""
        frame = self._settings().global_frame_id
        if msg.header.frame_id not in ("", frame):
            self._warn(f"initialpose: is in frame {msg.header.frame_id!r}, not in {frame!r}; refused")
            return
        if not self._session.startable:
            self._warn(f"initialpose: method {self._session.method} finds the position by itself; refused")
            return
        told = conversions.pose_from_msg(msg)
        covariance = np.asarray(msg.pose.covariance, np.float64)
        variance = float(covariance[[0, 7]].mean())
        if not (np.isfinite(told.position).all() and math.isfinite(variance) and variance >= 0):
            self._warn("initialpose: position or covariance is not finite; refused")
            return
        stddev = math.sqrt(variance) or START_STDDEV
        q = msg.pose.pose.orientation
        yaw = math.atan2(2 * (q.w * q.z + q.x * q.y), 1 - 2 * (q.y * q.y + q.z * q.z))
        yaw_stddev = math.sqrt(covariance[35]) if 0 < covariance[35] < math.inf else 0.3
        self._session.start_at(told.t_ns, told.position, stddev, yaw if math.isfinite(yaw) else None, yaw_stddev)
        x, y = told.position
        self._node.get_logger().info(f"told to be at x {x:.2f} m, y {y:.2f} m, standard deviation {stddev:.2f} m")

    def _subscribe(self, stream: str) -> Any:
        try:
            return self._node.create_subscription(
                TYPES[stream],
                TOPICS[stream],
                self.queue.callback(stream, functools.partial(self.receive, stream)),
                QoSProfile(depth=self._depth, reliability=ReliabilityPolicy.BEST_EFFORT),
                event_callbacks=self.queue.losses.events(stream),
                qos_overriding_options=QoSOverridingOptions.with_default_policies(),
                raw=stream in conversions.FROM_RAW,
            )
        except (RuntimeError, ValueError, ParameterException) as err:
            raise ConfigError(f"{TOPICS[stream]}: {err}; see the parameters under qos_overrides") from err

    def _feed(self, stream: str, sample_of: Callable[[], Sample], stamped: bool) -> None:
        try:
            sample = sample_of()
            now_ns = self._node.get_clock().now().nanoseconds
            estimate = self._session.feed(stream, sample, now_ns, stamped)
            self._consumer(stream, sample, estimate)
        except MailLocalizationError as err:
            self._problems[f"{stream}.bad_content"] += 1
            self._warn(f"{TOPICS[stream]}: {err}")
        except Exception:
            if not self._node.context.ok():
                return  # Interrupted between two messages: there is nobody left to publish to.
            self._problems[f"{stream}.internal_error"] += 1
            self._node.get_logger().error(f"{TOPICS[stream]}: {traceback.format_exc()}", once=True)

    def _warn(self, text: str) -> None:
        self._node.get_logger().warning(text, throttle_duration_sec=WARN_PERIOD)
