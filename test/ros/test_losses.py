"""What never reached the node is counted, whoever dropped it."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from std_msgs.msg import Int64

from mail_localization.ros.losses import Losses
from mail_localization.ros.merged_queue import MergedQueue

DEPTH = 5


class Listener:
    """A short best-effort queue, and what was heard and missed."""

    def __init__(self, node: Node) -> None:
        self.node, self.heard, self.problems = node, [], Counter()
        # Of this test alone: what others left on the graph goes when it pleases.
        self.topic, self._publishers = f"numbers_{random.getrandbits(32):08x}", 0
        queue = MergedQueue(Losses(node, self.problems))
        qos = QoSProfile(depth=DEPTH, reliability=ReliabilityPolicy.BEST_EFFORT)
        receive = queue.callback("mag", lambda msg: self.heard.append(msg.data))
        queue.add("mag", node.create_subscription(Int64, self.topic, receive, qos))

    def publisher(self) -> rclpy.publisher.Publisher:
        publisher = self.node.create_publisher(Int64, self.topic, 1000)
        deadline, self._publishers = time.monotonic() + 10.0, self._publishers + 1
        # Both sides must know: the graph, by which publishers are counted, may follow later.
        while not publisher.get_subscription_count() or self.node.count_publishers(self.topic) != self._publishers:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        return publisher

    def withdraw(self, publisher: rclpy.publisher.Publisher) -> None:
        self.node.destroy_publisher(publisher)
        self._publishers -= 1

    def send(self, publisher: rclpy.publisher.Publisher, count: int) -> None:
        """Publish, then take what the queue still holds."""
        for number in range(count):
            publisher.publish(Int64(data=number))
        executor, before = SingleThreadedExecutor(), len(self.heard)
        executor.add_node(self.node)
        deadline = time.monotonic() + 10.0
        time.sleep(0.2)
        while len(self.heard) < before + min(count, DEPTH):
            assert time.monotonic() < deadline
            executor.spin_once(timeout_sec=0.1)


@pytest.fixture
def listener() -> Iterator[Listener]:
    rclpy.init(args=[])
    made = Listener(rclpy.create_node("losses"))
    yield made
    made.node.destroy_node()
    rclpy.try_shutdown()


def test_what_a_full_queue_pushed_out_is_counted(listener: Listener) -> None:
    publisher = listener.publisher()
    listener.send(publisher, 1)
    assert listener.problems == {}
    listener.send(publisher, 50)
    assert listener.heard[-DEPTH:] == list(range(45, 50))
    assert listener.problems == {"mag.lost_on_the_way": 45}


def test_publisher_that_starts_anew_loses_nothing(listener: Listener) -> None:
    first = listener.publisher()
    listener.send(first, 3)
    listener.withdraw(first)
    listener.send(listener.publisher(), 4)
    assert listener.heard == [0, 1, 2, 0, 1, 2, 3]
    assert listener.problems == {}


def test_numbers_of_two_publishers_are_kept_apart(listener: Listener) -> None:
    publishers = listener.publisher(), listener.publisher()
    for number in (3, 1, 2, 1, 4):
        listener.send(publishers[number % 2], number)
    assert len(listener.heard) == 11
    assert listener.problems == {}
    listener.send(publishers[1], 50)
    listener.send(publishers[0], 2)
    assert listener.problems == {"mag.lost_on_the_way": 45}


@pytest.mark.parametrize(("told", "counted"), [(3, 3), (2**31 - 1, 1)])
def test_losses_told_by_dds_are_counted_as_what_they_are(listener: Listener, told: int, counted: int) -> None:
    """Fast DDS tells 2^31 - 1 where a fragment of one large message went missing."""
    problems: Counter[str] = Counter()
    losses = Losses(listener.node, problems)
    losses.events("wifi").message_lost(SimpleNamespace(total_count_change=told))
    assert problems == {"wifi.lost_on_the_way": counted}
    # The gap in the numbers that shows the same loss adds nothing to it.
    listener.publisher()
    for number in (7, 8 + counted):
        losses.received("wifi", listener.topic, {"publication_sequence_number": number})
    assert problems == {"wifi.lost_on_the_way": counted}
