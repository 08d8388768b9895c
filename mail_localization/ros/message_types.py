"""Message classes by the name of their type, for topics whose type is known at run time only."""

from __future__ import annotations

import importlib
import re

from mail_localization.errors import ConfigError

_NAME = re.compile(r"([a-z][a-z0-9_]*)/(?:msg/)?([A-Z][A-Za-z0-9]*)")


def message_class(name: str) -> type:
    """Import the class of a type such as `sensor_msgs/msg/Imu`; nothing but the module `PACKAGE.msg` is imported.

    Raises:
        ConfigError: it is no message type, or is not installed.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        raise ConfigError(f"{name[:80]!r} is no message type such as sensor_msgs/msg/Imu")
    try:
        kind: type = getattr(importlib.import_module(f"{match[1]}.msg"), match[2])
        kind.get_fields_and_field_types()
    except (ImportError, AttributeError) as err:
        package = match[1].replace("_", "-")
        raise ConfigError(
            f"message type {name} is not installed: sudo apt install ros-$ROS_DISTRO-{package}, or source the "
            "workspace that has it before the start"
        ) from err
    return kind
