from __future__ import annotations

import importlib.util
import math

import numpy as np
import pytest
import rclpy
from geometry_msgs.msg import TransformStamped
from rclpy.node import Node

from mail_localization.motion.planar import PlanarTransform
from mail_localization.ros import transforms
from mail_localization.ros.settings import NodeSettings
from mail_localization.ros.transforms import TransformOutput, transform_from_msg, transform_to_msg
from mail_localization.types import PoseEstimate

SECOND = 1_000_000_000


def matrix(msg: TransformStamped) -> np.ndarray:
    """Return the transform as a matrix (4, 4), by the textbook formula for quaternions."""
    t, q = msg.transform.translation, msg.transform.rotation
    x, y, z, w = q.x, q.y, q.z, q.w
    return np.array([
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w), t.x],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w), t.y],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y), t.z],
        [0, 0, 0, 1],
    ])  # fmt: skip


def test_transform_is_the_planar_one_in_three_dimensions() -> None:
    msg = transform_to_msg(PlanarTransform(1.0, 2.0, math.pi / 2), 3 * SECOND + 7, "map", "odom")
    assert (msg.header.stamp.sec, msg.header.stamp.nanosec) == (3, 7)
    assert (msg.header.frame_id, msg.child_frame_id) == ("map", "odom")
    expected = [[0, -1, 0, 1], [1, 0, 0, 2], [0, 0, 1, 0], [0, 0, 0, 1]]
    np.testing.assert_allclose(matrix(msg), expected, atol=1e-12)


@pytest.mark.parametrize("yaw", [0.0, 0.3, -3.1, math.pi])
def test_transform_survives_the_round_trip(yaw: float) -> None:
    back = transform_from_msg(transform_to_msg(PlanarTransform(-4.0, 0.5, yaw), 0, "a", "b"))
    assert (back.x, back.y, math.cos(back.yaw), math.sin(back.yaw)) == pytest.approx(
        (-4.0, 0.5, math.cos(yaw), math.sin(yaw))
    )


def test_tf_chain_leads_to_the_pose() -> None:
    """map_T_odom = map_T_base * base_T_odom: whoever follows /tf from map to base_link arrives at the pose."""
    map_T_base, odom_T_base = PlanarTransform(10.0, 5.0, 2.0), PlanarTransform(3.0, -1.0, -0.7)
    map_T_odom = map_T_base @ odom_T_base.inverse()
    sent = matrix(transform_to_msg(map_T_odom, 0, "map", "odom"))
    robots = matrix(transform_to_msg(odom_T_base, 0, "odom", "base_link"))
    # The robot's own height and tilt stay as its odometry says.
    tilted = robots @ np.array([[1, 0, 0, 0], [0, 0.8, -0.6, 0], [0, 0.6, 0.8, 0.25], [0, 0, 0, 1]])
    chained = sent @ tilted
    np.testing.assert_allclose(chained[:2, 3], [10.0, 5.0], atol=1e-12)
    assert chained[2, 3] == pytest.approx(0.25)
    assert math.atan2(chained[1, 0], chained[0, 0]) == pytest.approx(2.0)


@pytest.fixture
def node():
    rclpy.init(args=[])
    node = Node("sender")
    yield node
    node.destroy_node()
    rclpy.shutdown()


class Sent:
    """What a TransformOutput sends, taken where it would go out on /tf."""

    def __init__(self, node: Node, monkeypatch, **settings) -> None:
        self.transforms: list[TransformStamped] = []
        monkeypatch.setattr(transforms, "tf_broadcaster", lambda node: self.transforms.append)
        given = NodeSettings(publish_tf=True, **settings)
        self.output = TransformOutput(node, lambda: given)


def estimate(t_ns: int, yaw: float | None = None) -> PoseEstimate:
    return PoseEstimate(t_ns, np.array([3.0, 4.0]), np.eye(2), yaw=yaw)


def test_robot_gets_map_to_odom_only(node, monkeypatch) -> None:
    sent = Sent(node, monkeypatch, transform_tolerance=0.25)
    sent.output.pose(estimate(SECOND))
    sent.output.odometry(None, SECOND)
    assert sent.transforms == []
    sent.output.odometry(PlanarTransform(1.0, 2.0, 0.0), SECOND)
    (transform,) = sent.transforms
    assert (transform.header.frame_id, transform.child_frame_id) == ("map", "odom")
    assert transform.header.stamp.nanosec == 250_000_000


def test_rig_without_odometry_gets_map_to_base(node, monkeypatch) -> None:
    sent = Sent(node, monkeypatch, odom_frame_id="", base_frame_id="phone")
    sent.output.odometry(PlanarTransform(1.0, 2.0, 0.0), SECOND)
    sent.output.pose(estimate(SECOND))
    sent.output.pose(estimate(2 * SECOND, yaw=math.pi / 2))
    assert [(t.header.frame_id, t.child_frame_id) for t in sent.transforms] == [("map", "phone")] * 2
    assert [transform_from_msg(t).yaw for t in sent.transforms] == pytest.approx([0.0, math.pi / 2])
    assert transform_from_msg(sent.transforms[0]).y == 4.0


def test_transforms_keep_to_their_rate_and_survive_a_clock_set_back(node, monkeypatch) -> None:
    sent = Sent(node, monkeypatch)
    for k in range(100):  # 1 s at 100 Hz
        sent.output.odometry(PlanarTransform(0.0, 0.0, 0.0), 5 * SECOND + k * SECOND // 100)
    assert len(sent.transforms) == 20
    sent.output.odometry(PlanarTransform(0.0, 0.0, 0.0), SECOND)
    assert len(sent.transforms) == 21


@pytest.mark.skipif(importlib.util.find_spec("tf2_msgs") is not None, reason="tf2_msgs is installed")
def test_missing_tf_is_said_and_the_node_goes_on(node, capfd) -> None:
    output = TransformOutput(node, lambda: NodeSettings(publish_tf=True))
    output.odometry(PlanarTransform(1.0, 2.0, 0.0), SECOND)
    output.close()
    assert "tf2_msgs is not installed, so no transform is sent; install" in capfd.readouterr().err


@pytest.mark.skipif(importlib.util.find_spec("tf2_msgs") is None, reason="tf2_msgs is not installed (it is on apt)")
def test_transform_arrives_on_tf(node) -> None:
    from rclpy.executors import SingleThreadedExecutor
    from tf2_msgs.msg import TFMessage

    heard: list[TFMessage] = []
    node.create_subscription(TFMessage, "/tf", heard.append, 100)
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    output = TransformOutput(node, lambda: NodeSettings(publish_tf=True))
    for k in range(200):
        output.odometry(PlanarTransform(1.0, 2.0, 0.5), (k + 1) * SECOND)
        executor.spin_once(timeout_sec=0.05)
        if heard:
            break
    assert transform_from_msg(heard[0].transforms[0]).yaw == pytest.approx(0.5)
