"""Start fleet_node: `ros2 launch mail_localization fleet.launch.py model:=FOLDER targets:="robot_1 robot_2"`."""

from __future__ import annotations

from pathlib import Path

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

# share/mail_localization/config once installed, config in the source tree.
DEFAULT_PARAMETERS = Path(__file__).parents[1] / "config" / "fleet_node.yaml"


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments; the node is made when they are known."""
    return LaunchDescription([
        DeclareLaunchArgument("model", description="model folder, as `train --out` made it"),
        DeclareLaunchArgument(
            "targets", default_value="", description="namespaces of the targets, with spaces between; more at run time"
        ),
        DeclareLaunchArgument(
            "params_file", default_value=str(DEFAULT_PARAMETERS), description="YAML file of the node's parameters"
        ),
        DeclareLaunchArgument("name", default_value="fleet_node", description="of the node, where there are several"),
        DeclareLaunchArgument(
            "use_sim_time", default_value="false", choices=["true", "false"], description="take time from /clock"
        ),
        DeclareLaunchArgument("log_level", default_value="info", description="debug, info, warn, error or fatal"),
        OpaqueFunction(function=_fleet),
    ])  # fmt: skip


def _fleet(context: LaunchContext) -> list[Node]:
    def value(name: str) -> str:
        return LaunchConfiguration(name).perform(context)

    model = _existing("model", value("model"), "make a model folder with `mail_localization train`")
    # launch itself only warns of a missing file, and the node would run on its defaults.
    parameters = _existing("params_file", value("params_file"), "copy config/fleet_node.yaml of the package")
    # As a string: launch would read a folder named 5 as a number.
    own = {"model": ParameterValue(str(model), value_type=str), "use_sim_time": value("use_sim_time") == "true"}
    targets = value("targets").split()
    named = ["-p", f"targets:=[{', '.join(targets)}]"] if targets else []  # An empty list has no type in ROS.
    return [
        Node(
            package="mail_localization",
            executable="fleet_node",
            name=value("name"),
            parameters=[str(parameters), own],
            arguments=["--ros-args", "--log-level", value("log_level"), *named],
            # The node keeps to one core; more targets take more processes.
            additional_env={"OMP_NUM_THREADS": "1"},
            output="screen",
        )
    ]


def _existing(argument: str, text: str, remedy: str) -> Path:
    path = Path(text).expanduser().absolute()
    if not path.exists():
        raise FileNotFoundError(f"launch argument {argument}: {path} does not exist; {remedy}")
    return path
