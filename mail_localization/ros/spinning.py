"""Spin a node until it is told to stop, whatever a message or a callback raises."""

from __future__ import annotations

import time
import traceback

from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node

_PAUSE = 0.05


def spin(node: Node) -> None:
    """Spin until the context is shut down.

    The executor is the single-threaded one. rclpy.experimental's EventsExecutor was tried with Jazzy's rclpy 7.1.6 and
    Kilted's 9.1.2 over Fast DDS, on 200 messages/s of sensor_msgs/Imu: it received next to nothing, took three
    quarters of a core, and neither its own timer nor SIGINT nor SIGTERM ended its spin().
    """
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    while node.context.ok():
        try:
            executor.spin()
        except ExternalShutdownException:
            return
        except Exception:
            # A context shut down between two callbacks makes rclpy's next wait fail with an RCLError.
            if not node.context.ok():
                return
            # Such as text that is no UTF-8, which rclpy refuses before any callback of ours: only that message is lost.
            node.get_logger().error(traceback.format_exc(), throttle_duration_sec=5.0)
            time.sleep(_PAUSE)
