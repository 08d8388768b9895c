"""What was dropped or repaired, by reason, and what to do about each reason."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Mapping

from mail_localization.health.status import Finding, Level, Status, summed_up

RECENT = 30.0
"""A refusal warns for so long, s."""
_FEW = 0.01
"""Share of a stream's messages that may be refused without a warning, but for the reasons in _SERIOUS."""
_SERIOUS = {"gap", "clock_set_back", "jump", "internal_error", "not_finite", "bad_content", "dropped_before_clock"}
_USUAL = {"wifi.cached", "wifi.stale", "wifi.duplicate", "odom.realigned"}
"""What phones and drivers do all the time, and no harm comes of it."""
_MANY = {"pose.contradicts_motion": 0.5, "pose.ambiguous": 0.5, "pose.no_heading": 0.5}
"""What good models do too -> share of the estimates from which it warns."""
_OF = {"up": "imu"}
"""Streams made from another -> that one."""
REMEDIES = {
    "zero_stamp": "no stamp, the time of reception is used; let the driver fill in header.stamp",
    "non_finite": "not a number or infinite; look at the driver's log",
    "saturated": "field at full scale; move the sensor away from magnets, or set magnetic_field_scale",
    "duplicate": "stamps repeated; look for two publishers on the topic (`ros2 topic info -v`)",
    "out_of_order": "stamps go backwards; look for two publishers on the topic (`ros2 topic info -v`)",
    "isolated": "single stamps far from the others; look at the driver's clock",
    "gap": "gaps restart the window; look for losses on the way, or raise the driver's priority",
    "unpaired": "the other sensor's readings come later or not at all; look at its topic, or free the processor",
    "clock_set_back": "time was set back and the estimate restarted; expected where a bag loops",
    "jump": "odometry jumped; look for a reset or two publishers",
    "lost_on_the_way": "lost before the node took them; raise queue_depth or hop, or free the processor",
    "bad_content": "content cannot be read; see the node's log",
    "too_large": "too large for a scan; look at what publishes on the topic",
    "internal_error": "a bug of this node; see its log and report it",
    "not_finite": "the model gave no finite position; see the input's statuses",
    "foreign_stamp": "stamps of another clock, the time of reception is used; synchronise the clocks (chrony)",
    "late": "later than max_sensor_age after their stamp; look for a slow driver, or raise max_sensor_age",
    "no_orientation": "messages without orientation, which the model needs; let the driver publish it (REP-145)",
    "out_of_range": "positions beyond any site; look at the odometry's driver",
    "clock.jump": "the ROS clock jumped and the estimate restarted; expected where a bag loops",
    "pose.contradicts_motion": "most estimates contradict the odometry; see the survey's status, and odometry's scale",
    "pose.ambiguous": "withheld, as they may as well be elsewhere; keep moving, or set publish_ambiguous",
    "pose.no_heading": "withheld until odometry gives a heading; drive on, or set publish_without_heading",
    "dropped_before_clock": "arrived before /clock; start what publishes /clock, or set use_sim_time to false",
}
"""A counter's name, or its last part -> what it means and what to do."""


class Refusals:
    """Watch the counters grow."""

    def __init__(self) -> None:
        self._looks: deque[tuple[float, Counter[str], dict[str, int]]] = deque()

    def status(self, counters: Counter[str], received: Mapping[str, int], now: float) -> Status:
        """Judge what was refused lately; `received` are the messages of each stream, and as `pose` the estimates."""
        if not self._looks:
            self._looks.append((now, Counter(), dict.fromkeys(received, 0)))
        self._looks.append((now, counters.copy(), dict(received)))
        while len(self._looks) > 2 and now - self._looks[1][0] >= RECENT:
            self._looks.popleft()
        _, before, received_before = self._looks[0]
        recent = counters - before
        arrived = {stream: count - received_before.get(stream, 0) for stream, count in received.items()}
        findings = list(self._findings(recent, arrived))
        values = {name: str(count) for name, count in sorted(counters.items())}
        return summed_up("messages", findings, "all messages used" if not counters else "few refused", values)

    def _findings(self, recent: Counter[str], arrived: Mapping[str, int]) -> Iterator[Finding]:
        for name, count in sorted(recent.items(), key=lambda item: -item[1]):
            stream, _, reason = name.rpartition(".")
            few = count <= _MANY.get(name, _FEW) * max(arrived.get(_OF.get(stream, stream), 0), 1)
            if name in _USUAL or (few and reason not in _SERIOUS):
                continue
            level = Level.ERROR if reason == "internal_error" else Level.WARN
            remedy = REMEDIES.get(name) or REMEDIES.get(reason, "see the documentation of diagnostics")
            yield Finding(level, f"{name} {count} in the last {RECENT:g} s: {remedy}")
