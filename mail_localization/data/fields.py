"""Fields of a message or of a JSON tree, named by dotted paths; a path is looked up, never evaluated."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Hashable, Mapping
from typing import Any

from mail_localization.errors import ConfigError, RecordingError

MAX_DEPTH = 16
"""Names in a path."""
MAX_VALUES = 100_000
"""Values one path may lead to: a message from anywhere must not cost more than milliseconds."""
_SHOWN_NAMES = 20


class FieldPath:
    """The way to a value: `header.stamp`, or `data.rss` through a list of records to one value of each."""

    def __init__(self, parameter: str, text: str, in_json: bool = False) -> None:
        """Take the setting that holds the path, for messages; "." is the root itself."""
        self.parameter, self.text = parameter, text
        self._names = () if text == "." else tuple(text.split("."))
        self._in_json = in_json
        if not all(self._names) or len(self._names) > MAX_DEPTH:
            raise ConfigError(f"{parameter}: {text[:80]!r} is not a dotted path of fields such as 'header.stamp'")

    def read(self, root: Any) -> Any:
        """Return the value, a list of values where the path leads through a list; None what JSON does not have.

        Raises:
            ConfigError: a message has no such field.
            RecordingError: there are too many values.
        """
        if self._in_json and len(self._names) == 1 and isinstance(root, dict):
            # What nearly every path into JSON is, without the general way's cost.
            return root.get(self._names[0])
        return self._read(root, 0, [MAX_VALUES])

    def _read(self, node: Any, depth: int, budget: list[int]) -> Any:
        if is_list(node):
            budget[0] -= len(node)
            if budget[0] < 0:
                raise RecordingError(f"{self.text!r} ({self.parameter}) leads to more than {MAX_VALUES} values")
        if depth == len(self._names):
            return node
        if is_list(node):
            # Only fields lead on: lists of lists, however deep, are nothing to follow.
            return [None if is_list(item) else self._read(item, depth, budget) for item in node]
        return self._read(self._child(node, depth), depth + 1, budget)

    def _child(self, node: Any, depth: int) -> Any:
        name = self._names[depth]
        if self._in_json:
            return node.get(name) if isinstance(node, Mapping) else None
        # Only what the type declares as a field: no other attribute of an object can be reached.
        if name not in field_names(node):
            where = ".".join(self._names[:depth]) or "the message"
            raise ConfigError(
                f"{self.parameter}: no field {self.text!r}: {where} ({type_name(node)}) has {shown_names(node)}"
            )
        return getattr(node, name)


def is_list(value: Any) -> bool:
    """Return whether a value is a list as messages and JSON know it: list, tuple, array or ndarray, not text."""
    return hasattr(value, "__len__") and not isinstance(value, (str, bytes, Mapping))


def field_names(message: Any) -> tuple[str, ...]:
    """Return the fields that the class of a message declares, in rclpy or rosbags; none for any other value."""
    return _declared_by(type(message))  # type: ignore[arg-type]  # mypy: type is hashable


@functools.lru_cache(maxsize=256)
def _declared_by(kind: Hashable) -> tuple[str, ...]:
    declared = getattr(kind, "get_fields_and_field_types", None)
    if declared is not None:
        return tuple(declared())
    if isinstance(kind, type) and dataclasses.is_dataclass(kind) and hasattr(kind, "__msgtype__"):
        return tuple(field.name for field in dataclasses.fields(kind))
    return ()


def type_name(message: Any) -> str:
    """Return `package/Name` of a message, the class's name for anything else."""
    kind = type(message)
    named = getattr(kind, "__msgtype__", "").replace("/msg/", "/")
    package = kind.__module__.partition(".")[0]
    return named or (f"{package}/{kind.__name__}" if field_names(message) else kind.__name__)


def shown_names(node: Any) -> str:
    """Return the names a message or a JSON object has, cut to a readable length."""
    names = list(node) if isinstance(node, Mapping) else list(field_names(node))
    more = ", ..." if len(names) > _SHOWN_NAMES else ""
    return ", ".join(str(name)[:40] for name in names[:_SHOWN_NAMES]) + more or "no fields"
