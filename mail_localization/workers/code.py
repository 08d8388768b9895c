"""Which code a result was made by, so that another's is not taken for one's own."""

from __future__ import annotations

import ast
import hashlib
from functools import lru_cache
from pathlib import Path

_PACKAGE = Path(__file__).parents[1]
_NO_FIGURES = {
    "cli", "health", "ros", "workers", "data/radios", "data/simulation", "data/sources",
    *(f"evaluation/{name}.py" for name in
      ("canvas", "floorplan", "kept", "outputs", "page", "plots", "report", "results", "runner", "words")),
    *(f"experiments/{name}.py" for name in
      ("compare", "config", "figures", "outcome", "plan", "report", "runner", "sites", "tables")),
}  # fmt: skip
"""What asks for figures, shows them, or has no part in them; all else counts."""


@lru_cache(maxsize=1)
def figures_hash() -> str:
    """Return a hash of the code that a trained model and its errors come from; comments and docstrings do not count."""
    digest = hashlib.sha256()
    for path in sorted(_PACKAGE.rglob("*.py")):
        place = path.relative_to(_PACKAGE)
        if not _NO_FIGURES & {place.as_posix(), *(parent.as_posix() for parent in place.parents)}:
            digest.update(place.as_posix().encode() + _code(path))
    return digest.hexdigest()[:16]


@lru_cache(maxsize=1)
def package_hash() -> str:
    """Return a hash of every file of the package's code, as it stands."""
    digest = hashlib.sha256()
    for path in sorted(_PACKAGE.rglob("*.py")):
        digest.update(path.relative_to(_PACKAGE).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def _code(path: Path) -> bytes:
    tree = ast.parse(path.read_bytes())
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [statement for statement in node.body if not _is_text(statement)]
    return ast.dump(tree).encode()


def _is_text(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
