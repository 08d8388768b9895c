"""The node: sensor topics in, `pose` out, through the same Localizer that the evaluator drives."""

from __future__ import annotations

import functools
import signal
import sys
import traceback
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from geometry_msgs.msg import PoseWithCovarianceStamped
from nav_msgs.msg import Odometry
from rclpy.clock import Clock, ClockType
from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.exceptions import ParameterException
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.logging import get_logger
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import Imu, MagneticField
from std_msgs.msg import String

from mail_localization.errors import ConfigError, MailLocalizationError, ModelError
from mail_localization.localizer import load_localizer
from mail_localization.ros import conversions
from mail_localization.ros.parameters import NodeSettings, declare_settings
from mail_localization.types import FloatArray, PoseEstimate

NAME = "localizer_node"
TOPICS: dict[str, tuple[str, type]] = {
    "imu": ("imu/data", Imu),
    "mag": ("imu/mag", MagneticField),
    "wifi": ("wifi/scan", String),
    "odom": ("odom", Odometry),
}
REPORT_PERIOD = 5.0
"""Time between two looks at the counters, s."""


class LocalizerNode(Node):  # type: ignore[misc]
    """Subscribe to what the model uses and publish where it is, once it knows."""

    def __init__(self) -> None:
        super().__init__(NAME)
        self.settings = declare_settings(self, NodeSettings)
        self.problems: Counter[str] = Counter()
        self._reported: Counter[str] = Counter()

    def configure(self) -> None:
        """Load the model, then subscribe; ModelError where there is none."""
        if not self.settings.model:
            raise ModelError("parameter 'model' is not set; give the model folder: --ros-args -p model:=FOLDER")
        folder = Path(self.settings.model).expanduser()
        self._localizer = load_localizer(folder, self.settings.hop)
        if "torch" in sys.modules:
            # At batch 1 a second thread gains nothing, and a robot has other uses for the core.
            sys.modules["torch"].set_num_threads(1)
        for stream in sorted(self._localizer.inputs):
            self._subscribe(stream)
        # Last of all: whoever sees `pose` on the graph sees every subscription too.
        self._publisher = self.create_publisher(PoseWithCovarianceStamped, "pose", 10)
        # Steady: under use_sim_time a silent /clock must not silence the report.
        self.create_timer(REPORT_PERIOD, self.report, clock=Clock(clock_type=ClockType.STEADY_TIME))
        listens = ", ".join(TOPICS[stream][0] for stream in sorted(self._localizer.inputs))
        self.get_logger().info(f"localizing with {self._localizer.method} from {folder}, listening to {listens}")

    def _subscribe(self, stream: str) -> None:
        topic, kind = TOPICS[stream]
        convert = conversions.FROM_MSG[stream]
        if stream == "mag":
            convert = functools.partial(convert, scale=self.settings.magnetic_field_scale)
        self.create_subscription(
            kind,
            topic,
            functools.partial(self._receive, stream, convert),
            QoSProfile(depth=self.settings.queue_depth, reliability=ReliabilityPolicy.BEST_EFFORT),
            # The executor looks at each event before every message: best effort fits any publisher, so only losses.
            event_callbacks=SubscriptionEventCallbacks(
                message_lost=functools.partial(self._count_lost, stream), use_default_callbacks=False
            ),
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
        )

    def _receive(self, stream: str, convert: Any, msg: Any) -> None:
        """Convert, feed, publish; nothing a message holds may end the node."""
        try:
            sample = convert(msg, self._reception_ns(stream, msg))
            estimate = self._localizer.add(sample) if sample.t_ns > 0 else None
            if estimate is not None:
                self._publish(estimate)
        except MailLocalizationError as err:
            self.problems[f"{stream}.bad_content"] += 1
            self.get_logger().warning(f"{TOPICS[stream][0]}: {err}", throttle_duration_sec=REPORT_PERIOD)
        except Exception:
            if not self.context.ok():
                return  # Interrupted between two messages: there is nobody left to publish to.
            self.problems[f"{stream}.internal_error"] += 1
            self.get_logger().error(f"{TOPICS[stream][0]}: {traceback.format_exc()}", once=True)

    def _reception_ns(self, stream: str, msg: Any) -> int:
        """Return the time that stands in for the stamp of a message without one, 0 where it is not needed."""
        stamp = conversions.stamp_ns(msg)
        if stamp:
            return 0
        now: int = self.get_clock().now().nanoseconds
        if stamp == 0:
            self.problems[f"{stream}.zero_stamp"] += 1
        if now == 0:
            self.problems[f"{stream}.dropped_before_clock"] += 1
        return now

    def _publish(self, estimate: PoseEstimate) -> None:
        covariance = tempered(
            estimate.covariance, self.settings.position_covariance_scale, self.settings.min_position_stddev
        )
        if not (np.isfinite(estimate.position).all() and np.isfinite(covariance).all()):
            self.problems["pose.not_finite"] += 1
            return
        stated = PoseEstimate(estimate.t_ns, estimate.position, covariance)
        settings = self.settings
        self._publisher.publish(conversions.pose_to_msg(stated, settings.global_frame_id, settings.unobserved_variance))

    def _count_lost(self, stream: str, event: Any) -> None:
        self.problems[f"{stream}.lost_on_the_way"] += event.total_count_change

    def report(self) -> None:
        """Warn of what was refused since the start, if there is anything new."""
        refused = self.problems + self._localizer.counters
        if refused != self._reported:
            text = ", ".join(f"{name} {count}" for name, count in sorted(refused.items()))
            self.get_logger().warning(f"messages refused or repaired so far: {text}")
            self._reported = refused


