"""The launch file itself, where launch is installed; test_localizer_node starts the node with its arguments."""

from __future__ import annotations

from pathlib import Path

import pytest

launch = pytest.importorskip("launch", reason="launch is not installed (it comes with ROS 2 from apt)")
pytest.importorskip("launch_ros", reason="launch_ros is not installed (it comes with ROS 2 from apt)")

get_description = launch.launch_description_sources.get_launch_description_from_python_launch_file
FILE = Path(__file__).parents[2] / "launch" / "localization.launch.py"


def visit(**values: str) -> list:
    """Run the launch description's actions with these arguments and return the last one's result."""
    description = get_description(str(FILE))
    context = launch.LaunchContext()
    context.launch_configurations.update(values)
    entities = []
    for entity in description.entities:
        entities = entity.visit(context)
    return entities


def test_arguments_are_the_documented_ones() -> None:
    description = get_description(str(FILE))
    names = [entity.name for entity in description.entities if isinstance(entity, launch.actions.DeclareLaunchArgument)]
    assert names == ["model", "params_file", "namespace", "use_sim_time", "autostart", "log_level"]


def test_node_is_made_from_the_arguments(tmp_path) -> None:
    (node,) = visit(model=str(tmp_path), namespace="robot")
    assert node.node_package == "mail_localization"
    assert node.node_executable == "localizer_node"


@pytest.mark.parametrize("argument", ["model", "params_file"])
def test_missing_file_is_an_error(tmp_path, argument: str) -> None:
    with pytest.raises(FileNotFoundError, match=f"launch argument {argument}: .*missing does not exist"):
        visit(**({"model": str(tmp_path)} | {argument: str(tmp_path / "missing")}))
