"""Messages that were sent and never came: lost on the way, or pushed out of a full queue."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Mapping
from typing import Any

from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.node import Node

_UNKNOWN = 2**64 - 1
"""rmw's number of a message where the middleware gives none."""


class Losses:
    """Count them as `STREAM.lost_on_the_way`.

    DDS tells of what the network lost, but not of what a newer message pushed out of our queue. The numbers that a
    publisher gives its messages show both. Whose number it is rclpy does not tell: it goes on from the nearest below.
    """

    def __init__(self, node: Node, problems: Counter[str]) -> None:
        self._node, self._problems = node, problems
        self._due: dict[str, list[int]] = {}
        """Stream -> the number that each of its publishers is to send next, the one last heard at the end."""
        self._missing: Counter[str] = Counter()
        self._told: Counter[str] = Counter()

    def events(self, stream: str) -> SubscriptionEventCallbacks:
        """Return the callbacks of a stream's subscription: best effort fits any publisher, there are only losses."""
        told = functools.partial(self._hear, stream)
        return SubscriptionEventCallbacks(message_lost=told, use_default_callbacks=False)

    def received(self, stream: str, topic: str, info: Mapping[str, Any]) -> None:
        """Look at the number of a message."""
        number = info.get("publication_sequence_number")
        if number is None or number == _UNKNOWN:
            return
        due = self._due.setdefault(stream, [])
        if number in due:
            due.remove(number)
        else:
            publishers = self._node.count_publishers(topic)
            below = [one for one in due if one < number]
            if len(due) >= publishers and below:
                due.remove(max(below))
                self._add(stream, number - max(below), 0)
            elif len(due) >= publishers:
                # One that starts anew, in place of the one not heard for longest.
                del due[: len(due) - publishers + 1]
        due.append(number + 1)

    def _hear(self, stream: str, event: Any) -> None:
        # Fast DDS says 2^31 - 1 where a part of one large message is missing.
        told = event.total_count_change
        self._add(stream, 0, told if told < 2**31 - 1 else 1)

    def _add(self, stream: str, missing: int, told: int) -> None:
        """Count what either way has shown, once."""
        before = max(self._missing[stream], self._told[stream])
        self._missing[stream] += missing
        self._told[stream] += told
        self._problems[f"{stream}.lost_on_the_way"] += max(self._missing[stream], self._told[stream]) - before
