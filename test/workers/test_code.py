from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from mail_localization.workers import code


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the package that a test may change."""
    copy = shutil.copytree(code._PACKAGE, tmp_path / "copy", ignore=shutil.ignore_patterns("__pycache__"))
    with monkeypatch.context() as patched:
        patched.setattr(code, "_PACKAGE", copy)
        yield copy
    forget()


def forget() -> None:
    code.figures_hash.cache_clear()
    code.package_hash.cache_clear()


def hashes() -> tuple[str, str]:
    forget()
    return code.figures_hash(), code.package_hash()


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_code_that_figures_come_from_counts_and_what_is_said_about_it_does_not(package: Path) -> None:
    figures, whole = hashes()
    edit(package / "matching" / "dtw.py", '"""', '"""Anew: ')
    edit(package / "matching" / "dtw.py", "import numpy", "# A comment.\nimport numpy")
    edit(package / "evaluation" / "words.py", "import", "import sys\nimport")
    edit(package / "cli" / "__init__.py", "import argparse", "import argparse, math")
    same, changed = hashes()
    assert same == figures and changed != whole
    edit(package / "matching" / "dtw.py", "import numpy", "import math, numpy")
    assert hashes()[0] != figures


def test_what_does_not_count_is_there() -> None:
    assert [name for name in code._NO_FIGURES if not (code._PACKAGE / name).exists()] == []
