"""What the node says of itself: diagnostics, and refused messages in the log."""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Callable

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.clock import Clock, ClockType
from rclpy.node import Node

from mail_localization.health import Level, Status
from mail_localization.ros import diagnostics
from mail_localization.ros.session import Session

DIAGNOSTICS_PERIOD = 1.0
REPORT_PERIOD = 5.0
"""Time between two looks at the counters, s."""


class Reports:
    """Publish diagnostics every `period` (s) and log the counters while the node is configured.

    `resting` tells why the node does not listen, "" while it does; `notes` what a stream waits for.
    """

    def __init__(
        self,
        node: Node,
        session: Session,
        resting: Callable[[], str],
        notes: Callable[[], dict[str, str]],
        period: float = DIAGNOSTICS_PERIOD,
    ) -> None:
        self._node, self._session, self._resting, self._notes = node, session, resting, notes
        self._reported: Counter[str] = Counter()
        self._publisher = node.create_publisher(DiagnosticArray, "/diagnostics", 10)
        # Steady: under use_sim_time a silent /clock must not silence the report.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._timers = [
            node.create_timer(period, self.diagnose, clock=steady),
            node.create_timer(REPORT_PERIOD, self.report, clock=steady),
        ]

    def close(self) -> None:
        """Say no more."""
        for timer in self._timers:
            self._node.destroy_timer(timer)
        self._node.destroy_publisher(self._publisher)

    def diagnose(self) -> None:
        """Publish the state of every part."""
        try:
            resting = self._resting()
            # Silent sensors are no news of a node that does not listen.
            statuses = [Status("localization", Level.OK, resting)] if resting else self._session.statuses(self._notes())
        except Exception:
            # The judge must not end whom it judges.
            self._session.problems["diagnostics.internal_error"] += 1
            self._node.get_logger().error(traceback.format_exc(), once=True)
            return
        name, stamp = self._node.get_fully_qualified_name(), self._node.get_clock().now().to_msg()
        self._publisher.publish(diagnostics.to_msg(statuses, stamp, self._session.method, name))

    def report(self) -> None:
        """Warn of what was refused since the start, if there is anything new."""
        refused = self._session.counters
        if refused != self._reported:
            text = ", ".join(f"{name} {count}" for name, count in sorted(refused.items()))
            self._node.get_logger().warning(f"messages refused or repaired so far: {text}")
            self._reported = refused
