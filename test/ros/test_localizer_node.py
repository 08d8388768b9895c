from __future__ import annotations

import dataclasses
import math
import re
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import rclpy
from geometry_msgs.msg import PoseWithCovarianceStamped
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import MagneticField
from std_msgs.msg import String
from surveys import corridor_walk

from mail_localization.ros.conversions import magnetic_to_msg
from mail_localization.ros.localizer_node import LocalizerNode
from mail_localization.ros.outputs import tempered
from mail_localization.types import MagneticSample

WALK = [sample for sample in corridor_walk(speed=1.1, seconds=4.0) if isinstance(sample, MagneticSample)]
CONFIG = Path(__file__).parents[2] / "config" / "localizer_node.yaml"


def write_parameters(folder: Path, text: str) -> str:
    path = folder / "parameters.yaml"
    path.write_text(f"/**:\n  ros__parameters:\n    {text}\n")
    return str(path)


@pytest.mark.parametrize("reliability", [ReliabilityPolicy.RELIABLE, ReliabilityPolicy.BEST_EFFORT])
def test_node_localizes_between_bad_messages_and_not_before_a_window(survey, start_node, peer, reliability) -> None:
    node = start_node("-p", f"model:={survey.model}")
    heard: list[PoseWithCovarianceStamped] = []
    peer.node.create_subscription(PoseWithCovarianceStamped, "pose", heard.append, 100)
    publisher = peer.node.create_publisher(MagneticField, "imu/mag", QoSProfile(depth=1000, reliability=reliability))
    node.wait_ready()
    peer.spin_until(
        lambda: publisher.get_subscription_count() > 0 and peer.node.count_publishers("pose") > 0, node.words
    )
    peer.spin_for(0.5)
    for sample in WALK[:40]:
        publisher.publish(magnetic_to_msg(sample))
        publisher.publish(magnetic_to_msg(MagneticSample(sample.t_ns + 1, (math.nan, 0.0, 0.0))))
    peer.spin_for(0.5)
    assert heard == []
    publisher.publish(magnetic_to_msg(dataclasses.replace(WALK[0], t_ns=0)))
    for sample in WALK[40:]:
        publisher.publish(magnetic_to_msg(sample))
        time.sleep(0.002)
    peer.spin_until(lambda: len(heard) >= 25, f"{len(heard)} poses; {node.words}")
    pose = heard[-1]
    truth = 1.1 * (pose.header.stamp.sec * 10**9 + pose.header.stamp.nanosec - WALK[0].t_ns) * 1e-9
    assert pose.header.frame_id == "map"
    assert pose.pose.pose.position.x == pytest.approx(truth, abs=1.0)
    assert np.linalg.eigvalsh(pose.pose.covariance.reshape(6, 6)).min() >= 0.05**2 - 1e-9
    peer.spin_until(lambda: "mag.non_finite 40" in node.words and "mag.zero_stamp 1" in node.words, node.words)
    assert node.stop() == 0, node.words


def test_node_runs_with_the_arguments_of_launch_ros(survey, start_node, peer, tmp_path) -> None:
    """An integer for a double, a namespace, a remapped topic, microtesla, simulated time."""
    parameters = write_parameters(tmp_path, "magnetic_field_scale: 1\n    position_covariance_scale: 4")
    node = start_node(
        "-r", "__node:=finder", "-r", "__ns:=/robot", "--params-file", str(CONFIG), "--params-file", parameters,
        "-p", f"model:={survey.model}", "-p", "use_sim_time:=true", "-r", "imu/mag:=phone/mag", "--log-level", "info",
    )  # fmt: skip
    heard: list[PoseWithCovarianceStamped] = []
    peer.node.create_subscription(PoseWithCovarianceStamped, "/robot/pose", heard.append, 100)
    publisher = peer.node.create_publisher(MagneticField, "/robot/phone/mag", 1000)
    node.wait_ready()
    peer.spin_until(lambda: publisher.get_subscription_count() > 0, node.words)
    peer.spin_until(lambda: ("finder", "/robot") in peer.node.get_node_names_and_namespaces(), node.words)
    peer.spin_for(0.5)
    for sample in WALK:
        publisher.publish(magnetic_to_msg(sample))
    peer.spin_until(lambda: len(heard) > 0, node.words)
    assert node.stop() == 0, node.words


