"""A backlog of several topics is read in the order in which it was sent."""

from __future__ import annotations

import functools
import time
from collections import Counter
from collections.abc import Iterator

import pytest
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile
from std_msgs.msg import Int64

from mail_localization.ros.losses import Losses
from mail_localization.ros.merged_queue import MOST_AT_ONCE, MergedQueue

FAST, SLOW = "fast", "slow"
DEPTH = QoSProfile(depth=1000)


@pytest.fixture
def node() -> Iterator[Node]:
    rclpy.init(args=[])
    yield rclpy.create_node("queue")
    rclpy.try_shutdown()


@pytest.fixture
def heard() -> list[tuple[str, int]]:
    return []


@pytest.fixture
def publishers(node: Node, heard: list[tuple[str, int]]) -> dict[str, Publisher]:
    """Publishers of two topics that a MergedQueue reads into `heard`."""
    queue, made = MergedQueue(Losses(node, Counter())), {}
    for topic in (FAST, SLOW):
        receive = functools.partial(lambda topic, msg: heard.append((topic, msg.data)), topic)
        queue.add(topic, node.create_subscription(Int64, topic, queue.callback(topic, receive), DEPTH))
        made[topic] = node.create_publisher(Int64, topic, DEPTH)
    deadline = time.monotonic() + 10.0
    while not all(publisher.get_subscription_count() for publisher in made.values()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return made


def spin(node: Node, heard: list[tuple[str, int]], count: int) -> int:
    """Spin until so many were heard; return the turns it took."""
    executor, turns, deadline = SingleThreadedExecutor(), 0, time.monotonic() + 10.0
    executor.add_node(node)
    while len(heard) < count:
        assert time.monotonic() < deadline, f"{len(heard)} of {count}"
        executor.spin_once(timeout_sec=0.1)
        turns += 1
    return turns


def test_backlog_is_read_in_order_of_sending_whatever_the_rates(node, publishers, heard) -> None:
    for number in range(300):
        publishers[SLOW if number % 5 == 0 else FAST].publish(Int64(data=number))
    time.sleep(0.2)
    turns = spin(node, heard, 300)
    assert [n for s, n in heard if s == SLOW] == list(range(0, 300, 5))
    assert [n for s, n in heard if s == FAST] == [n for n in range(300) if n % 5]
    # At a turn's end one of each may be early, by no more than the slow topic's period.
    assert max(abs(at - number) for at, (_, number) in enumerate(heard)) <= 5
    assert turns <= 2 * 300 / MOST_AT_ONCE


def test_burst_of_one_topic_does_not_hold_back_another(node, publishers, heard) -> None:
    for number in range(100):
        publishers[FAST].publish(Int64(data=number))
    publishers[SLOW].publish(Int64(data=100))
    time.sleep(0.2)
    spin(node, heard, 101)
    assert [n for s, n in heard if s == FAST] == list(range(100))


def test_message_that_cannot_be_read_takes_no_other_with_it(node, publishers, heard) -> None:
    queue = MergedQueue(Losses(node, Counter()))
    take = queue.callback(FAST, lambda msg: heard.append((FAST, msg)))
    broken = node.create_subscription(Int64, SLOW, queue.callback(SLOW, lambda msg: None), DEPTH)
    # What rclpy raises where a field cannot be converted: the type asked for has no such support.
    broken.msg_type = int
    queue.add(SLOW, broken)
    publishers[SLOW].publish(Int64(data=1))
    time.sleep(0.2)
    with pytest.raises(Exception):  # noqa: B017  # of the binding, without a class of its own
        take(7, {"source_timestamp": 1})
    assert heard == [(FAST, 7)]


def test_stream_removed_is_read_no_longer(node, publishers, heard) -> None:
    queue = MergedQueue(Losses(node, Counter()))
    take = queue.callback(FAST, lambda msg: heard.append((FAST, msg)))
    other = node.create_subscription(Int64, SLOW, queue.callback(SLOW, lambda msg: heard.append((SLOW, msg))), DEPTH)
    queue.add(SLOW, other)
    queue.remove(SLOW)
    node.destroy_subscription(other)
    take(7, {"source_timestamp": 1})
    assert heard == [(FAST, 7)]
