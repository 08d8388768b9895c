"""One target of a fleet: its node, its model's state, its topics."""

from __future__ import annotations

import math
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from rclpy.clock import Clock
from rclpy.executors import SingleThreadedExecutor, TimeoutException
from rclpy.node import Node
from rclpy.parameter import Parameter

from mail_localization.models.artifact import ModelCard, Tensors
from mail_localization.ros.fleet_settings import FleetSettings
from mail_localization.ros.pipeline import Pipeline
from mail_localization.ros.reports import Reports
from mail_localization.ros.session import TOPICS, Session

NAME = "localizer_node"
"""Of every target's node: what is heard of it is named as if it had a process of its own."""

_MOST_HZ = 1000
"""Sensor messages taken of one target in a second: three times what a robot sends."""


class TargetNode(Node):  # type: ignore[misc]
    """A node in the target's namespace that reads the fleet's clock and parameters."""

    def __init__(self, name: str, clock: Clock) -> None:
        self._fleet_clock = clock
        # As arguments: they come before the process' own, which rename the fleet's node only.
        own = ["--ros-args", "-r", f"__ns:={name}", "-r", f"__node:={NAME}"]
        unwanted = [Parameter(name, value=False) for name in ("use_sim_time", "start_type_description_service")]
        super().__init__(
            NAME, cli_args=own, parameter_overrides=unwanted, start_parameter_services=False, enable_rosout=False
        )

    def get_clock(self) -> Clock:
        """Return the fleet's clock: one subscription to /clock is enough."""
        return self._fleet_clock


class Target:
    """Localize one target; what its messages bring about, errors too, stays in here.

    Its node is in no executor: rclpy's would build its wait set anew over everything of all targets whenever a
    message came to one. The fleet calls `poll` often and `serve` now and then.

    Raises:
        MailLocalizationError: it cannot start; nothing of it is left.
    """

    def __init__(
        self,
        name: str,
        clock: Clock,
        settings: Callable[[], FleetSettings],
        read: Callable[[Path], tuple[ModelCard, Tensors]],
    ) -> None:
        """Start; `name` is the absolute namespace, `read` returns a model folder's content."""
        self.name = name
        self.problems: Counter[str] = Counter()
        self._fleet_settings, self._given = settings, settings()
        self._own = self._given.of_target(name)
        self._pipeline: Pipeline | None = None
        self._node = TargetNode(name, clock)
        try:
            topics = {stream: self._node.resolve_topic_name(topic) for stream, topic in TOPICS.items()}
            self._session = Session(self._settings, self.problems, topics, read)
            self._reports = Reports(self._node, self._session, lambda: "", self._notes, self._own.diagnostics_period)
            self._pipeline = Pipeline(self._node, self._session, self._settings)
        except BaseException:
            self._node.destroy_node()
            raise

    @property
    def listens_to(self) -> list[str]:
        """The topics it is localized from."""
        return [self._node.resolve_topic_name(TOPICS[stream]) for stream in sorted(self._session.inputs)]

    def poll(self) -> None:
        """Take the sensor messages that wait, some at most: the other targets wait meanwhile."""
        inputs = None if self._pipeline is None else self._pipeline.inputs
        if inputs is not None:
            self._guarded(lambda: inputs.queue.poll(math.ceil(_MOST_HZ * self._given.poll_period)))

    def serve(self, executor: SingleThreadedExecutor) -> None:
        """Do all else that is due: timers, a start that is told, Wi-Fi, losses."""
        self._guarded(lambda: self._serve(executor))

    def reset(self) -> None:
        """Forget all samples, the position and the path; the counters stay."""
        if self._pipeline is not None:
            self._pipeline.reset()

    def close(self) -> None:
        """Stop, and withdraw the node."""
        if self._pipeline is not None:
            self._pipeline.close()
        self._pipeline = None
        self._reports.close()
        self._node.destroy_node()

    def _serve(self, executor: SingleThreadedExecutor) -> None:
        try:
            while True:  # Each is taken once: then it times out.
                handler, _, _ = executor.wait_for_ready_callbacks(timeout_sec=0, nodes=[self._node])
                handler()
                if (error := handler.exception()) is not None:
                    raise error
        except TimeoutException:
            pass

    def _guarded(self, action: Callable[[], None]) -> None:
        try:
            action()
        except Exception:
            if self._node.context.ok():
                # Such as a message that rclpy takes but cannot convert: only that one is lost.
                self.problems["node.unreadable"] += 1
                self._node.get_logger().error(traceback.format_exc(), throttle_duration_sec=5.0)

    def _settings(self) -> FleetSettings:
        given = self._fleet_settings()
        if given is not self._given:
            self._given, self._own = given, given.of_target(self.name)
        return self._own

    def _notes(self) -> dict[str, str]:
        inputs = None if self._pipeline is None else self._pipeline.inputs
        return {} if inputs is None else inputs.notes
