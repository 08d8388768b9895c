"""Start localizer_node and robot_localization: `ros2 launch mail_localization fused.launch.py model:=FOLDER`.

The ekf_node joins `pose` with `odom` and sends map->odom; see docs/fusing.md.
"""

from __future__ import annotations

from pathlib import Path

from ament_index_python.packages import PackageNotFoundError, get_package_prefix
from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

# share/mail_localization once installed, the package's folder in the source tree.
ROOT = Path(__file__).parents[1]


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments; all but the last two are localization.launch.py's."""
    names = ("model", "params_file", "namespace", "use_sim_time", "log_level")
    return LaunchDescription([
        DeclareLaunchArgument("model", description="model folder, as `train --out` made it"),
        DeclareLaunchArgument(
            "params_file",
            default_value=str(ROOT / "config" / "localizer_fused.yaml"),
            description="YAML file of localizer_node's parameters",
        ),
        DeclareLaunchArgument("namespace", default_value="", description="namespace of the nodes and their topics"),
        DeclareLaunchArgument(
            "use_sim_time", default_value="false", choices=["true", "false"], description="take time from /clock"
        ),
        DeclareLaunchArgument("log_level", default_value="info", description="debug, info, warn, error or fatal"),
        DeclareLaunchArgument(
            "ekf_params_file",
            default_value=str(ROOT / "config" / "ekf_map.yaml"),
            description="YAML file of the ekf_node's parameters",
        ),
        DeclareLaunchArgument("odom", default_value="odom", description="topic of the odometry"),
        # Before the localizer starts: one error and nothing left running.
        OpaqueFunction(function=_filter),
        IncludeLaunchDescription(
            PythonLaunchDescriptionSource(str(ROOT / "launch" / "localization.launch.py")),
            launch_arguments={name: LaunchConfiguration(name) for name in names}.items(),
        ),
    ])  # fmt: skip


def _filter(context: LaunchContext) -> list[Node]:
    def value(name: str) -> str:
        return LaunchConfiguration(name).perform(context)

    try:
        get_package_prefix("robot_localization")
    except PackageNotFoundError as err:
        raise RuntimeError(
            "robot_localization is not installed: `sudo apt install ros-$ROS_DISTRO-robot-localization`, or launch "
            "localization.launch.py, whose node can send map->odom itself (publish_tf)"
        ) from err
    parameters = Path(value("ekf_params_file")).expanduser().absolute()
    if not parameters.exists():
        raise FileNotFoundError(
            f"launch argument ekf_params_file: {parameters} does not exist; copy config/ekf_map.yaml"
        )
    return [
        Node(
            package="robot_localization",
            executable="ekf_node",
            name="ekf_map",
            namespace=value("namespace"),
            parameters=[str(parameters), {"use_sim_time": value("use_sim_time") == "true", "odom0": value("odom")}],
            # Beside the first filter's odometry/filtered.
            remappings=[("odometry/filtered", "odometry/filtered_map")],
            arguments=["--ros-args", "--log-level", value("log_level")],
            output="screen",
        )
    ]