def tempered(covariance: FloatArray, scale: float, min_stddev: float) -> FloatArray:
    """Scale a covariance (2, 2) and widen it until no direction has less than `min_stddev` (m)."""
    scaled: FloatArray = covariance * scale
    lacking = min_stddev**2 - float(np.linalg.eigvalsh(scaled)[0]) if np.isfinite(scaled).all() else 0.0
    return scaled + max(lacking, 0.0) * np.eye(2)


def main(args: list[str] | None = None) -> int:
    """Run the node until SIGINT or SIGTERM (exit code 0); 1 with one FATAL line where it cannot start."""
    signals = _StopSignals()
    node = None
    try:
        node = _start(args)
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        node.configure()
        signals.leave_at_once = False
        executor.spin()
    except ExternalShutdownException:
        pass
    except MailLocalizationError as err:
        get_logger(NAME).fatal(str(err))
        return 1
    except RuntimeError:
        # A context shut down between two callbacks makes rclpy's next wait fail with an RCLError instead.
        if rclpy.ok():
            raise
    finally:
        signals.leave_at_once = False
        if node is not None:
            node.destroy_node()
        rclpy.try_shutdown()
        signals.ignore()
    return 0


class _StopSignals:
    """SIGINT and SIGTERM end the process with 0, however many come.

    Installed before rclpy's handler, which calls it after it has shut the context down: that ends spin(), and
    an exception out of this one would tear the clean-up. Only while still starting does it leave at once.
    """

    def __init__(self) -> None:
        self.leave_at_once = True
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._handle)

    def ignore(self) -> None:
        """Ignore further signals: the interpreter is on its way out."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)

    def _handle(self, number: int, frame: Any) -> None:
        if self.leave_at_once:
            raise SystemExit(0)


def _start(args: list[str] | None) -> LocalizerNode:
    """Create the node; ConfigError on arguments or a parameter file that rcl refuses."""
    try:
        rclpy.init(args=args)
        return LocalizerNode()
    except (RuntimeError, ParameterException) as err:
        # rcl's errors all are RuntimeError, and end in places of its own source.
        reason = str(err).split(", at /")[0].splitlines()[0]
        raise ConfigError(f"{reason}; see the arguments after --ros-args and the parameter file") from err


if __name__ == "__main__":
    sys.exit(main())
