"""The launch file itself, where launch is installed; test_localizer_node starts the node with its arguments."""

from __future__ import annotations

from pathlib import Path

import pytest

launch = pytest.importorskip("launch", reason="launch is not installed (it comes with ROS 2 from apt)")
pytest.importorskip("launch_ros", reason="launch_ros is not installed (it comes with ROS 2 from apt)")

get_description = launch.launch_description_sources.get_launch_description_from_python_launch_file
FOLDER = Path(__file__).parents[2] / "launch"
ARGUMENTS = {
    "localization": ["model", "params_file", "namespace", "use_sim_time", "autostart", "log_level"],
    "fleet": ["model", "targets", "params_file", "name", "use_sim_time", "log_level"],
}
EXECUTABLES = {"localization": "localizer_node", "fleet": "fleet_node"}


def visit(name: str, **values: str) -> list:
    """Run the launch description's actions with these arguments and return the last one's result."""
    description = get_description(str(FOLDER / f"{name}.launch.py"))
    context = launch.LaunchContext()
    context.launch_configurations.update(values)
    entities = []
    for entity in description.entities:
        entities = entity.visit(context)
    return entities


@pytest.mark.parametrize("name", ARGUMENTS)
def test_arguments_are_the_documented_ones(name: str) -> None:
    description = get_description(str(FOLDER / f"{name}.launch.py"))
    names = [entity.name for entity in description.entities if isinstance(entity, launch.actions.DeclareLaunchArgument)]
    assert names == ARGUMENTS[name]


@pytest.mark.parametrize(
    ("name", "values"),
    [("localization", {"namespace": "robot"}), ("fleet", {"targets": "robot_1 robot_2"}), ("fleet", {})],
)
def test_node_is_made_from_the_arguments(tmp_path, name: str, values: dict[str, str]) -> None:
    (node,) = visit(name, model=str(tmp_path), **values)
    assert node.node_package == "mail_localization"
    assert node.node_executable == EXECUTABLES[name]


@pytest.mark.parametrize("name", ARGUMENTS)
@pytest.mark.parametrize("argument", ["model", "params_file"])
def test_missing_file_is_an_error(tmp_path, name: str, argument: str) -> None:
    with pytest.raises(FileNotFoundError, match=f"launch argument {argument}: .*missing does not exist"):
        visit(name, **({"model": str(tmp_path)} | {argument: str(tmp_path / "missing")}))
