"""launch/fused.launch.py, where launch is installed."""

from __future__ import annotations

from pathlib import Path

import pytest

launch = pytest.importorskip("launch", reason="launch is not installed (it comes with ROS 2 from apt)")
pytest.importorskip("launch_ros", reason="launch_ros is not installed (it comes with ROS 2 from apt)")

get_description = launch.launch_description_sources.get_launch_description_from_python_launch_file
FILE = Path(__file__).parents[2] / "launch" / "fused.launch.py"


def visit(**values: str) -> list:
    """Run the actions with these arguments; return the nodes and includes they lead to."""
    context = launch.LaunchContext()
    context.launch_configurations.update(values)
    return [made for entity in get_description(str(FILE)).entities for made in entity.visit(context) or []]


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the index find robot_localization."""
    index = tmp_path / "share" / "ament_index" / "resource_index" / "packages"
    index.mkdir(parents=True)
    (index / "robot_localization").touch()
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path))


def test_arguments_of_the_localizer_are_passed_on() -> None:
    entities = get_description(str(FILE)).entities
    own = [entity.name for entity in entities if isinstance(entity, launch.actions.DeclareLaunchArgument)]
    assert own == ["model", "params_file", "namespace", "use_sim_time", "log_level", "ekf_params_file", "odom"]
    (included,) = (entity for entity in entities if isinstance(entity, launch.actions.IncludeLaunchDescription))
    description = get_description(str(FILE.with_name("localization.launch.py")))
    theirs = {e.name for e in description.entities if isinstance(e, launch.actions.DeclareLaunchArgument)}
    assert {name for name, _ in included.launch_arguments} <= theirs


@pytest.mark.usefixtures("installed")
def test_filter_is_robot_localizations(tmp_path: Path) -> None:
    made = visit(model=str(tmp_path), namespace="robot")
    filters = [e for e in made if getattr(e, "node_package", "") == "robot_localization"]
    assert [e.node_executable for e in filters] == ["ekf_node"]


def test_missing_filter_is_an_error_that_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path))
    with pytest.raises(RuntimeError, match=r"robot_localization is not installed: .*localization.launch.py"):
        visit(model=str(tmp_path))


@pytest.mark.usefixtures("installed")
def test_missing_parameter_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"ekf_params_file: .*missing does not exist"):
        visit(model=str(tmp_path), ekf_params_file=str(tmp_path / "missing"))
