"""From a session's subscriptions to its publishers, while its node is active."""

from __future__ import annotations

from collections.abc import Callable

from rclpy.node import Node

from mail_localization.ros.inputs import Inputs
from mail_localization.ros.outputs import Outputs
from mail_localization.ros.session import Session
from mail_localization.ros.settings import TargetSettings
from mail_localization.ros.transforms import TransformOutput
from mail_localization.types import PoseEstimate, Sample


class Pipeline:
    """Listen to what the session uses, feed it, and publish what it makes of that."""

    def __init__(
        self, node: Node, session: Session, settings: Callable[[], TargetSettings], listening: bool = True
    ) -> None:
        """Begin from no samples."""
        self._node, self._session, self._settings = node, session, settings
        self.inputs: Inputs | None = None
        self.outputs: Outputs | None = None
        session.reset()
        self._transforms = TransformOutput(node, settings)
        try:
            if listening:
                self.listen()
            # Last of all: whoever sees `pose` on the graph sees every subscription too.
            self.outputs = Outputs(node, settings, session.problems, session.calibration)
        except Exception:
            self.close()
            raise

    def listen(self) -> None:
        """Subscribe."""
        self.inputs = Inputs(self._node, self._session, self._settings, self._publish)

    def deafen(self) -> None:
        """Withdraw the subscriptions."""
        if self.inputs is not None:
            self.inputs.close()
        self.inputs = None

    def close(self) -> None:
        """Withdraw all topics."""
        self.deafen()
        for part in (self.outputs, self._transforms):
            if part is not None:
                part.close()
        self.outputs = None

    def reset(self) -> None:
        """Forget all samples, the position and the path; the counters stay."""
        for part in (self._session, self.outputs, self._transforms):
            if part is not None:
                part.reset()

    def _publish(self, stream: str, sample: Sample, estimate: PoseEstimate | None) -> None:
        """Publish what a sample made known."""
        outputs, aided = self.outputs, self._session.aided
        if outputs is None:
            return
        if estimate is None and stream == "odom" and aided is not None and outputs.wants_carried(sample.t_ns):
            estimate = aided.carried()
        if estimate is not None and outputs.estimate(estimate):
            self._transforms.pose(estimate)
        if stream == "odom" and aided is not None:
            self._transforms.odometry(aided.map_T_odom(), sample.t_ns)
