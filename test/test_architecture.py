"""The package's shape: who may import whom, where ROS may appear, and what `--help` may cost."""

from __future__ import annotations

import ast
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "mail_localization"
ROS = {
    "rclpy",
    "launch",
    "launch_ros",
    "ament_index_python",
    "rcl_interfaces",
    "builtin_interfaces",
    "rosidl_runtime_py",
}
ROS |= {"rosbag2_py", "tf2_ros", "std_srvs", "lifecycle_msgs"}
ROS |= {
    f"{kind}_msgs" for kind in ("sensor", "geometry", "nav", "std", "rosgraph", "diagnostic", "visualization", "tf2")
}
HEAVY = {"torch", "rosbags", "matplotlib", "scipy", "rclpy", "safetensors", "distributed"}

BASE = {"types", "errors", "config", "files", "calibration", "estimator"}
METHOD_PARTS = {"preprocess", "data", "models", "matching", "motion"}
MAY_IMPORT = {
    "types": set(),
    "errors": set(),
    "files": set(),
    "calibration": {"types", "errors"},
    "estimator": {"types", "calibration"},
    "config": {"errors"},
    "workers": {"errors"},
    "preprocess": BASE,
    # Importing runs on workers.
    "data": BASE | {"preprocess", "workers"},
    # Methods are made of all three: a network's estimates are followed with steps and particles, say.
    **dict.fromkeys(["models", "motion", "matching"], BASE | {"preprocess", "models", "motion", "matching"}),
    "localizer": BASE | METHOD_PARTS,
    "health": BASE | {"preprocess"},
    "training": BASE | METHOD_PARTS | {"localizer"},
    # `evaluate --live` drives the real node through ros/live; it is imported only then.
    "evaluation": BASE | METHOD_PARTS | {"localizer", "ros", "workers"},
    "ros": BASE | METHOD_PARTS | {"localizer", "health"},
    "methods": BASE | METHOD_PARTS | {"localizer", "training"},
    "experiments": BASE | METHOD_PARTS | {"localizer", "training", "evaluation", "methods", "workers"},
    "cli": BASE | METHOD_PARTS | {"localizer", "training", "evaluation", "ros", "methods", "experiments", "workers"},
    "__init__": set(),
    "__main__": {"cli"},
}
"""Part of the package -> the parts it may import: dependencies point downwards only (types up to cli)."""


def _modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def _imports(path: Path) -> Iterator[str]:
    """Yield the dotted name of everything a file imports, inside functions too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _part(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", _modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_module_imports_only_parts_below_its_own(path: Path) -> None:
    part = _part(path)
    assert part in MAY_IMPORT, f"{part} has no place in the layers: add it to MAY_IMPORT"
    own = [name.split(".") for name in _imports(path) if name.split(".")[0] == "mail_localization"]
    used = {names[1] for names in own if len(names) > 1}
    assert used <= MAY_IMPORT[part] | {part}


@pytest.mark.parametrize("path", _modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_ros_is_imported_in_ros_only(path: Path) -> None:
    found = {name.split(".")[0] for name in _imports(path)} & ROS
    assert _part(path) == "ros" or not found


def test_nodes_spin_as_a_signal_always_ends() -> None:
    """rclpy.spin sleeps on when a signal comes between its look at the context and its wait."""
    assert [str(path) for path in _modules() if "rclpy.spin(" in path.read_text()] == []


def test_nothing_unpickles() -> None:
    loaders = {"pickle", "cloudpickle", "dill", "joblib", "shelve"}
    assert not [path for path in _modules() if {name.split(".")[0] for name in _imports(path)} & loaders]


def _commands() -> list[str]:
    from mail_localization.cli import COMMANDS

    return list(COMMANDS)


def test_help_imports_nothing_heavy() -> None:
    script = (
        "import contextlib, io, sys\n"
        "from mail_localization.cli import main\n"
        "for arguments in [[], *([name] for name in sys.argv[1:])]:\n"
        "    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):\n"
        "        main([*arguments, '--help'])\n"
        f"print(*sorted({HEAVY!r} & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *_commands()], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.split() == []


def test_help_takes_less_than_a_second() -> None:
    for command in ([], *([name] for name in _commands())):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(
            [sys.executable, "-m", "mail_localization", *command, "--help"], capture_output=True, check=True, timeout=60
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        # Processor time: a busy machine stretches the wall clock.
        assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1.0, command
