"""The node among real transforms: odometry from /tf in, map->odom on /tf out."""

from __future__ import annotations

import importlib.util
import math
import os
import sys
from collections.abc import Iterator

import pytest
from geometry_msgs.msg import TransformStamped
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import MagneticField
from surveys import START_NS, corridor_walk
from tf2_messages import make_tf2_msgs, why_not

from mail_localization.motion.planar import PlanarTransform
from mail_localization.ros.conversions import magnetic_to_msg
from mail_localization.ros.tf_odometry import FrameTree
from mail_localization.ros.transforms import transform_to_msg
from mail_localization.types import MagneticSample

SPEED, SECOND, TURN = 1.1, 1_000_000_000, -2.0
WALK = [sample for sample in corridor_walk(speed=SPEED, seconds=14.0) if isinstance(sample, MagneticSample)]
MOUNT = PlanarTransform(-0.3, 0.0, 0.0)
"""base_footprint_T_base_link."""


@pytest.fixture(scope="module", autouse=True)
def tf2_msgs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Make tf2_msgs for this module's tests, and for the processes they start, where it is not installed."""
    if importlib.util.find_spec("tf2_msgs") is not None:
        yield
        return
    if reason := why_not():
        pytest.skip(reason)
    folder = str(make_tf2_msgs(tmp_path_factory.mktemp("tf2")))
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = folder if before is None else f"{folder}{os.pathsep}{before}"
    sys.path.insert(0, folder)
    yield
    sys.path.remove(folder)
    for name in [name for name in sys.modules if name.partition(".")[0] == "tf2_msgs"]:
        del sys.modules[name]
    os.environ["PYTHONPATH"] = before or ""


def base_at(t_ns: int) -> PlanarTransform:
    """odom_T_base_link of who walks along the corridor, in a frame of odometry that is turned against the map."""
    way = SPEED * (t_ns - START_NS) / SECOND
    return PlanarTransform(way * math.cos(TURN), way * math.sin(TURN), TURN)


def test_odometry_comes_from_tf_and_map_to_odom_goes_there(survey, start_node, peer) -> None:
    from tf2_msgs.msg import TFMessage

    node = start_node(
        "-p", f"model:={survey.model}", "-p", "publish_tf:=true", "-p", "odom_source:=tf", "-p",
        "odometry.settle:=6.0", "-p", "transform_tolerance:=0.0",
    )  # fmt: skip
    heard: list[TransformStamped] = []
    peer.node.create_subscription(TFMessage, "/tf", lambda msg: heard.extend(msg.transforms), 1000)
    dynamic = peer.node.create_publisher(TFMessage, "/tf", 1000)
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    static = peer.node.create_publisher(TFMessage, "/tf_static", latched)
    mag = peer.node.create_publisher(MagneticField, "imu/mag", 1000)
    static.publish(TFMessage(transforms=[transform_to_msg(MOUNT, 0, "base_footprint", "base_link")]))
    node.wait_ready()
    # Two listen on /tf, one of them the peer itself.
    peer.spin_until(lambda: mag.get_subscription_count() > 0 and dynamic.get_subscription_count() > 1, node.words)
    peer.spin_for(0.5)
    for sample in WALK:
        footprint = base_at(sample.t_ns) @ MOUNT.inverse()
        transform = transform_to_msg(footprint, sample.t_ns, "odom", "base_footprint")
        dynamic.publish(TFMessage(transforms=[transform]))
        mag.publish(magnetic_to_msg(sample))
        peer.spin_for(0.002)
    peer.spin_for(1.0)
    ours = [transform for transform in heard if transform.header.frame_id == "map"]
    assert {transform.child_frame_id for transform in ours} == {"odom"}
    assert len(ours) > 20, node.words
    # Whoever follows the frames from map to base_link arrives where the walk is.
    t_ns = ours[-1].header.stamp.sec * SECOND + ours[-1].header.stamp.nanosec
    tree = FrameTree("map", "base_link")
    tree.add(ours[-1])
    tree.add(transform_to_msg(base_at(t_ns) @ MOUNT.inverse(), t_ns, "odom", "base_footprint"))
    tree.add(transform_to_msg(MOUNT, 0, "base_footprint", "base_link"))
    chained = tree.chained()
    assert chained is not None
    assert chained[:2, 3] == pytest.approx([SPEED * (t_ns - START_NS) / SECOND, 0.0], abs=0.7)
    assert math.atan2(chained[1, 0], chained[0, 0]) == pytest.approx(0.0, abs=0.1)
    assert node.stop() == 0, node.words
