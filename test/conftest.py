"""Isolate ROS, and skip its tests with the reason where rclpy is absent; in CI they fail instead."""

from __future__ import annotations

import os
import random
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

_CACHES = tempfile.TemporaryDirectory(prefix="mail_localization_test_")
# Before any rclpy import: tests must neither see nor disturb other ROS nodes on the network.
os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
os.environ["ROS_DOMAIN_ID"] = str(random.SystemRandom().randint(1, 100))
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")
# Tests that run commands must not fill the user's cache.
os.environ["XDG_CACHE_HOME"] = _CACHES.name

ROOT = Path(__file__).parents[1]
ROS_TESTS = ROOT / "test" / "ros"
ABSENT = "rclpy is absent: source a ROS 2 installation or run `make venv`"


def _rclpy_is_absent() -> bool:
    try:
        import rclpy  # noqa: F401
    except ImportError:
        return True
    return False


class _AbsentModule(pytest.Module):
    """A ROS test module that is not imported, because rclpy is absent."""

    def collect(self) -> Iterator[pytest.Item]:
        if os.environ.get("CI"):
            raise self.CollectError(f"{ABSENT} (in CI a ROS test must run)")
        pytest.skip(ABSENT, allow_module_level=True)


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> pytest.Module | None:
    if ROS_TESTS in module_path.parents and _rclpy_is_absent():
        return _AbsentModule.from_parent(parent, path=module_path)
    return None


# First, so that `-m ros` sees the mark.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if ROS_TESTS in item.path.parents:
            item.add_marker("ros")


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("ros") and _rclpy_is_absent():
        if os.environ.get("CI"):
            pytest.fail(f"{ABSENT} (in CI a ROS test must run)", pytrace=False)
        pytest.skip(ABSENT)


@pytest.fixture(scope="session")
def python() -> str:
    """Return the interpreter for child processes."""
    return sys.executable
