"""Waiting for sensor messages without the executor, one turn of which takes the time of several messages."""

from __future__ import annotations

from typing import Any

from rclpy.impl.implementation_singleton import rclpy_implementation as rclpy_binding
from rclpy.node import Node
from rclpy.signals import SignalHandlerGuardCondition

from mail_localization.ros.merged_queue import MOST_AT_ONCE, MergedQueue


class SensorWait:
    """Sleep until something of a node is ready, and hand on sensor messages where there is nothing else.

    rclpy's executor makes guards, tasks and coroutines of everything a node has, at every turn. This keeps one wait set
    and leaves all but sensor messages to the executor: timers, services, other subscriptions, and the events of
    middleware, which do not end the wait.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._stop = SignalHandlerGuardCondition(context=node.context)
        self._sizes: list[int] = []
        self._set: Any = None

    def hand_on(self, queue: MergedQueue, timeout: float) -> bool:
        """Wait at most `timeout` (s) and hand on what came; False where the executor has to look at the node."""
        ready = self._ready(timeout)
        if not ready or not ready <= {subscription.handle.pointer for subscription in queue.subscriptions}:
            return False
        queue.poll(MOST_AT_ONCE)
        return True

    def _ready(self, timeout: float) -> set[int]:
        """Wait, and return the pointers of what is ready."""
        node = self._node
        kinds = {
            "subscription": list(node.subscriptions),
            "guard_condition": [*node.guards, self._stop],
            "timer": list(node.timers),
            "client": list(node.clients),
            "service": list(node.services),
        }
        sizes = [len(entities) for entities in kinds.values()]
        if sizes != self._sizes:
            self._sizes, self._set = sizes, rclpy_binding.WaitSet(*sizes, 0, node.context.handle)
        waits = self._set
        waits.clear_entities()
        for kind, entities in kinds.items():
            add = getattr(waits, f"add_{kind}")
            for entity in entities:
                add(entity.handle)
        waits.wait(round(timeout * 1e9))
        return {pointer for kind in kinds for pointer in waits.get_ready_entities(kind)}
