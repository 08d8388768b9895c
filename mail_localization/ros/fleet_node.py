"""Many targets in one process: each localized in its namespace as localizer_node would, from one copy of the model."""

from __future__ import annotations

import functools
import math
import sys
import time
import traceback
from collections import Counter, deque

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.clock import Clock, ClockType, JumpThreshold, TimeJump
from rclpy.duration import Duration
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter

from mail_localization.errors import MailLocalizationError
from mail_localization.health import Level, Status
from mail_localization.models.artifact import load_model
from mail_localization.ros import diagnostics
from mail_localization.ros.fleet_settings import FLEET_LIVE, FleetSettings
from mail_localization.ros.parameters import Parameters
from mail_localization.ros.reports import DIAGNOSTICS_PERIOD
from mail_localization.ros.session import Session
from mail_localization.ros.spinning import run
from mail_localization.ros.target import Target

NAME = "fleet_node"
SERVICE_PERIOD = 1.0
"""Time in which every target is served once, s."""
_START_TIME = 0.1
"""Time a turn may spend on new targets, one at least, s: the others wait meanwhile."""
_BUSY = 0.9
"""Share of the time from which on there is more to do than one process can."""


class FleetNode(Node):  # type: ignore[misc]
    """Follow the parameter `targets`, and take turns at them."""

    def __init__(self) -> None:
        super().__init__(NAME)
        self.problems: Counter[str] = Counter()
        self.targets: dict[str, Target] = {}
        self.refused: dict[str, str] = {}
        """Target that could not start -> why."""
        fixed = "is read at start: stop the node and start it with the other value"
        self.parameters = Parameters(self, FleetSettings, FLEET_LIVE, fixed=fixed)
        self._read = functools.cache(load_model)
        # Of no target: a model that does not work is told before there are any, and it is kept when there are none.
        self._spare = Session(lambda: self.settings, Counter(), read=self._read)
        self._server = SingleThreadedExecutor()
        self._round: deque[str] = deque()
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self._began = self._since = time.monotonic()
        self._busy = 0.0
        # Steady: under use_sim_time a silent /clock must not silence the fleet.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(self.settings.poll_period, self.turn, clock=steady)
        self.create_timer(DIAGNOSTICS_PERIOD, self.diagnose, clock=steady)
        self.add_post_set_parameters_callback(self._try_again)
        forward, backward = Duration(seconds=self.settings.max_time_jump), Duration(nanoseconds=-100_000_000)
        threshold = JumpThreshold(min_forward=forward, min_backward=backward, on_clock_change=True)
        self._jumps = self.get_clock().create_jump_callback(threshold, post_callback=self._on_jump)
        self.get_logger().info(f"ready to localize {len(self.settings.targets)} targets with {self._spare.method}")

    @property
    def settings(self) -> FleetSettings:
        """The parameters as they are now."""
        return self.parameters.current

    def turn(self) -> None:
        """Start and release targets as the parameters say, and do what waits for those that there are."""
        began = time.monotonic()
        elapsed, self._began = began - self._began, began
        self._follow()
        for target in self.targets.values():
            target.poll()
        for _ in range(math.ceil(len(self._round) * min(elapsed / SERVICE_PERIOD, 1.0))):
            self._round.rotate(-1)
            self.targets[self._round[-1]].serve(self._server)
        self._busy += time.monotonic() - began

    def diagnose(self) -> None:
        """Publish how many targets there are, which could not start, and how much of the time they take."""
        now = time.monotonic()
        share, self._busy, self._since = self._busy / max(now - self._since, 1e-3), 0.0, now
        values = {"targets": str(len(self.targets)), "refused": str(len(self.refused)), "busy": f"{share:.0%}"}
        status = Status("fleet", Level.OK, f"{len(self.targets)} targets, busy {share:.0%} of the time", values)
        if share > _BUSY:
            text = f"{len(self.targets)} targets are too many for one process: poses are late; see docs/fleet.md"
            status = Status("fleet", Level.WARN, text, values)
        if self.refused:
            name, reason = next(iter(self.refused.items()))
            status = Status("fleet", Level.ERROR, f"{len(self.refused)} cannot start, as {name}: {reason}", values)
        own_name, stamp = self.get_fully_qualified_name(), self.get_clock().now().to_msg()
        self._diagnostics.publish(diagnostics.to_msg([status], stamp, self._spare.method, own_name))

    def destroy_node(self) -> None:
        """Release all targets, then the node itself."""
        for target in self.targets.values():
            target.close()
        self.targets.clear()
        self._jumps.unregister()
        self._server.shutdown()
        super().destroy_node()

    def _follow(self) -> None:
        wanted = {self._absolute(name) for name in self.settings.targets}
        for name in self.targets.keys() - wanted:
            self.targets.pop(name).close()
            self._round.remove(name)
            self.get_logger().info(f"target {name} is released")
        until = time.monotonic() + _START_TIME
        for name in sorted(wanted - self.targets.keys() - self.refused.keys()):
            self._start(name)
            if time.monotonic() > until:
                return

    def _start(self, name: str) -> None:
        try:
            target = Target(name, self.get_clock(), lambda: self.settings, self._read)
        except Exception as err:
            self.refused[name] = str(err).split(", at /")[0]
            told = isinstance(err, MailLocalizationError | RuntimeError)  # rcl's errors all are RuntimeError.
            self.get_logger().error(
                f"target {name} cannot start: {self.refused[name] if told else traceback.format_exc()}"
            )
            return
        self.targets[name] = target
        self._round.append(name)
        self.get_logger().info(f"localizing {name}, listening to {', '.join(target.listens_to)}")

    def _absolute(self, name: str) -> str:
        return name if name.startswith("/") else f"{self.get_namespace().rstrip('/')}/{name}"

    def _try_again(self, changes: list[Parameter]) -> None:
        """Give targets that could not start another try whenever the list is set."""
        if any(change.name == "targets" for change in changes):
            self.refused.clear()

    def _on_jump(self, jump: TimeJump) -> None:
        began = self.get_clock().now().nanoseconds <= jump.delta.nanoseconds
        if began or not self.settings.reset_on_time_jump:
            return  # The first message on /clock is no jump.
        self.get_logger().warning(f"the clock jumped by {jump.delta.nanoseconds * 1e-9:.1f} s; starting anew")
        for target in self.targets.values():
            target.problems["clock.jump"] += 1
            target.reset()


def main(args: list[str] | None = None) -> int:
    """Run the node until SIGINT or SIGTERM (exit code 0); 1 with one FATAL line where it cannot start."""
    return run(FleetNode, NAME, args)


if __name__ == "__main__":
    sys.exit(main())
