"""Sensor messages go past the executor; all else of the node still gets its turn."""

from __future__ import annotations

import functools
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator

import pytest
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import QoSProfile
from std_msgs.msg import Int64
from std_srvs.srv import Trigger

from mail_localization.ros.losses import Losses
from mail_localization.ros.merged_queue import MergedQueue
from mail_localization.ros.sensor_wait import SensorWait
from mail_localization.ros.spinning import spin

TOPICS = ("fast", "slow")
DEPTH = QoSProfile(depth=1000)


class Sensed:
    """A node with two sensors, and another that publishes to it."""

    def __init__(self) -> None:
        rclpy.init(args=[])
        self.node, self.problems = rclpy.create_node("sensed"), Counter[str]()
        self.queue = MergedQueue(Losses(self.node, self.problems))
        self.heard: list[tuple[str, int]] = []
        for topic in TOPICS:
            take = self.queue.callback(topic, functools.partial(self._hear, topic))
            self.queue.add(topic, self.node.create_subscription(Int64, topic, take, DEPTH))
        self.other = rclpy.create_node("other")
        self.publishers = {topic: self.other.create_publisher(Int64, topic, DEPTH) for topic in TOPICS}
        until(lambda: all(each.get_subscription_count() for each in self.publishers.values()))

    def send(self, topic: str, number: int) -> None:
        self.publishers[topic].publish(Int64(data=number))

    def _hear(self, topic: str, msg: Int64) -> None:
        self.heard.append((topic, msg.data))
        if msg.data < 0:
            raise ValueError("no such number")


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20.0
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.fixture
def sensed() -> Iterator[Sensed]:
    made = Sensed()
    yield made
    made.other.destroy_node()
    made.node.destroy_node()
    rclpy.try_shutdown()


@pytest.fixture
def spinning(sensed: Sensed) -> Iterator[Sensed]:
    thread = threading.Thread(target=spin, args=(sensed.node, sensed.problems, lambda: sensed.queue), daemon=True)
    thread.start()
    yield sensed
    rclpy.try_shutdown()
    thread.join(20)
    assert not thread.is_alive()


def test_messages_are_handed_on_in_order_and_nothing_is_no_message(sensed: Sensed) -> None:
    wait = SensorWait(sensed.node)
    for number in range(12):
        sensed.send(TOPICS[number % 3 == 0], number)
    time.sleep(0.3)
    assert wait.hand_on(sensed.queue, 5.0)
    assert sensed.heard == [(TOPICS[number % 3 == 0], number) for number in range(12)]
    started = time.monotonic()
    assert not wait.hand_on(sensed.queue, 0.2)
    assert 0.15 < time.monotonic() - started < 5.0


def test_whatever_else_is_ready_is_left_to_the_executor(sensed: Sensed) -> None:
    wait, ticks = SensorWait(sensed.node), []
    sensed.send("fast", 1)
    time.sleep(0.2)
    timer = sensed.node.create_timer(0.05, lambda: ticks.append(None))
    time.sleep(0.1)
    assert not wait.hand_on(sensed.queue, 5.0)
    assert sensed.heard == []
    sensed.node.destroy_timer(timer)
    assert wait.hand_on(sensed.queue, 5.0)
    assert sensed.heard == [("fast", 1)]


def test_sensors_do_without_the_executor(spinning: Sensed, monkeypatch: pytest.MonkeyPatch) -> None:
    turns: list[None] = []
    spin_once = SingleThreadedExecutor.spin_once
    monkeypatch.setattr(
        SingleThreadedExecutor, "spin_once", lambda self, *a: (turns.append(None), spin_once(self, *a))[1]
    )
    for number in range(100):
        spinning.send(TOPICS[number % 2], number)
        time.sleep(0.005)
    until(lambda: len(spinning.heard) == 100)
    assert [number for _, number in spinning.heard] == list(range(100))
    assert len(turns) < 10


def test_steady_sensors_keep_no_service_or_timer_waiting(spinning: Sensed) -> None:
    node, ticks = spinning.node, []
    node.create_timer(0.05, lambda: ticks.append(None))
    node.create_service(Trigger, "ask", lambda request, response: Trigger.Response(success=True))
    client = spinning.other.create_client(Trigger, "ask")
    executor = SingleThreadedExecutor()
    executor.add_node(spinning.other)
    stop = threading.Event()

    def flood() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            spinning.send("fast", number)
            time.sleep(0.001)

    thread = threading.Thread(target=flood)
    thread.start()
    try:
        assert client.wait_for_service(10.0)
        answer = client.call_async(Trigger.Request())
        executor.spin_until_future_complete(answer, 10.0)
        assert answer.result().success
        until(lambda: len(ticks) >= 5 and len(spinning.heard) > 50)  # A busy machine's flood may be thin.
    finally:
        stop.set()
        thread.join()
    assert len(spinning.heard) > 50


def test_error_of_a_message_is_counted_and_later_ones_are_heard(spinning: Sensed) -> None:
    for number in (1, -2, 3):
        spinning.send("fast", number)
    until(lambda: len(spinning.heard) == 3)
    spinning.send("slow", 4)
    until(lambda: len(spinning.heard) == 4)
    assert spinning.problems == {"node.unreadable": 1}
