from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import rclpy
import type_description_interfaces.msg
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.context import Context
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.serialization import serialize_message
from sensor_msgs.msg import JointState
from std_msgs.msg import Int32, String

from mail_localization.data.wifi_mapping import WifiMappingSettings
from mail_localization.errors import ConfigError
from mail_localization.ros.conversions import time_to_msg, wifi_to_msg
from mail_localization.ros.wifi_input import DEPTH, DEPTH_OF_SINGLES, MAX_BYTES, WifiInput
from mail_localization.types import WifiReading, WifiScan

T = 1_700_000_000_123_456_789
HALL = "aa:bb:cc:dd:ee:ff"
SCAN = WifiScan(T, (WifiReading(HALL, -61.0, 0.25, "hall", 5180),))
TOPIC = "wifi/scan"


class Heard:
    """A WifiInput with what it handed on."""

    def __init__(self, peer: Any, **settings: Any) -> None:
        self.scans: list[WifiScan] = []
        self.problems: Counter[str] = Counter()
        self.input = WifiInput(peer.node, WifiMappingSettings(**settings), TOPIC, self.scans.append, self.problems)
        self._peer = peer

    def receive(self, publisher: Any, msg: Any, condition: Callable[[], bool] | None = None) -> None:
        """Publish until the condition holds (default: a scan was handed on): best effort may lose a message."""
        held = condition or (lambda: bool(self.scans))

        def sent() -> bool:
            publisher.publish(msg)
            self._peer.spin_for(0.05)
            return held()

        self._peer.spin_until(sent, f"{self.input.state} {self.problems}")


@pytest.fixture
def hear(peer: Any) -> Iterator[Callable[..., Heard]]:
    made: list[Heard] = []

    def start(**settings: Any) -> Heard:
        made.append(Heard(peer, **settings))
        return made[-1]

    yield start
    for heard in made:
        heard.input.destroy()


def test_type_is_taken_from_the_publisher_once_there_is_one(peer, hear) -> None:
    heard = hear()
    assert heard.input.state == "waiting for a publisher of wifi/scan"
    publisher = peer.node.create_publisher(String, TOPIC, 10)
    heard.receive(publisher, wifi_to_msg(SCAN))
    assert set(heard.scans) == {SCAN}
    assert heard.input.state == "listening to wifi/scan (std_msgs/msg/String)"
    assert heard.problems == {}


@pytest.mark.parametrize("reliability", [ReliabilityPolicy.BEST_EFFORT, ReliabilityPolicy.RELIABLE])
def test_any_reliability_is_heard(peer, hear, reliability) -> None:
    publisher = peer.node.create_publisher(String, TOPIC, QoSProfile(depth=1, reliability=reliability))
    hear().receive(publisher, wifi_to_msg(SCAN))


def test_parallel_lists_of_an_installed_type(peer, hear) -> None:
    heard = hear(bssid="name", rssi="position", frequency="velocity", unit="negative_dbm")
    msg = JointState(name=["AA-BB-CC-DD-EE-FF", "b"], position=[61.0, 70.5], velocity=[5.18, 2412.0])
    msg.header.stamp = time_to_msg(T)
    heard.receive(peer.node.create_publisher(JointState, TOPIC, 10), msg)
    readings = (WifiReading(HALL, -61.0, frequency_mhz=5180), WifiReading("b", -70.5, frequency_mhz=2412))
    assert heard.scans[0] == WifiScan(T, readings)


def test_records_of_an_installed_type(peer, hear) -> None:
    heard = hear(type="diagnostic_msgs/DiagnosticArray", results="status", bssid="hardware_id", rssi="message")
    assert heard.input.state == "listening to wifi/scan (diagnostic_msgs/msg/DiagnosticArray)"
    status = [DiagnosticStatus(hardware_id=HALL, message="-61"), DiagnosticStatus(hardware_id="b", message="none")]
    msg = DiagnosticArray(status=status)
    heard.receive(peer.node.create_publisher(DiagnosticArray, TOPIC, 10), msg)
    assert heard.scans[0].readings == (WifiReading(HALL, -61.0),)
    # Its header has a zero stamp: the time of reception stands in.
    assert abs(heard.scans[0].t_ns - peer.node.get_clock().now().nanoseconds) < 60e9
    assert heard.problems["wifi.zero_stamp"] == heard.problems["wifi.bad_result"] == len(heard.scans)


def test_single_access_points_gather_and_the_last_scan_needs_no_further_message(peer, hear) -> None:
    heard = hear(bssid="key", rssi="value", accumulate=2.0)
    publisher = peer.node.create_publisher(KeyValue, TOPIC, 10)
    heard.receive(publisher, KeyValue(key=HALL, value="-61"), lambda: heard.input.type_name != "")
    peer.spin_until(lambda: peer.node.count_subscribers(TOPIC) == 1, "subscription")
    for name in ("a", "b", "a", "b"):
        publisher.publish(KeyValue(key=name, value="-70"))
    peer.spin_until(lambda: bool(heard.scans), "scan")
    assert {r.bssid for scan in heard.scans for r in scan.readings} >= {"a", "b"}
    assert all(len(scan.readings) == len({r.bssid for r in scan.readings}) for scan in heard.scans)