@pytest.mark.parametrize("signals", [[signal.SIGINT], [signal.SIGINT] * 2, [signal.SIGTERM] * 2])
def test_stop_signals_end_the_node_cleanly(survey, start_node, signals) -> None:
    node = start_node("-p", f"model:={survey.model}")
    node.wait_ready()
    for number in signals:
        node.process.send_signal(number)
        time.sleep(0.02)
    assert node.process.wait(20) == 0, node.words
    assert "Traceback" not in node.words


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hopp: 3", r"unknown parameter 'hopp'; did you mean 'hop'\?"),
        ("hop: -1", "hop: -1 is outside 0 to inf"),
        ("position_covariance_scale: wide", "position_covariance_scale: expected float, found 'wide'"),
        ("model: /nowhere/model", "/nowhere/model: no such model folder"),
        ("hop: 2", "parameter 'model' is not set"),
    ],
)
def test_bad_parameters_are_one_fatal_line(start_node, tmp_path, text: str, message: str) -> None:
    node = start_node("--params-file", write_parameters(tmp_path, text))
    assert node.process.wait(40) == 1
    fatal = [line for line in node.words.splitlines() if "[FATAL]" in line]
    assert len(fatal) == 1
    assert re.search(message, fatal[0]), fatal[0]
    assert "Traceback" not in node.words


@pytest.mark.parametrize(("policy", "value"), [("reliability", "good"), ("depth", "many")])
def test_bad_qos_override_is_one_fatal_line(survey, start_node, tmp_path, policy: str, value: str) -> None:
    name = f"qos_overrides./imu/mag.subscription.{policy}"
    parameters = write_parameters(tmp_path, f'"{name}": {value}\n    model: {survey.model}')
    node = start_node("--params-file", parameters)
    assert node.process.wait(40) == 1
    assert [line for line in node.words.splitlines() if "[FATAL]" in line and "imu/mag" in line], node.words
    assert "Traceback" not in node.words


@pytest.mark.parametrize("arguments", [["--params-file", "missing.yaml"], ["--wrong"]])
def test_bad_arguments_are_a_fatal_line(start_node, arguments: list[str]) -> None:
    node = start_node(*arguments)
    assert node.process.wait(40) == 1
    assert "[FATAL]" in node.words
    assert arguments[-1] in node.words
    assert "Traceback" not in node.words


@pytest.fixture
def local_node(survey):
    rclpy.init(args=["--ros-args", "-p", f"model:={survey.model}"])
    node = LocalizerNode()
    node.autostart()
    yield node
    node.destroy_node()
    rclpy.shutdown()


def test_bug_on_the_way_is_counted_not_raised(local_node) -> None:
    local_node.inputs.receive("mag", String())
    assert local_node.problems["mag.internal_error"] == 1


def test_shipped_parameters_are_the_defaults(local_node) -> None:
    import yaml

    shipped = yaml.safe_load(CONFIG.read_text())["/**"]["ros__parameters"]
    assert shipped | {"model": local_node.settings.model} == local_node.settings.to_mapping()
    assert local_node.get_parameter("wifi.layout").value == "auto"
    assert local_node.describe_parameter("min_position_stddev").description.endswith("m")
    assert local_node.describe_parameter("queue_depth").integer_range[0].to_value == 100_000


def test_covariance_is_scaled_and_widened() -> None:
    np.testing.assert_allclose(tempered(np.diag([1.0, 2.0]), 2.0, 0.05), np.diag([2.0, 4.0]))
    widened = tempered(np.array([[1.0, 1.0], [1.0, 1.0]]), 1.0, 0.1)
    np.testing.assert_allclose(np.linalg.eigvalsh(widened), [0.01, 2.01])
