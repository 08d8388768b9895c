"""Hide torch from Python and its child processes: put this folder on PYTHONPATH to prove that nothing needs it."""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec


class _Hider:
    """A finder that refuses torch before another finder is asked."""

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        if name == "torch":
            raise ModuleNotFoundError(f"No module named {name!r} (hidden by test/without_torch)", name=name)
        return None


sys.meta_path.insert(0, _Hider())
