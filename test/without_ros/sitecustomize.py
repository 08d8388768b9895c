"""Hide ROS from Python and its child processes: put this folder on PYTHONPATH to prove that nothing needs ROS."""

from __future__ import annotations

import re
import sys
from importlib.machinery import ModuleSpec

_ROS = re.compile(
    r"(rclpy|launch|launch_\w+|ament_\w+|rosidl_\w+|rcl_interfaces|builtin_interfaces|\w+_msgs|std_srvs)$"
)


class _Hider:
    """A finder that refuses every ROS package before another finder is asked."""

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        if path is None and _ROS.match(name):
            raise ModuleNotFoundError(f"No module named {name!r} (hidden by test/without_ros)", name=name)
        return None


sys.meta_path.insert(0, _Hider())
