from __future__ import annotations

import importlib.util
import math
from types import SimpleNamespace

import numpy as np
import pytest
import rclpy
from geometry_msgs.msg import Quaternion, Transform, TransformStamped, Vector3
from rclpy.node import Node
from std_msgs.msg import Header

from mail_localization.motion.planar import PlanarTransform
from mail_localization.ros.conversions import time_to_msg
from mail_localization.ros.tf_odometry import FrameTree, TfOdometry
from mail_localization.ros.transforms import transform_to_msg
from mail_localization.types import OdometrySample

SECOND = 1_000_000_000


def mount(parent: str, child: str, xyz: tuple[float, float, float], turn: tuple[float, float, float, float]):
    x, y, z, w = turn
    return TransformStamped(
        header=Header(frame_id=parent, stamp=time_to_msg(0)),
        child_frame_id=child,
        transform=Transform(translation=Vector3(x=xyz[0], y=xyz[1], z=xyz[2]), rotation=Quaternion(x=x, y=y, z=z, w=w)),
    )


def test_chain_with_an_offset_base_is_multiplied_in_order() -> None:
    """base_link sits 0.5 m ahead of base_footprint, 0.2 m up; the footprint is at (1, 2), facing along y."""
    tree = FrameTree("odom", "base_link")
    assert not tree.add(transform_to_msg(PlanarTransform(9.0, 9.0, 1.0), 0, "map", "odom"))
    assert tree.add(mount("base_footprint", "base_link", (0.5, 0.0, 0.2), (0.0, 0.0, 0.0, 1.0)))
    assert tree.chained() is None
    assert tree.add(transform_to_msg(PlanarTransform(1.0, 2.0, math.pi / 2), 0, "odom", "/base_footprint"))
    assert not tree.add(mount("base_link", "imu_link", (0.1, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0)))
    chained = tree.chained()
    assert chained is not None
    np.testing.assert_allclose(chained[:3, 3], [1.0, 2.5, 0.2], atol=1e-12)
    np.testing.assert_allclose(chained[:3, 0], [0.0, 1.0, 0.0], atol=1e-12)


def test_ring_of_frames_is_no_chain() -> None:
    tree = FrameTree("odom", "base_link")
    for parent, child in (("a", "base_link"), ("b", "a"), ("a", "b")):
        tree.add(mount(parent, child, (0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0)))
    assert tree.chained() is None


@pytest.fixture
def node():
    rclpy.init(args=[])
    node = Node("listener")
    yield node
    node.destroy_node()
    rclpy.shutdown()


def test_odometry_follows_the_transforms(node) -> None:
    heard: list[OdometrySample] = []
    odometry = TfOdometry(node, "odom", "base_link", heard.append)
    # The field of a TFMessage: tf2_msgs is not everywhere.
    odometry.receive_static(
        SimpleNamespace(transforms=[mount("footprint", "base_link", (0.0, 0.0, 0.3), (1.0, 0.0, 0.0, 0.0))])
    )
    wheels = mount("base_link", "wheel", (0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0))
    odometry.receive(SimpleNamespace(transforms=[wheels]))
    assert heard == []
    for k in range(3):
        moved = transform_to_msg(PlanarTransform(float(k), 0.0, 0.5), k * SECOND + 1, "odom", "footprint")
        odometry.receive(SimpleNamespace(transforms=[wheels, moved]))
    odometry.destroy()
    assert [(sample.t_ns, sample.x) for sample in heard] == [(k * SECOND + 1, float(k)) for k in range(3)]
    assert heard[-1].yaw == pytest.approx(0.5)  # The base is mounted upside down; its heading is the footprint's.


@pytest.mark.skipif(importlib.util.find_spec("tf2_msgs") is not None, reason="tf2_msgs is installed")
def test_missing_tf_is_said(node, capfd) -> None:
    TfOdometry(node, "odom", "base_link", print).destroy()
    assert "odom_source is tf, but the package tf2_msgs is not installed" in capfd.readouterr().err
