"""Publish recordings over ROS with their original timing, where `ros2 bag play` is not installed."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rclpy
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile
from rclpy.signals import SignalHandlerOptions
from rosgraph_msgs.msg import Clock

from mail_localization.config import Settings, setting
from mail_localization.data.recording import open_bag
from mail_localization.errors import ConfigError, RecordingError
from mail_localization.ros.conversions import time_to_msg
from mail_localization.ros.message_types import message_class

if TYPE_CHECKING:
    from rosbags.highlevel import AnyReader

CLOCK_PERIOD = 0.01
"""Wall time between two messages on /clock, s."""
SEND_TIMEOUT = 10.0
"""Time a subscriber may take nothing before the player gives up, s."""
Observer = Callable[[str, int, bytes], None]


class PlaySettings(Settings):
    """How a recording is played."""

    rate: float = setting(1.0, "speed, 1 = as recorded", minimum=1e-3, maximum=1e4)
    clock: bool = setting(False, "publish /clock, for nodes with use_sim_time")
    only: tuple[str, ...] = setting((), "topics to play; none = all")


@dataclasses.dataclass(frozen=True)
class _Event:
    """What is due at an instant of the recording: a message, or a tick of the clock where `raw` is None."""

    t_ns: int
    topic: str = ""
    raw: bytes | None = None


class Player:
    """Publish the raw messages of bags, one bag after the other.

    Raises:
        RecordingError: a bag cannot be read, or a message type of it is not installed.
    """

    def __init__(
        self,
        node: Node,
        bags: Sequence[Path],
        settings: PlaySettings = PlaySettings(),
        remap: Mapping[str, str] | None = None,
        qos: QoSProfile | None = None,
    ) -> None:
        self._node, self._bags, self._settings = node, bags, settings
        self._remap = dict(remap or {})
        self._clock = node.create_publisher(Clock, "/clock", 10) if settings.clock else None
        self.publishers: dict[str, Publisher] = {}
        for bag in bags:
            with open_bag(bag) as reader:
                for connection in self._wanted(reader):
                    self._advertise(bag, connection.topic, connection.msgtype, qos or QoSProfile(depth=1000))
        if not self.publishers:
            raise RecordingError(f"{', '.join(map(str, bags))}: none of the topics {', '.join(settings.only)}")

    def wait_for_subscribers(self, seconds: float, settle: float = 0.3) -> bool:
        """Wait until somebody listens and the number of listeners has stood still for `settle` s; False if nobody."""
        deadline = time.monotonic() + seconds
        seen, since = 0, time.monotonic()
        while time.monotonic() < deadline:
            count = sum(publisher.get_subscription_count() for publisher in self.publishers.values())
            if count != seen:
                seen, since = count, time.monotonic()
            if seen and time.monotonic() - since >= settle:
                return True
            time.sleep(0.02)
        return seen > 0

    def play(self, observe: Observer | None = None) -> int:
        """Publish all bags once and return the number of messages; `observe` hears topic, log time (ns) and bytes."""
        return sum(self._play_bag(bag, observe) for bag in self._bags)

    def _play_bag(self, bag: Path, observe: Observer | None) -> int:
        count = 0
        with open_bag(bag) as reader:
            start_wall, start_ns = time.monotonic(), reader.start_time
            for event in self._events(reader):
                _sleep_until(start_wall + (event.t_ns - start_ns) * 1e-9 / self._settings.rate)
                if event.raw is None:
                    self._tick(event.t_ns)
                    continue
                if observe:
                    observe(event.topic, event.t_ns, event.raw)
                self._send(self.publishers[event.topic], event.raw)
                count += 1
        return count

    def _events(self, reader: AnyReader) -> Iterator[_Event]:
        """Yield messages and ticks in the order of their time, a tick before the messages of its instant."""
        period_ns = int(CLOCK_PERIOD * 1e9 * self._settings.rate)
        next_tick = reader.start_time
        connections = list(self._wanted(reader))
        for connection, t_ns, raw in reader.messages(connections) if connections else ():
            while self._clock is not None and next_tick <= t_ns:
                yield _Event(next_tick)
                next_tick += period_ns
            yield _Event(t_ns, connection.topic, bytes(raw))

    def _wanted(self, reader: AnyReader) -> Iterator[Any]:
        only = self._settings.only
        return (c for c in reader.connections if (not only or c.topic in only) and c.topic != "/clock")

    def _advertise(self, bag: Path, topic: str, msgtype: str, qos: QoSProfile) -> None:
        if topic not in self.publishers:
            try:
                kind = message_class(msgtype)
            except ConfigError as err:
                raise RecordingError(f"{bag}: topic {topic!r}: {err}; or name the topics to play with --only") from err
            self.publishers[topic] = self._node.create_publisher(kind, self._remap.get(topic, topic), qos)

    def _send(self, publisher: Publisher, raw: bytes) -> None:
        # With a history that keeps all, a full queue makes publish() fail after 0.1 s: the subscriber is behind.
        deadline = time.monotonic() + SEND_TIMEOUT
        while True:
            try:
                return publisher.publish(raw)
            except RuntimeError as err:
                if not self._node.context.ok() or time.monotonic() > deadline:
                    raise RecordingError(f"topic {publisher.topic_name}: cannot be published: {err}") from err

    def _tick(self, t_ns: int) -> None:
        if self._clock is not None:
            self._clock.publish(Clock(clock=time_to_msg(t_ns)))


def play_bags(
    bags: Sequence[Path],
    settings: PlaySettings,
    remap: Mapping[str, str],
    wait: float,
    loop: bool,
    tell: Callable[[str], None],
) -> None:
    """Play bags from a node of our own; `wait` up to so many seconds for a subscriber; `loop` until interrupted."""
    # Python's own handler: an interruption ends the sleep between two messages.
    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    try:
        player = Player(rclpy.create_node("player"), bags, settings, remap)
        if not player.wait_for_subscribers(wait):
            tell(f"nobody listens after {wait:g} s; playing all the same")
        repeat = True
        while repeat:
            tell(f"played {player.play()} messages on {len(player.publishers)} topics of {len(bags)} recordings")
            repeat = loop
    finally:
        rclpy.try_shutdown()


def _sleep_until(instant: float) -> None:
    remaining = instant - time.monotonic()
    if remaining > 0:
        time.sleep(remaining)