def test_type_that_is_not_installed_is_refused_with_the_remedy(hear) -> None:
    with pytest.raises(ConfigError, match=r"rss/msg/RssData is not installed: sudo apt install .*rss, or source"):
        hear(type="rss/RssData")


def test_field_that_is_not_there_is_refused_before_any_message(hear) -> None:
    with pytest.raises(ConfigError, match=r"wifi\.rssi: no field 'effort2'.*has header, name, position, velocity"):
        hear(type="sensor_msgs/JointState", bssid="name", rssi="effort2")


@pytest.mark.parametrize("name", ["os/Path", "json/Decoder", "sensor_msgs/NoSuch"])
def test_module_that_holds_no_messages_is_no_type(hear, name: str) -> None:
    with pytest.raises(ConfigError, match="not installed"):
        hear(type=name)


class Sender:
    """A publisher as a process of its own has it: within one DDS participant a topic has one type only."""

    def __init__(self, kind: type) -> None:
        self._context = Context()
        rclpy.init(context=self._context, args=[])
        self._node = Node("sender", context=self._context)
        self._publisher = self._node.create_publisher(kind, TOPIC, 10)

    def publish(self, msg: Any) -> None:
        self._publisher.publish(msg)

    def end(self) -> None:
        self._node.destroy_node()
        rclpy.shutdown(context=self._context)


def test_unusable_publisher_is_named_and_a_usable_one_taken_when_it_comes(peer, hear) -> None:
    heard = hear()
    stranger = Sender(Int32)
    peer.spin_until(lambda: "wifi.bssid" in heard.input.state, heard.input.state)
    assert "std_msgs/msg/Int32 is none of the known types" in heard.input.state
    assert "it has data" in heard.input.state
    usable = Sender(String)
    heard.receive(usable, wifi_to_msg(SCAN))
    assert heard.input.type_name == "std_msgs/msg/String"
    usable.end()
    stranger.end()


def test_publisher_that_comes_back_with_another_type_is_followed(peer, hear) -> None:
    heard = hear(bssid="key", rssi="value", accumulate=0.0)
    for kind in (KeyValue, type_description_interfaces.msg.KeyValue, KeyValue):
        heard.scans.clear()
        sender = Sender(kind)
        heard.receive(sender, kind(key=HALL, value="-61"))
        assert heard.scans[0].readings == (WifiReading(HALL, -61.0),)
        assert heard.input.type_name.startswith(kind.__module__.partition(".")[0])
        sender.end()


@pytest.mark.parametrize(
    ("raw", "counter"),
    [
        (b"", "wifi.bad_content"),
        (b"\x00\x01\x00\x00", "wifi.bad_content"),
        (b"\x00\x01\x00\x00\xff\xff\xff\xffabc", "wifi.bad_content"),
        (serialize_message(String(data="[" * 100_000)), "wifi.bad_content"),
        (serialize_message(String(data="x"))[:8] + b"\xff\x00", "wifi.bad_content"),
        (serialize_message(String(data="x" * MAX_BYTES)), "wifi.too_large"),
    ],
    ids=["empty", "header only", "false length", "deep JSON", "bad UTF-8", "too large"],
)
def test_hostile_bytes_are_counted_and_the_next_scan_is_heard(peer, hear, raw: bytes, counter: str) -> None:
    heard = hear()
    publisher = peer.node.create_publisher(String, TOPIC, 10)
    heard.receive(publisher, raw, lambda: heard.problems[counter] > 0)
    assert "wifi/scan: " in heard.input.state
    heard.receive(publisher, wifi_to_msg(SCAN))
    assert heard.scans[0] == SCAN
    assert heard.input.state.startswith("listening")


def test_reliability_can_be_overridden_and_the_topic_remapped() -> None:
    context = Context()
    qos = "qos_overrides./robot/scans.subscription.reliability"
    arguments = ["--ros-args", "-r", "wifi/scan:=/robot/scans", "-p", f"{qos}:=reliable"]
    rclpy.init(context=context, args=arguments)
    node = Node("overridden", context=context)
    input_ = WifiInput(node, WifiMappingSettings(type="std_msgs/String"), TOPIC, lambda scan: None, Counter())
    try:
        (info,) = node.get_subscriptions_info_by_topic("/robot/scans")
        assert info.qos_profile.reliability == ReliabilityPolicy.RELIABLE
    finally:
        input_.destroy()
        assert node.get_subscriptions_info_by_topic("/robot/scans") == []
        node.destroy_node()
        rclpy.shutdown(context=context)


@pytest.mark.parametrize(
    ("settings", "depth"),
    [
        ({"type": "std_msgs/String"}, DEPTH),
        ({"type": "diagnostic_msgs/KeyValue", "bssid": "key", "rssi": "value"}, DEPTH_OF_SINGLES),
        ({"type": "sensor_msgs/JointState", "bssid": "name", "rssi": "position"}, DEPTH),
    ],
)
def test_queue_is_no_longer_than_a_scan_needs(hear, settings: dict[str, str], depth: int) -> None:
    # What a sender's largest messages make DDS hold for good grows with it.
    assert hear(**settings).input._subscription.qos_profile.depth == depth
