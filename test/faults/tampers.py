"""What can happen to a message between a sensor and the node."""

from __future__ import annotations

import copy
import math
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np

from faults.course import RATES, sample
from faults.traffic import TO_MSG, restamped
from mail_localization.ros.conversions import stamp_ns

Change = Callable[[Any], Any]


class Spoil:
    """Change every n-th message of a stream, in place of it or in addition to it."""

    def __init__(self, stream: str, change: Change, counter: str = "", every: int = 1, add: bool = False) -> None:
        self.expected: Counter[str] = Counter()
        self._stream, self._change, self._counter, self._every, self._add = stream, change, counter, every, add
        self._seen = 0

    def __call__(self, stream: str, msg: Any) -> list[Any]:
        if stream != self._stream:
            return [msg]
        self._seen += 1
        if self._seen % self._every:
            return [msg]
        if self._counter:
            self.expected[self._counter] += 1
        spoilt = self._change(copy.deepcopy(msg))
        return [msg, spoilt] if self._add else [spoilt]

    def end(self) -> list[tuple[str, Any]]:
        return []


class Hold:
    """Hold the messages of some streams back; give them all at once at the end, or never."""

    def __init__(self, streams: tuple[str, ...], release: bool) -> None:
        self.expected: Counter[str] = Counter()
        self._streams, self._release = streams, release
        self._held: list[tuple[str, Any]] = []

    def __call__(self, stream: str, msg: Any) -> list[Any]:
        if stream not in self._streams:
            return [msg]
        self._held.append((stream, msg))
        return []

    def end(self) -> list[tuple[str, Any]]:
        return self._held if self._release else []


class Swap:
    """Send every n-th message of a stream after the one that follows it."""

    def __init__(self, stream: str, every: int) -> None:
        self.expected: Counter[str] = Counter()
        self._stream, self._every, self._seen = stream, every, 0
        self._held: list[Any] = []

    def __call__(self, stream: str, msg: Any) -> list[Any]:
        if stream != self._stream:
            return [msg]
        self._seen += 1
        if self._seen % self._every == 0:
            self._held.append(msg)
            return []
        if self._held:
            self.expected[f"{stream}.out_of_order"] += 1
        out, self._held = [msg, *self._held], []
        return out

    def end(self) -> list[tuple[str, Any]]:
        return [(self._stream, msg) for msg in self._held]


class Faster:
    """Send a stream at ten times its rate: nine more readings after each, each with its own stamp."""

    def __init__(self, stream: str) -> None:
        self.expected: Counter[str] = Counter()
        self._stream, self._step_ns = stream, round(1e8 / RATES[stream])
        self._noise = np.random.default_rng(1)

    def __call__(self, stream: str, msg: Any) -> list[Any]:
        if stream != self._stream:
            return [msg]
        start_ns = stamp_ns(msg) or 0
        later = [sample(stream, start_ns + k * self._step_ns, self._noise) for k in range(1, 10)]
        return [msg, *map(TO_MSG[stream], later)]

    def end(self) -> list[tuple[str, Any]]:
        return []


class Nothing:
    """Leave the traffic alone, and say what the node must have counted all the same."""

    def __init__(self, expected: dict[str, int]) -> None:
        self.expected = Counter(expected)

    def __call__(self, stream: str, msg: Any) -> list[Any]:
        return [msg]

    def end(self) -> list[tuple[str, Any]]:
        return []


def field(value: float) -> Change:
    """Put one value into all axes of the field."""

    def change(msg: Any) -> Any:
        b = msg.magnetic_field
        b.x = b.y = b.z = value
        return msg

    return change


def scaled(factor: float) -> Change:
    """Put the field into another unit."""

    def change(msg: Any) -> Any:
        b = msg.magnetic_field
        b.x, b.y, b.z = b.x * factor, b.y * factor, b.z * factor
        return msg

    return change


def shifted(seconds: float) -> Change:
    """Move the stamp."""
    return lambda msg: restamped(msg, (stamp_ns(msg) or 0) + round(seconds * 1e9))


def unstamped(msg: Any) -> Any:
    return restamped(msg, 0)


def not_finite(msg: Any) -> Any:
    msg.linear_acceleration.x = math.nan
    msg.angular_velocity.z = math.inf
    return msg


def foreign_frame(msg: Any) -> Any:
    msg.header.frame_id = "nowhere/" + "x" * 1000
    return msg


def unknown_covariance(msg: Any) -> Any:
    for name in ("orientation_covariance", "angular_velocity_covariance", "linear_acceleration_covariance"):
        setattr(msg, name, [-1.0] * 9)
    return msg


def torn(msg: Any) -> bytes:
    """Return the first bytes of a message, as no sane publisher sends them."""
    return b"\x00\x01\x00\x00" + b"\xff" * 9


def same(msg: Any) -> Any:
    return msg


def another_sensor(msg: Any) -> Any:
    """Return what a second magnetometer, mounted otherwise, reads a moment later."""
    b = msg.magnetic_field
    b.x, b.y, b.z = -b.y, b.z, -b.x
    return restamped(msg, (stamp_ns(msg) or 0) + 7_000_000)
