"""Start a node, and spin it until it is told to stop, whatever a message or a callback raises."""

from __future__ import annotations

import gc
import time
import traceback
from collections import Counter
from collections.abc import Callable
from typing import Any, TypeVar

import rclpy
from rclpy.exceptions import ParameterException
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.logging import get_logger
from rclpy.node import Node

from mail_localization.errors import ConfigError, MailLocalizationError
from mail_localization.ros.merged_queue import MergedQueue
from mail_localization.ros.sensor_wait import SensorWait
from mail_localization.ros.stop_signals import StopSignals

NodeT = TypeVar("NodeT", bound=Node)
_HEARTBEAT = 0.5
"""Longest wait without a look at whether the context is shut down, s.

A signal may come between that look and the wait, which then does not end by itself: about 1 in 35 idle nodes slept on.
"""
_PAUSE = 1e-3
"""An error that comes back at once must not take a whole core, nor many bad messages all the time, s."""


def run(
    make: Callable[[], Any],
    name: str,
    args: list[str] | None,
    begin: Callable[[Any], None] = lambda node: None,
    sensors: Callable[[Any], MergedQueue | None] = lambda node: None,
) -> int:
    """Run a node until SIGINT or SIGTERM and return 0; 1 after one FATAL line where it cannot start.

    Args:
        make: creates the node, which counts in `problems`.
        name: of the node, for the log.
        args: of the command line.
        begin: what the node does before it spins.
        sensors: returns what the node reads its sensors by now, if anything.
    """
    signals = StopSignals()
    node = None
    try:
        node = start(make, args)
        begin(node)
        # What is loaded by now stays: looking through it for garbage again and again took a tenth of the node's time.
        gc.collect()
        gc.freeze()
        signals.leave_at_once = False
        spin(node, node.problems, lambda: sensors(node))
    except MailLocalizationError as err:
        get_logger(name).fatal(str(err))
        return 1
    finally:
        signals.leave_at_once = False
        if node is not None:
            node.destroy_node()
        rclpy.try_shutdown()
        signals.ignore()
    return 0


def start(make: Callable[[], NodeT], args: list[str] | None) -> NodeT:
    """Create the node; ConfigError on arguments or a parameter file that rcl refuses."""
    try:
        rclpy.init(args=args)
        return make()
    except (RuntimeError, ParameterException) as err:
        # rcl's errors all are RuntimeError, and end in places of its own source.
        reason = str(err).split(", at /")[0].splitlines()[0]
        raise ConfigError(f"{reason}; see the arguments after --ros-args and the parameter file") from err


def spin(node: Node, problems: Counter[str], sensors: Callable[[], MergedQueue | None] = lambda: None) -> None:
    """Spin until the context is shut down; what escapes from rclpy is counted as `node.unreadable`.

    Messages that `sensors` reads go past the executor, which is the single-threaded one. rclpy.experimental's
    EventsExecutor was tried with Jazzy's rclpy 7.1.6 and Kilted's 9.1.2 over Fast DDS, on 200 messages/s of
    sensor_msgs/Imu: it took three quarters of a core, and neither its own timer nor SIGTERM ended its spin(); with
    7.1.6 it received next to nothing.
    """
    if not node.context.ok():
        # Told to stop while it was still starting: rclpy makes no executor of a context that is shut down.
        return
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    wait = SensorWait(node)
    while node.context.ok():
        try:
            queue = sensors()
            if queue is None:
                executor.spin_once(_HEARTBEAT)
            elif not wait.hand_on(queue, _HEARTBEAT):
                executor.spin_once(0)
        except ExternalShutdownException:
            return
        except Exception:
            # A context shut down between two callbacks makes rclpy's next wait fail with an RCLError.
            if not node.context.ok():
                return
            # Such as a message that rclpy takes but cannot convert: only that one is lost.
            problems["node.unreadable"] += 1
            node.get_logger().error(traceback.format_exc(), throttle_duration_sec=5.0)
            time.sleep(_PAUSE)
