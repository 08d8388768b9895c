"""Node settings and how they become ROS parameters: declared, described, and checked before anything runs."""

from __future__ import annotations

import dataclasses
import sys
from typing import Any, TypeVar

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.node import Node

from mail_localization.config import Settings, nearest, setting
from mail_localization.errors import ConfigError


class NodeSettings(Settings):
    """Everything localizer_node can be told; the model folder brings the rest."""

    model: str = setting("", "folder of the model to localize with")
    hop: int = setting(0, "grid samples between two estimates; 0 = as the model was trained", minimum=0)
    global_frame_id: str = setting("map", "frame of the published pose")
    magnetic_field_scale: float = setting(
        1.0, "factor that makes the magnetometer's field tesla (1e-6 for microtesla, 1e-4 for gauss)", minimum=1e-12
    )
    position_covariance_scale: float = setting(1.0, "factor on the model's own covariance", minimum=1e-6)
    min_position_stddev: float = setting(
        0.05, "least standard deviation published along any direction, m", minimum=1e-6
    )
    unobserved_variance: float = setting(1e6, "variance published for z (m^2), roll, pitch, yaw (rad^2)", minimum=1e-6)
    queue_depth: int = setting(500, "sensor messages kept while an estimate is computed", minimum=1, maximum=100_000)


SettingsT = TypeVar("SettingsT", bound=Settings)


def declare_settings(node: Node, kind: type[SettingsT]) -> SettingsT:
    """Declare each field as a read-only parameter and return the values given; ConfigError on a bad one.

    The values are checked here, not by rclpy: it ignores unknown names, and refuses an integer given for a double.
    """
    # rclpy keeps what files and arguments gave until declaration; there is no public way to list it.
    given = {name: parameter.value for name, parameter in node._parameter_overrides.items()}
    where = f"parameters of {node.get_fully_qualified_name()}"
    known = {field.name for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    for name in given:
        rclpy_owns = node.has_parameter(name) or name.startswith("qos_overrides.")
        if name not in known and not rclpy_owns:
            raise ConfigError(f"{where}: unknown parameter {name!r}{nearest(name, known)}")
    settings = kind.from_mapping({name: value for name, value in given.items() if name in known}, where)
    for field in dataclasses.fields(kind):  # type: ignore[arg-type]
        value = getattr(settings, field.name)
        node.declare_parameter(field.name, value, descriptor(field, value), ignore_override=True)
    return settings


def descriptor(field: dataclasses.Field[Any], value: Any) -> ParameterDescriptor:
    """Describe a setting: its meaning, and its range where it has one."""
    low, high = field.metadata.get("minimum"), field.metadata.get("maximum")
    described = ParameterDescriptor(
        description=field.metadata.get("doc", ""),
        additional_constraints=", ".join(field.metadata.get("choices", ())),
        read_only=True,
    )
    if low is None and high is None:
        return described
    if isinstance(value, int):
        bounds = (-(2**63) if low is None else int(low), 2**63 - 1 if high is None else int(high))
        described.integer_range = [IntegerRange(from_value=bounds[0], to_value=bounds[1], step=1)]
    else:
        span = (-sys.float_info.max if low is None else low, sys.float_info.max if high is None else high)
        described.floating_point_range = [FloatingPointRange(from_value=float(span[0]), to_value=float(span[1]))]
    return described
