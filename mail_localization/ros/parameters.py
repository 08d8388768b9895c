"""Settings as ROS parameters: declared, described, checked before anything runs and whenever one is changed."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Generic, TypeVar, get_type_hints

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.node import Node
from rclpy.parameter import Parameter

from mail_localization.config import Settings, nearest
from mail_localization.errors import ConfigError

SettingsT = TypeVar("SettingsT", bound=Settings)


class Parameters(Generic[SettingsT]):
    """Hold the newest settings; a nested group's parameters have dotted names (`wifi.type`).

    The values given at start are checked here, not by rclpy: it ignores unknown names, and refuses an integer given
    for a double. A change at run time takes effect at the next message (`live` names), or is refused with its reason.

    Raises:
        ConfigError: a parameter is unknown, of the wrong type or out of range.
    """

    def __init__(
        self,
        node: Node,
        kind: type[SettingsT],
        live: frozenset[str],
        in_use: Callable[[], bool] = lambda: True,
        fixed: str = "is read when the node is configured: deactivate and clean up first, then set it",
    ) -> None:
        """Refuse what is not `live` while it is `in_use`, for the reason `fixed`."""
        self._kind, self._live, self._in_use, self._fixed = kind, live, in_use, fixed
        self._where = f"parameters of {node.get_fully_qualified_name()}"
        self._fields = dict(fields_of(kind))
        self.current: SettingsT = kind.from_mapping(nested(self._given(node)), self._where)
        values = flat(self.current)
        for name, field in self._fields.items():
            node.declare_parameter(name, values[name], descriptor(field, values[name]), ignore_override=True)
        node.add_pre_set_parameters_callback(self._widen)
        node.add_on_set_parameters_callback(self._judge)
        node.add_post_set_parameters_callback(self._accept)

    def _given(self, node: Node) -> dict[str, Any]:
        """Return what files and arguments gave."""
        # rclpy keeps it until declaration; there is no public way to list it.
        given = {name: parameter.value for name, parameter in node._parameter_overrides.items()}
        for name in given:
            rclpy_owns = node.has_parameter(name) or name.startswith("qos_overrides.")
            if name not in self._fields and not rclpy_owns:
                raise ConfigError(f"{self._where}: unknown parameter {name!r}{nearest(name, self._fields)}")
        return {name: _plain(value) for name, value in given.items() if name in self._fields}

    def _widen(self, changes: list[Parameter]) -> list[Parameter]:
        """Take an integer for a double, as at start."""
        return [self._widened(change) for change in changes]

    def _widened(self, change: Parameter) -> Parameter:
        known = change.name in self._fields and isinstance(flat(self.current)[change.name], float)
        if not known or change.type_ != Parameter.Type.INTEGER:
            return change
        return Parameter(change.name, Parameter.Type.DOUBLE, float(change.value))

    def _judge(self, changes: list[Parameter]) -> SetParametersResult:
        known = self._known(changes)
        fixed = sorted(name for name, value in known.items() if name not in self._live and self._changes(name, value))
        if fixed and self._in_use():
            return SetParametersResult(successful=False, reason=f"{fixed[0]} {self._fixed}")
        try:
            self._with(known)
        except ConfigError as err:
            return SetParametersResult(successful=False, reason=str(err))
        return SetParametersResult(successful=True)

    def _accept(self, changes: list[Parameter]) -> None:
        self.current = self._with(self._known(changes))

    def _known(self, changes: list[Parameter]) -> dict[str, Any]:
        return {change.name: _plain(change.value) for change in changes if change.name in self._fields}

    def _changes(self, name: str, value: Any) -> bool:
        return bool(flat(self.current)[name] != value)

    def _with(self, values: Mapping[str, Any]) -> SettingsT:
        return self._kind.from_mapping(nested(flat(self.current) | values), self._where)


def fields_of(kind: type[Settings], prefix: str = "") -> Iterator[tuple[str, dataclasses.Field[Any]]]:
    """Yield the dotted name and the field of each setting in a class and its groups."""
    hints = get_type_hints(kind)
    for field in dataclasses.fields(kind):  # type: ignore[arg-type]
        hint = hints[field.name]
        if isinstance(hint, type) and issubclass(hint, Settings):
            yield from fields_of(hint, f"{prefix}{field.name}.")
        else:
            yield prefix + field.name, field


def flat(settings: Settings, prefix: str = "") -> dict[str, Any]:
    """Return dotted names and values, as parameters hold them."""
    values: dict[str, Any] = {}
    for field in dataclasses.fields(settings):  # type: ignore[arg-type]
        value = getattr(settings, field.name)
        if isinstance(value, Settings):
            values |= flat(value, f"{prefix}{field.name}.")
        else:
            values[prefix + field.name] = _plain(value)
    return values


def nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """Turn dotted names into nested mappings."""
    tree: dict[str, Any] = {}
    for name, value in values.items():
        *groups, last = name.split(".")
        branch = tree
        for group in groups:
            branch = branch.setdefault(group, {})
        branch[last] = value
    return tree


def _plain(value: Any) -> Any:
    """Return a list for what rclpy and Settings hold as arrays and tuples."""
    return value.tolist() if hasattr(value, "tolist") else list(value) if isinstance(value, tuple) else value


def descriptor(field: dataclasses.Field[Any], value: Any) -> ParameterDescriptor:
    """Describe a setting: its meaning, and its range where it has one."""
    low, high = field.metadata.get("minimum"), field.metadata.get("maximum")
    described = ParameterDescriptor(
        description=field.metadata.get("doc", ""),
        additional_constraints=", ".join(field.metadata.get("choices", ())),
        # An empty array has no type in ROS: what is in it is checked here.
        dynamic_typing=isinstance(value, list),
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
