"""What the networks of a process have in common, as a fleet's targets do: made once, kept while one of them lives."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TypeVar
from weakref import WeakValueDictionary

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


def shared(kept: WeakValueDictionary[Key, Value], key: Key, make: Callable[[], Value]) -> Value:
    """Return what is kept under a key, or make it and keep it."""
    found = kept.get(key)
    if found is None:
        found = kept[key] = make()
    return found
