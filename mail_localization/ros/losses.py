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
    publisher gives its messages show both; of several publishers, whose numbers mix, only what DDS tells is counted.
    """

    def __init__(self, node: Node, problems: Counter[str]) -> None:
        self._node, self._problems = node, problems
        self._next: dict[str, int] = {}
        self._alone: dict[str, bool] = {}
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
        expected = self._next.get(stream)
        self._next[stream] = number + 1
        if expected == number:
            return
        # Out of turn: some were lost, or they are another's numbers, as those of a publisher that is new.
        alone = self._alone.get(stream, False)
        self._alone[stream] = self._node.count_publishers(topic) == 1
        if alone and self._alone[stream] and expected is not None and number > expected:
            self._add(stream, number - expected, 0)

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
