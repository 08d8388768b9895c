"""A topic of Wi-Fi scans of whatever type its publisher has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.serialization import deserialize_message
from rclpy.subscription import Subscription

from mail_localization.data.wifi_mapping import WifiMapping, WifiMappingSettings
from mail_localization.data.wifi_settings import full_type
from mail_localization.errors import ConfigError, MailLocalizationError
from mail_localization.ros.losses import Losses
from mail_localization.ros.merged_queue import MergedQueue
from mail_localization.ros.message_types import message_class
from mail_localization.types import WifiScan

LOOK_PERIOD = 0.5
"""Time between two looks for a publisher and for a gathered scan that is complete, s."""
MAX_BYTES = 2 << 20
"""Longest message decoded: the largest scan is a tenth of it."""
DEPTH, DEPTH_OF_SINGLES = 5, 50
"""Messages kept: scans come once a second or less; where each access point is a message, a scan is a burst of them.
Fast DDS keeps the memory of the largest message that ever lay in each place of a queue (its payload pool has two
places more): 50 places kept 45 MB of a sender's bombs, 5 keep 7 MB."""
_WARN_PERIOD = 5.0


class WifiInput:
    """Subscribe to a topic once its type is known, and hand on the scans its messages hold.

    Raises:
        ConfigError: the type that the settings name is not installed, or lacks a field that they name.
    """

    def __init__(
        self,
        node: Node,
        settings: WifiMappingSettings,
        topic: str,
        callback: Callable[[WifiScan], None],
        problems: Counter[str],
        queue: MergedQueue | None = None,
    ) -> None:
        """Count what is refused in `problems` as `wifi.REASON`; `queue` holds what is read as one with this."""
        self._node, self._settings, self._topic = node, settings, topic
        self._callback, self._problems = callback, problems
        self._queue = MergedQueue(Losses(node, problems)) if queue is None else queue
        self._subscription: Subscription | None = None
        self._type, self._trouble = "", ""
        self._refused: set[str] = set()
        if settings.type:
            self._subscribe(full_type(settings.type))
        # Steady: under use_sim_time a silent /clock must not keep us from finding a publisher.
        self._timer = node.create_timer(LOOK_PERIOD, self._look, clock=Clock(clock_type=ClockType.STEADY_TIME))
        self._look()

    @property
    def state(self) -> str:
        """What this input waits for or listens to, for people."""
        if self._trouble:
            return self._trouble
        if self._subscription is None:
            return f"waiting for a publisher of {self._topic}"
        return f"listening to {self._topic} ({self._type})"

    @property
    def type_name(self) -> str:
        """The type listened to, "" while it is unknown."""
        return self._type if self._subscription is not None else ""

    def destroy(self) -> None:
        """Stop listening."""
        self._node.destroy_timer(self._timer)
        self._unsubscribe()

    def _look(self) -> None:
        """Follow the publishers where no type is set, and hand on a gathered scan that is complete."""
        if not self._settings.type:
            self._follow_publishers()
        if self._subscription is not None:
            for scan in self._mapping.flush(self._now_ns()):
                self._hand_on(scan)

    def _follow_publishers(self) -> None:
        types = {info.topic_type for info in self._node.get_publishers_info_by_topic(self._topic)}
        if self.type_name in types:
            return
        for name in sorted(types - self._refused):
            try:
                self._subscribe(name)
            except ConfigError as err:
                # Said once: it stays wrong until the publisher or the parameters change.
                self._refused.add(name)
                self._trouble = f"{self._topic}: {err}"
                self._node.get_logger().error(self._trouble)
            else:
                self._node.get_logger().info(self.state)
                return

    def _subscribe(self, name: str) -> None:
        kind = message_class(name)
        mapping = WifiMapping(self._settings, name, self._problems)
        empty = kind()
        mapping.check(empty)
        depth = DEPTH_OF_SINGLES if mapping.is_single(empty) else DEPTH
        # First: within a process, a topic has one type.
        self._unsubscribe()
        try:
            self._subscription = self._node.create_subscription(
                kind,
                self._topic,
                self._queue.callback("wifi", self._receive),
                QoSProfile(depth=depth, reliability=ReliabilityPolicy.BEST_EFFORT),
                event_callbacks=self._queue.losses.events("wifi"),
                qos_overriding_options=QoSOverridingOptions.with_default_policies(),
                # Raw: bytes that are no such message must fail here, not inside the executor.
                raw=True,
            )
        except RuntimeError as err:
            raise ConfigError(f"{name} cannot be subscribed to: {str(err).split(', at /')[0]}") from err
        self._queue.add("wifi", self._subscription)
        self._kind, self._mapping, self._type, self._trouble = kind, mapping, name, ""

    def _unsubscribe(self) -> None:
        self._queue.remove("wifi")
        if self._subscription is not None:
            self._node.destroy_subscription(self._subscription)
            self._subscription = None

    def _receive(self, raw: bytes) -> None:
        received_ns = self._now_ns()
        if len(raw) > MAX_BYTES:
            self._refuse("too_large", f"a message of {len(raw)} bytes is no Wi-Fi scan")
            return
        try:
            scans = self._mapping.scans(self._decoded(raw), received_ns)
        except MailLocalizationError as err:
            self._refuse("bad_content", str(err))
            return
        self._trouble = ""
        for scan in scans:
            self._hand_on(scan)

    def _decoded(self, raw: bytes) -> Any:
        try:
            return deserialize_message(raw, self._kind)
        except Exception as err:
            # Bytes from a stranger: the decoder has no error class of its own.
            raise MailLocalizationError(f"message is no {self._type}: {str(err)[:200]}") from err

    def _hand_on(self, scan: WifiScan) -> None:
        if scan.t_ns > 0:
            self._callback(scan)
        else:
            self._problems["wifi.dropped_before_clock"] += 1

    def _refuse(self, name: str, reason: str) -> None:
        self._problems[f"wifi.{name}"] += 1
        self._trouble = f"{self._topic}: {reason}"
        self._node.get_logger().warning(self._trouble, throttle_duration_sec=_WARN_PERIOD)

    def _now_ns(self) -> int:
        now: int = self._node.get_clock().now().nanoseconds
        return now
