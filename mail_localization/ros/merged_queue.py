"""Several subscriptions read as one queue: whatever waits in them is handed on in the order in which it was sent."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Collection, Mapping
from typing import Any

from rclpy.subscription import Subscription

from mail_localization.ros.losses import Losses

MOST_AT_ONCE = 20
"""Messages taken in one turn of the executor, which costs as much as several messages."""
Receiver = Callable[[Any], None]
_Head = tuple[float, Any]
"""When a message was sent, ns, and the message."""


class MergedQueue:
    """Take a message and all that wait with it, so that a burst is soon over and no stream runs ahead of another.

    The executor itself takes one message of every subscription a turn. Streams of different rates then leave a
    backlog at different speeds, seconds apart, and windows over two of them find nothing that belongs together.
    """

    def __init__(self, losses: Losses) -> None:
        """Show each message's number to `losses`."""
        self.losses = losses
        self._receivers: dict[str, Receiver] = {}
        self._subscriptions: dict[str, Subscription] = {}

    def callback(self, stream: str, receive: Receiver) -> Callable[[Any, Mapping[str, Any]], None]:
        """Return the callback of a stream's subscription, to `add` once there is one; `receive` gets its messages."""
        self._receivers[stream] = receive
        return functools.partial(self._take, stream)

    def add(self, stream: str, subscription: Subscription) -> None:
        """Read this subscription whenever there is a message of any."""
        self._subscriptions[stream] = subscription

    def remove(self, stream: str) -> None:
        """Read a stream's subscription no longer."""
        self._subscriptions.pop(stream, None)

    @property
    def subscriptions(self) -> Collection[Subscription]:
        """What is read."""
        return self._subscriptions.values()

    def poll(self, most: int) -> None:
        """Hand on what waits in all subscriptions, where no executor looks at them."""
        self._hand_on({}, most)

    def _take(self, stream: str, msg: Any, info: Mapping[str, Any]) -> None:
        """Hand on a message that the executor took, and what waits in all subscriptions."""
        self._hand_on({stream: self._head(stream, msg, info)}, MOST_AT_ONCE)

    def _hand_on(self, heads: dict[str, _Head], most: int) -> None:
        """Hand on messages that were taken, one of a stream, and what waits, the oldest first."""
        waiting = set(self._subscriptions)
        try:
            for _ in range(most):
                # One that was found empty is not asked again this turn: that costs too.
                for name in sorted(waiting - heads.keys()):
                    if (head := self._next(name)) is not None:
                        heads[name] = head
                    else:
                        waiting.discard(name)
                if not heads:
                    return
                first = min(heads, key=lambda name: heads[name][0])
                self._receivers[first](heads.pop(first)[1])
        finally:
            # Taken is taken: also where the next one could not be read, or the turn is over.
            for name in sorted(heads, key=lambda name: heads[name][0]):
                self._receivers[name](heads[name][1])

    def _next(self, stream: str) -> _Head | None:
        subscription = self._subscriptions[stream]
        with subscription.handle:
            taken = subscription.handle.take_message(subscription.msg_type, subscription.raw)
        return None if taken is None else self._head(stream, *taken)

    def _head(self, stream: str, msg: Any, info: Mapping[str, Any]) -> _Head:
        if stream in self._subscriptions:
            self.losses.received(stream, self._subscriptions[stream].topic_name, info)
        return _sent(info), msg


def _sent(info: Mapping[str, Any]) -> float:
    """Return when a message was sent, ns, by the clock of its sender's machine; or received, where that is unknown."""
    # By its reception a message would count as new that a reliable sender had to keep while our queue was full.
    return info.get("source_timestamp") or info.get("received_timestamp") or -math.inf
