"""Settings: frozen dataclasses whose fields carry their meaning, unit and range.

The same text serves the YAML files, the ROS parameter descriptors and the error messages.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, get_type_hints

from mail_localization.errors import ConfigError


def setting(
    default: Any,
    doc: str,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    choices: tuple[str, ...] = (),
) -> Any:
    """Declare a field of a Settings class: default, meaning with unit, and inclusive range."""
    metadata = {"doc": doc, "minimum": minimum, "maximum": maximum, "choices": choices}
    return dataclasses.field(default=default, metadata=metadata)


def group(kind: type[Settings]) -> Any:
    """Declare a field that holds a nested Settings with its own defaults."""
    return dataclasses.field(default_factory=kind)


class Settings:
    """Base of all settings; a subclass becomes a frozen dataclass checked on construction."""

    if TYPE_CHECKING:
        # typing.dataclass_transform sees a default only when passed by keyword; setting() takes it first.
        def __init__(self, **values: Any) -> None: ...

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        dataclasses.dataclass(frozen=True)(cls)

    def __post_init__(self) -> None:
        hints = _hints(type(self))  # type: ignore[arg-type]
        for field in dataclasses.fields(self):  # type: ignore[arg-type]
            value = _checked(field, getattr(self, field.name), hints[field.name])
            object.__setattr__(self, field.name, value)
        self.check()

    def check(self) -> None:
        """Raise ConfigError where fields contradict each other; a subclass overrides it."""

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any], where: str = "settings") -> Self:
        """Build from nested mappings; `where` (a file, say) opens every error message."""
        if not isinstance(mapping, Mapping):
            raise ConfigError(f"{where}: expected names and values, found {mapping!r}")
        hints = _hints(cls)  # type: ignore[arg-type]
        values: dict[str, Any] = {}
        for key, value in mapping.items():
            if key not in hints:
                raise ConfigError(f"{where}: unknown setting {key!r}{nearest(str(key), hints)}")
            hint = hints[key]
            if isinstance(hint, type) and issubclass(hint, Settings) and not isinstance(value, Settings):
                value = hint.from_mapping(value or {}, f"{where}: {key}")
            values[key] = value
        try:
            return cls(**values)
        except ConfigError as err:
            raise ConfigError(f"{where}: {err}") from err

    @classmethod
    def from_yaml(cls, path: Path) -> Self:
        """Read a YAML file; an empty file gives the defaults."""
        import yaml

        try:
            mapping = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as err:
            raise ConfigError(f"{path}: cannot be read as YAML: {err}") from err
        return cls.from_mapping(mapping or {}, str(path))

    def to_mapping(self) -> dict[str, Any]:
        """Return nested plain values, ready for JSON or YAML."""
        return dataclasses.asdict(self)  # type: ignore[call-overload, no-any-return]


def nearest(name: str, known: Any) -> str:
    """Return a hint that ends an error message: the nearest known name, or all of them."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(sorted(known))}"


@functools.cache
def _hints(cls: type) -> dict[str, Any]:
    return get_type_hints(cls)


def _checked(field: dataclasses.Field[Any], value: Any, hint: Any) -> Any:
    """Return the value in the field's type, or raise ConfigError naming field, value and range."""
    if isinstance(hint, type) and issubclass(hint, Settings):
        if not isinstance(value, hint):
            raise ConfigError(f"{field.name}: expected {hint.__name__}, found {value!r}")
        return value
    doc = field.metadata.get("doc", "")
    if hint is float:
        value = _float(value)
    if isinstance(value, list):
        value = tuple(value)
    kind = getattr(hint, "__origin__", hint)
    mistyped = isinstance(kind, type) and not isinstance(value, kind)
    if mistyped or (isinstance(value, bool) and hint is not bool):
        name = getattr(kind, "__name__", kind)
        raise ConfigError(f"{field.name}: expected {name}, found {value!r} ({doc})")
    if kind is tuple:
        value = tuple(_element(field, item, hint.__args__[0]) for item in value)
    choices = field.metadata.get("choices")
    if choices and value not in choices:
        raise ConfigError(f"{field.name}: {value!r} is not one of {', '.join(choices)} ({doc})")
    _check_range(field, value if kind is tuple else (value,))
    return value


def _element(field: dataclasses.Field[Any], item: Any, kind: type) -> Any:
    if kind is float:
        item = _float(item)
    if not isinstance(item, kind) or (isinstance(item, bool) and kind is not bool):
        raise ConfigError(f"{field.name}: expected a list of {kind.__name__}, found {item!r} in it")
    return item


def _float(value: Any) -> Any:
    """Return an integer as a float, infinite where it is too large for one; anything else as it is."""
    if not isinstance(value, int) or isinstance(value, bool):
        return value
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _check_range(field: dataclasses.Field[Any], values: tuple[Any, ...]) -> None:
    low, high = field.metadata.get("minimum"), field.metadata.get("maximum")
    for value in values:
        if not isinstance(value, (int, float)) or isinstance(value, bool):
            continue
        below = low is not None and value < low
        above = high is not None and value > high
        if below or above or not math.isfinite(value):
            allowed = f"{'-inf' if low is None else low} to {'inf' if high is None else high}"
            doc = field.metadata.get("doc", "")
            raise ConfigError(f"{field.name}: {value!r} is outside {allowed} ({doc})")
