"""The faults of running traffic: name, what is done to it, what must be seen."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from faults import tampers
from faults.tampers import Change, Faster, Hold, Nothing, Spoil, Swap, field, scaled, shifted
from faults.traffic import Tamper

FAR = 607.3
"""Jump of the clock, s: far more than any gap, and no multiple of a lap."""

HOUR = 3600.0
Maker = Callable[[], Tamper]


@dataclass(frozen=True)
class Fault:
    """One row of the table."""

    name: str
    done: str
    """What is done to the traffic."""
    tamper: Callable[[], Tamper]
    """Make what does it."""
    seconds: float = 2.0
    """How long it lasts; 0 for what happens in an instant."""
    right: bool = False
    """Whether the poses must stay right while it lasts."""
    clock: float = 0.0
    """Step of the sensors' clock at its start, s."""
    told: str = ""
    """Status of the diagnostics that must warn of it."""
    recorded: bool = False
    """Whether the sensors are those of an old recording, far from the node's clock."""
    quick: bool = False
    """Whether it is one of CI's selection."""


def _spoil(change: Change, counter: str = "", every: int = 1, stream: str = "mag") -> Maker:
    return lambda: Spoil(stream, change, counter, every)


def _add(change: Change, counter: str = "", every: int = 1) -> Maker:
    return lambda: Spoil("mag", change, counter, every, add=True)


def _hold(*streams: str, release: bool = False) -> Maker:
    return lambda: Hold(streams, release)


def _set_back() -> Tamper:
    return Nothing({"*.clock_set_back": 1})


def _ahead() -> Tamper:
    return Nothing({"*.gap": 1})


_SENSORS = ("mag", "imu", "odom")

FAULTS = [
    Fault("magnetometer stops", "for 3 s", _hold("mag"), 3.0, told="magnetometer", quick=True),
    Fault("IMU stops", "for 3 s", _hold("imu"), 3.0, told="imu"),
    Fault("odometry stops", "for 3 s", _hold("odom"), 3.0, right=True),
    Fault("all sensors stop", "for 3 s", _hold(*_SENSORS), 3.0),
    Fault("stall and burst", "1.5 s held back, then all at once", _hold(*_SENSORS, release=True), 1.5, quick=True),
    Fault("tenfold rate", "the magnetometer at 500 Hz", lambda: Faster("mag"), right=True),
    Fault("duplicates", "every message twice", _add(tampers.same, "mag.duplicate"), right=True, quick=True),
    Fault("out of order", "every fifth message after its successor", lambda: Swap("mag", 5), right=True),
    Fault("late", "every fifth again 0.3 s old", _add(shifted(-0.3), "mag.out_of_order", 5), right=True),
    Fault("zero stamps", "no message stamped", _spoil(tampers.unstamped, "mag.zero_stamp"), quick=True),
    Fault("stamps of the future", "every tenth again an hour on", _add(shifted(HOUR), "mag.isolated", 10), right=True),
    Fault("sensor of another time", "all magnetometer stamps an hour ahead", _spoil(shifted(HOUR), "mag.*"), 3.0),
    Fault("NaN field", "one after every message", _add(field(math.nan), "mag.non_finite"), right=True, quick=True),
    Fault("infinite field", "one after every message", _add(field(math.inf), "mag.non_finite"), right=True),
    Fault("NaN acceleration", "every second", _spoil(tampers.not_finite, "up.non_finite", 2, stream="imu"), right=True),
    Fault("saturated field", "1 tesla in all axes", _spoil(field(1.0), "mag.saturated"), told="magnetometer"),
    Fault("wrong unit, microtesla", "the field times 1e6", _spoil(scaled(1e6), "mag.saturated"), told="magnetometer"),
    Fault("wrong unit, milligauss", "the field times 1e7", _spoil(scaled(1e7), "mag.saturated"), told="magnetometer"),
    Fault("wrong frame", "a frame_id of 1000 letters that nobody knows", _spoil(tampers.foreign_frame), right=True),
    Fault("covariance of -1", "everywhere in the IMU", _spoil(tampers.unknown_covariance, stream="imu"), right=True),
    Fault("torn messages", "13 bytes for every fifth", _spoil(tampers.torn, "mag.lost_on_the_way", 5), right=True),
    Fault("two sensors on one topic", "another magnetometer's field in between", _add(tampers.another_sensor)),
    Fault("bag starts again", f"an old bag, now {FAR:g} s back", _set_back, 0.0, clock=-FAR, recorded=True, quick=True),
    Fault("bag goes on later", f"an old bag, now {FAR:g} s on", _ahead, 0.0, clock=FAR, recorded=True),
    Fault("all clocks jump back", f"stamps of now, then {FAR:g} s earlier", _set_back, 0.0, clock=-FAR),
    Fault("all clocks jump ahead", f"by {FAR:g} s, to now", _ahead, 0.0, clock=FAR),
]  # fmt: skip
