from __future__ import annotations

import threading
from collections import Counter

import rclpy
from rclpy.node import Node

from mail_localization.ros.spinning import spin


def test_error_that_escapes_a_callback_is_counted_and_spinning_goes_on() -> None:
    rclpy.init(args=[])
    node, problems, ticks = Node("stumbling"), Counter(), []

    def tick() -> None:
        ticks.append(None)
        if len(ticks) == 6:
            rclpy.shutdown()
        if len(ticks) % 2:
            raise UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")

    node.create_timer(0.01, tick)
    thread = threading.Thread(target=spin, args=(node, problems), daemon=True)
    thread.start()
    thread.join(20)
    assert not thread.is_alive()
    assert len(ticks) == 6
    assert problems == {"node.unreadable": 3}
    node.destroy_node()


def test_node_told_to_stop_before_it_spins_just_ends() -> None:
    rclpy.init(args=[])
    node, problems = Node("short_lived"), Counter()
    rclpy.shutdown()
    spin(node, problems)
    assert problems == {}
    node.destroy_node()


def test_shutdown_that_wakes_nobody_ends_an_idle_node(monkeypatch) -> None:
    """As when a signal comes between the look at the context and the wait."""
    rclpy.init(args=[])
    node, problems = Node("idle"), Counter()
    thread = threading.Thread(target=spin, args=(node, problems), daemon=True)
    thread.start()
    thread.join(1.0)
    assert thread.is_alive()
    monkeypatch.setattr(node.context, "ok", lambda: False)
    thread.join(10)
    assert not thread.is_alive()
    monkeypatch.undo()
    node.destroy_node()
    rclpy.shutdown()
