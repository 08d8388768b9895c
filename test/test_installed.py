"""colcon's install space: the executable, started as launch_ros would start it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.ros

ROOT = Path(__file__).parents[1]
DEADLINE = 60.0  # s; discovery and imports on a busy machine


@pytest.fixture(scope="module")
def install(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build with colcon outside the repository; return the install space."""
    out = tmp_path_factory.mktemp("colcon")
    command = [sys.executable, "-m", "colcon", "--log-base", str(out / "log"), "build", "--paths", str(ROOT)]
    command += ["--build-base", str(out / "build"), "--install-base", str(out / "install")]
    prefix = os.environ.get("AMENT_PREFIX_PATH", sys.prefix)
    done = subprocess.run(
        command,
        env=os.environ | {"AMENT_PREFIX_PATH": prefix},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return out / "install"


@pytest.fixture(scope="module")
def environment(install: Path) -> dict[str, str]:
    """Return what sourcing install/setup.bash leaves in the environment."""
    prefix = os.environ.get("AMENT_PREFIX_PATH", sys.prefix)
    script = f"source {install}/setup.bash && env -0"
    done = subprocess.run(
        ["bash", "-c", script],
        env=os.environ | {"AMENT_PREFIX_PATH": prefix},
        capture_output=True,
        text=True,
        check=True,
    )
    return dict(entry.split("=", 1) for entry in done.stdout.split("\0") if "=" in entry)


@pytest.fixture(scope="module")
def model(environment: dict[str, str], install: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Simulate a small site and build a nearest-neighbour model, with the installed command line."""
    out = tmp_path_factory.mktemp("model")
    command = str(install / "mail_localization" / "lib" / "mail_localization" / "mail_localization")
    bags, folder = out / "bags", out / "model"
    for arguments in (
        ["simulate", str(bags), "--rounds", "1", "--seed", "1"],
        ["train", "--method", "magnetic_nn", "--bags", str(bags), "--out", str(folder)],
    ):
        done = subprocess.run(
            [command, *arguments], env=environment, capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode == 0, done.stderr
    return folder


def _launch_arguments(parameters: Path) -> list[str]:
    """Return what launch_ros passes to a Node action with a name, a namespace and a parameter file."""
    return ["--ros-args", "-r", "__node:=locator", "-r", "__ns:=/robot", "--params-file", str(parameters)]


@pytest.fixture
def start(
    environment: dict[str, str], install: Path, tmp_path: Path
) -> Iterator[Callable[[str], subprocess.Popen[str]]]:
    """Start the installed node with one model parameter; end it with the test."""
    processes: list[subprocess.Popen[str]] = []
    executable = install / "mail_localization" / "lib" / "mail_localization" / "localizer_node"

    def run(model_path: str) -> subprocess.Popen[str]:
        parameters = tmp_path / "parameters.yaml"
        parameters.write_text(f'/**:\n  ros__parameters:\n    model: "{model_path}"\n', encoding="utf-8")
        command = [str(executable), *_launch_arguments(parameters)]
        process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        processes.append(process)
        return process

    yield run
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.mark.parametrize("model_path", ["", "/no/such/model"])
def test_node_without_a_model_ends_with_one_clear_line(
    start: Callable[[str], subprocess.Popen[str]], model_path: str
) -> None:
    out, err = start(model_path).communicate(timeout=DEADLINE)
    text = (out + err).strip()
    assert "model" in text
    assert model_path in text
    assert "Traceback" not in text
    assert len(text.splitlines()) == 1


def test_node_without_a_model_fails(start: Callable[[str], subprocess.Popen[str]]) -> None:
    process = start("")
    process.communicate(timeout=DEADLINE)
    assert process.returncode == 1


def test_node_comes_up_in_its_namespace_and_ends_cleanly(
    start: Callable[[str], subprocess.Popen[str]], model: Path
) -> None:
    import rclpy

    process = start(str(model))
    context = rclpy.Context()
    rclpy.init(context=context)
    observer = rclpy.create_node("observer", context=context)
    try:
        _wait(lambda: _publishers(observer, "/robot/pose") == ["locator"], process)
        assert observer.count_subscribers("/robot/imu/mag") == 1
    finally:
        observer.destroy_node()
        rclpy.shutdown(context=context)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=DEADLINE)
    assert process.returncode == 0, out + err
    assert "Traceback" not in out + err


def _publishers(observer: object, topic: str) -> list[str]:
    return [info.node_name for info in observer.get_publishers_info_by_topic(topic)]  # type: ignore[attr-defined]


def _wait(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Poll until the condition holds; fail when the process ends or the deadline passes."""
    end = time.monotonic() + DEADLINE
    while not condition():
        assert process.poll() is None, "".join(process.communicate())
        assert time.monotonic() < end, "the node did not appear in time"
        time.sleep(0.1)


def test_scanner_without_a_radio_ends_with_one_clear_line(environment: dict[str, str], install: Path) -> None:
    executable = install / "mail_localization" / "lib" / "mail_localization" / "wifi_scanner_node"
    command = [str(executable), "--ros-args", "-p", "interface:=no_such_radio0"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert done.returncode == 1
    assert "no Wi-Fi radio can be used" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr


def test_launch_and_configuration_files_are_installed(install: Path) -> None:
    share = install / "mail_localization" / "share" / "mail_localization"
    expected = [*(ROOT / "launch").glob("*.launch.py"), *(ROOT / "config").glob("*.yaml")]
    assert all((share / path.parent.name / path.name).is_file() for path in expected)
    assert (share / "package.xml").is_file()


def test_help_from_the_install_space(environment: dict[str, str], install: Path) -> None:
    command = install / "mail_localization" / "lib" / "mail_localization" / "mail_localization"
    done = subprocess.run(
        [str(command), "--help"], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "evaluate" in done.stdout
