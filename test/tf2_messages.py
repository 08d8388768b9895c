"""tf2_msgs, made from its definition where it is not installed: the ROS wheels lack it, but bring the generators.

The files are those of a real build (rosidl's C and Python code over Fast DDS); only CMake is left out.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import numpy as np

DEFINITION = "geometry_msgs/TransformStamped[] transforms\n"
_GENERATE = """
import logging, pathlib, sys
import rosidl_cli.extensions as extensions
from rosidl_cli import entry_points

logging.disable(logging.CRITICAL)
load = entry_points.load_entry_points
# A wheel's entry points may be listed twice (egg-info and dist-info), which the strict way refuses.
extensions.load_entry_points = lambda group, **options: load(group, **{**options, "strict": False})
from rosidl_cli.command.generate.api import generate

out, share = map(pathlib.Path, sys.argv[1:])
# One after the other: asked for together, each would write into a folder of its own.
for types, supports in ((["c"], []), ([], ["c"]), ([], ["fastrtps_c"]), ([], ["introspection_c"]), (["py"], [])):
    generate(package_name="tf2_msgs", interface_files=["msg/TFMessage.msg"], include_paths=[str(share)],
             output_path=out, types=types, typesupports=supports)
"""
_SUPPORTS = ("rosidl_typesupport_c", "rosidl_typesupport_fastrtps_c", "rosidl_typesupport_introspection_c")
_LIBRARIES = {
    "rosidl_generator_c": (
        ("detail/tf_message__functions.c", "detail/tf_message__description.c"),
        ("geometry_msgs__rosidl_generator_c", "std_msgs__rosidl_generator_c", "builtin_interfaces__rosidl_generator_c",
         "rosidl_runtime_c", "rcutils"),
    ),
    "rosidl_typesupport_fastrtps_c": (
        ("detail/tf_message__type_support_c.cpp",),
        ("tf2_msgs__rosidl_generator_c", "geometry_msgs__rosidl_typesupport_fastrtps_c",
         "rosidl_typesupport_fastrtps_c", "rosidl_typesupport_fastrtps_cpp", "fastcdr", "rmw"),
    ),
    "rosidl_typesupport_introspection_c": (
        ("detail/tf_message__type_support.c",),
        ("tf2_msgs__rosidl_generator_c", "geometry_msgs__rosidl_typesupport_introspection_c",
         "rosidl_typesupport_introspection_c"),
    ),
    "rosidl_typesupport_c": (
        ("tf_message__type_support.cpp",),
        ("tf2_msgs__rosidl_generator_c", "rosidl_typesupport_c", "tf2_msgs__rosidl_typesupport_fastrtps_c",
         "tf2_msgs__rosidl_typesupport_introspection_c"),
    ),
    "rosidl_generator_py": (
        ("_tf_message_s.c",),
        ("tf2_msgs__rosidl_generator_c", "geometry_msgs__rosidl_generator_py"),
    ),
}  # fmt: skip
"""Library of the package -> its sources under msg/, and what it is linked with."""


def why_not() -> str:
    """Return what keeps the package from being made here, "" if nothing does."""
    wheels = Path(sys.prefix) / "include" / "rosidl_runtime_c"
    if not wheels.is_dir() or importlib.util.find_spec("rosidl_cli") is None:
        return "tf2_msgs is not installed, and neither are the generators of the ROS wheels"
    return "" if shutil.which("g++") else "tf2_msgs is not installed, and there is no compiler to make it"


def make_tf2_msgs(folder: Path) -> Path:
    """Generate and compile the package under `folder`; return the folder to import it from."""
    source, package, libraries = folder / "source" / "msg", folder / "tf2_msgs", folder / "lib"
    for path in (source, libraries):
        path.mkdir(parents=True)
    (source / "TFMessage.msg").write_text(DEFINITION)
    share = Path(sys.prefix) / "share"
    _run(source.parent, sys.executable, "-c", _GENERATE, str(package), str(share))
    for name, (sources, links) in _LIBRARIES.items():
        _compile(folder, libraries / f"libtf2_msgs__{name}.so", [package / "msg" / file for file in sources], links)
    links = [f"tf2_msgs__{name}" for name in _LIBRARIES] + ["rosidl_runtime_c"]
    for support in _SUPPORTS:
        entry = package / f"_tf2_msgs_s.ep.{support}.c"
        _compile(folder, package / f"tf2_msgs_s__{support}.so", [entry], links)
    (package / "__init__.py").touch()
    return folder


def _compile(folder: Path, target: Path, sources: list[Path], links: list[str] | tuple[str, ...]) -> None:
    prefix = Path(sys.prefix)
    includes = [folder, prefix / "include", *(prefix / "include").iterdir(), Path(sysconfig.get_paths()["include"])]
    searched = (folder / "lib", prefix / "lib")
    _run(
        folder,
        "g++" if sources[0].suffix == ".cpp" else "gcc",
        *("-shared", "-fPIC", "-o", str(target), *map(str, sources), f"-I{np.get_include()}"),
        *(f"-I{path}" for path in includes),
        *(f"-L{path}" for path in searched),
        # Found again by name once loaded: a process that runs already takes no new search path.
        *(f"-Wl,-rpath,{path}" for path in searched),
        *("-Wl,--no-as-needed", f"-Wl,-soname,{target.name}"),
        *(f"-l{name}" for name in links),
    )


def _run(folder: Path, *command: str) -> None:
    env = os.environ | {"AMENT_PREFIX_PATH": sys.prefix}
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, f"{' '.join(command[:3])}: {done.stderr[-2000:]}"
