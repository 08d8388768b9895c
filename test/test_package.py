"""package.xml, setup.py, the changelog and pip agree with each other."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).parents[1]
COMPILER = shutil.which((sysconfig.get_config_var("CC") or "cc").split()[0])
PIP_ONLY = {"distributed", "torch", "onnx", "onnxruntime", "rosbags", "safetensors", "vqf", "dtaidistance", "jeepney"}


def _manifest() -> ElementTree.Element:
    return ElementTree.parse(ROOT / "package.xml").getroot()


def _depends() -> set[str]:
    return {item.text or "" for item in _manifest() if item.tag.endswith("depend")}


def _text(wheel: zipfile.ZipFile, ending: str) -> str:
    (name,) = (name for name in wheel.namelist() if name.endswith(ending))
    return wheel.read(name).decode()


def _built(out: Path, **environment: str) -> zipfile.ZipFile:
    """Return the wheel that `pip install .` would install."""
    command = [sys.executable, "setup.py", "--quiet", "egg_info", "--egg-base", str(out)]
    command += ["build", "--build-base", str(out / "build"), "bdist_wheel", "--dist-dir", str(out / "dist")]
    subprocess.run(command, cwd=ROOT, env=os.environ | environment, check=True, capture_output=True, timeout=120)
    (path,) = (out / "dist").glob("*.whl")
    return zipfile.ZipFile(path)


def _kernels(wheel: zipfile.ZipFile) -> list[str]:
    return re.findall(r"mail_localization/models/exported/_gru\.\S+\.so", " ".join(wheel.namelist()))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    return _built(tmp_path_factory.mktemp("wheel"))


def test_manifest_is_format_3_and_apache() -> None:
    manifest = _manifest()
    assert manifest.get("format") == "3"
    assert manifest.findtext("export/build_type") == "ament_python"
    assert manifest.findtext("license") == "Apache-2.0"
    assert "Version 2.0, January 2004" in (ROOT / "LICENSE").read_text(encoding="utf-8")


def test_manifest_names_no_library_that_rosdep_lacks() -> None:
    assert not {name for name in _depends() for library in PIP_ONLY if library in name}


def test_manifest_names_every_ros_package_that_is_imported() -> None:
    sources = [*(ROOT / "mail_localization" / "ros").rglob("*.py"), *(ROOT / "launch").glob("*.py")]
    text = "\n".join(path.read_text(encoding="utf-8") for path in sources)
    imported = set(re.findall(r"^\s*(?:from|import) (\w+)", text, flags=re.MULTILINE))
    ros = {name for name in imported if re.fullmatch(r"rclpy|launch\w*|ament_\w+|\w+_(msgs|srvs|interfaces)", name)}
    assert ros <= _depends()


def test_wheel_carries_the_version_of_the_manifest(wheel: zipfile.ZipFile) -> None:
    version = _manifest().findtext("version")
    assert wheel.filename and f"mail_localization-{version}-" in wheel.filename


def test_changelog_does_not_run_ahead_of_the_manifest() -> None:
    text = (ROOT / "CHANGELOG.rst").read_text(encoding="utf-8")
    released = re.findall(r"^(\d+\.\d+\.\d+)", text, flags=re.MULTILINE)
    assert "Forthcoming\n-----------" in text
    assert not released or released[0] == _manifest().findtext("version")


def test_wheel_holds_every_module_and_shared_file(wheel: zipfile.ZipFile) -> None:
    names = set(wheel.namelist())
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "mail_localization").rglob("*.py")}
    assert modules <= names
    share = "share/mail_localization"
    for path in [*(ROOT / "launch").glob("*.launch.py"), *(ROOT / "config").iterdir()]:
        assert any(name.endswith(f"{share}/{path.parent.name}/{path.name}") for name in names)
    assert any(name.endswith(f"{share}/package.xml") for name in names)


@pytest.mark.skipif(not COMPILER, reason="no C compiler")
def test_wheel_holds_the_compiled_kernel(wheel: zipfile.ZipFile) -> None:
    assert len(_kernels(wheel)) == 1


def test_wheel_is_built_without_a_compiler_too(tmp_path: Path) -> None:
    assert _kernels(_built(tmp_path, CC="/no/compiler")) == []


def test_wheel_has_the_executables_and_the_extras(wheel: zipfile.ZipFile) -> None:
    entry_points, metadata = _text(wheel, "entry_points.txt"), _text(wheel, "dist-info/METADATA")
    assert "mail_localization = mail_localization.cli:main" in entry_points
    assert "fleet_node = mail_localization.ros.fleet_node:main" in entry_points
    assert "localizer_node = mail_localization.ros.localizer_node:main" in entry_points
    assert "wifi_scanner_node = mail_localization.ros.wifi_scanner_node:main" in entry_points
    assert {"all", "bags", "distributed", "matching", "models", "runtime", "test", "wifi"} == set(
        re.findall(r"^Provides-Extra: (\w+)", metadata, re.MULTILINE)
    )


def test_pip_only_libraries_are_extras(wheel: zipfile.ZipFile) -> None:
    optional = re.findall(r'^Requires-Dist: (\w+).*extra == "all"', _text(wheel, "dist-info/METADATA"), re.MULTILINE)
    assert set(optional) == PIP_ONLY


def test_requirements_are_exact() -> None:
    for path in (ROOT / "requirements").glob("*.txt"):
        lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line and line[0] != "#"]
        assert lines
        assert [line for line in lines if not re.match(r"[\w.\[\]-]+==[\w.]+( +#|$)", line)] == []


def test_ci_runs_the_test_command_of_the_readme() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "set -euo pipefail" in script
    assert script.rstrip().endswith("\nmake test")
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    assert "make test" in (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("in_ci", [False, True])
def test_ros_test_without_rclpy_is_skipped_but_fails_in_ci(in_ci: bool, tmp_path: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if key != "CI"}
    environment |= {"PYTHONPATH": str(ROOT / "test" / "without_ros"), "COLUMNS": "400"} | (
        {"CI": "true"} if in_ci else {}
    )
    command = [sys.executable, "-m", "pytest", "-q", "-m", "ros", "-p", "no:cacheprovider", "test/test_installed.py"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == (1 if in_ci else 0), done.stdout
    assert "rclpy is absent" in done.stdout
