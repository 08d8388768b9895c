"""fleet_node as a process over DDS: every target gets what a localizer_node of its own would give it."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import rclpy
from geometry_msgs.msg import PoseWithCovarianceStamped
from nav_msgs.msg import Odometry
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from rclpy.serialization import serialize_message
from rclpy.time import Time
from sensor_msgs.msg import MagneticField
from std_msgs.msg import Header
from surveys import corridor_walk

from mail_localization.errors import ConfigError
from mail_localization.localizer import load_localizer
from mail_localization.ros.conversions import magnetic_to_msg
from mail_localization.ros.fleet_node import FleetNode
from mail_localization.ros.fleet_settings import FleetSettings
from mail_localization.types import MagneticSample, Sample

COUNT = 31
"""Estimates of a walk of 4 s."""
CONFIG = Path(__file__).parents[2] / "config" / "fleet_node.yaml"


def walk(speed: float, seconds: float = 4.0) -> list[MagneticSample]:
    return [s for s in corridor_walk(speed=speed, seconds=seconds) if isinstance(s, MagneticSample)]


class Robot:
    """A namespace's magnetometer, and what is heard of its poses."""

    def __init__(self, peer, name: str) -> None:
        self.peer, self.name = peer, name
        self.heard: list[PoseWithCovarianceStamped] = []
        peer.node.create_subscription(PoseWithCovarianceStamped, f"/{name}/pose", self.heard.append, 1000)
        self.mag = peer.node.create_publisher(MagneticField, f"/{name}/imu/mag", 1000)

    def wait(self, words: str = "") -> None:
        def found() -> bool:
            return self.mag.get_subscription_count() > 0 and self.peer.node.count_publishers(f"/{self.name}/pose") > 0

        self.peer.spin_until(found, f"{self.name} is not localized; {words}")
        self.peer.spin_for(0.3)  # The other side has to find us too.

    def wait_for_poses(self, count: int, words: str = "") -> None:
        self.peer.spin_until(lambda: len(self.heard) >= count, f"{self.name}: {len(self.heard)} poses; {words}")

    def send(self, samples: Iterable[MagneticSample]) -> None:
        for sample in samples:
            self.mag.publish(magnetic_to_msg(sample))

    @property
    def poses(self) -> np.ndarray:
        """Stamp, s, x, y and variances of each pose heard."""
        stamps = [p.header.stamp.sec + p.header.stamp.nanosec * 1e-9 for p in self.heard]
        poses = [
            (p.pose.pose.position.x, p.pose.pose.position.y, *p.pose.covariance[[0, 1, 7, 35]]) for p in self.heard
        ]
        return np.column_stack([stamps, poses]) if poses else np.empty((0, 7))


def localized(survey, samples: list[MagneticSample]) -> np.ndarray:
    """Return the positions (K, 2) that the model gives for samples."""
    return np.array([estimate.position for estimate in load_localizer(survey.model).localize(samples)])


@pytest.fixture
def start_fleet(survey, start_node):
    def start(targets: str, *arguments: str):
        given = ["-p", f"model:={survey.model}", "-p", f"targets:={targets}", *arguments]
        return start_node(*given, executable="fleet_node")

    return start


class Service:
    """The parameter service, as `ros2 param set` calls it."""

    def __init__(self, peer) -> None:
        self._peer = peer
        self._client = peer.node.create_client(SetParameters, "/fleet_node/set_parameters")
        peer.spin_until(self._client.service_is_ready, "no parameter service")

    def set_targets(self, names: list[str]) -> tuple[bool, str]:
        value = Parameter("targets", Parameter.Type.STRING_ARRAY, names).to_parameter_msg()
        for _ in range(10):  # While the two sides discover each other, an answer may be lost.
            future = self._client.call_async(SetParameters.Request(parameters=[value]))
            if self._peer.spin_for(4.0, future.done):
                (result,) = future.result().results
                return result.successful, result.reason
        raise AssertionError("the parameter service does not answer")


def hostile(peer, name: str):
    """Return what sends messages to a target that no robot should."""
    mag = peer.node.create_publisher(MagneticField, f"/{name}/imu/mag", 1000)
    odom = peer.node.create_publisher(Odometry, f"/{name}/odom", 1000)
    start = peer.node.create_publisher(PoseWithCovarianceStamped, f"/{name}/initialpose", 10)
    torn = serialize_message(MagneticField(header=Header(frame_id="abcd")))[:30]

    def send(k: int) -> None:
        mag.publish(magnetic_to_msg(MagneticSample(10**18 + k, (math.nan, math.inf, -math.inf))))
        mag.publish(magnetic_to_msg(MagneticSample(2**62 - k, (1e300, -1e300, 0.0))))
        mag.publish(torn)
        odom.publish(Odometry())
        wild = Odometry()
        wild.pose.pose.position.x, wild.pose.pose.orientation.w = math.inf, math.nan
        wild.header.stamp.sec = k - 2**31 + 1
        odom.publish(wild)
        start.publish(PoseWithCovarianceStamped(header=Header(frame_id="no_map")))

    return send


def test_each_target_gets_the_poses_of_a_node_of_its_own(survey, start_fleet, start_node, peer) -> None:
    """In a namespace of the fleet's own, with a topic renamed for all, as launch_ros would start it."""
    fleet = start_fleet("[robot_1, /robot_2]", "-r", "__ns:=/hall", "-r", "__node:=finder", "-r", "odom:=wheels")
    node = start_node("-p", f"model:={survey.model}", "-r", "__ns:=/alone")
    robots = [Robot(peer, name) for name in ("hall/robot_1", "robot_2", "alone")]
    for robot in robots:
        robot.wait(fleet.words + node.words)
    peer.spin_until(lambda: peer.node.count_subscribers("/hall/robot_1/wheels") > 0, fleet.words)
    first, second = walk(1.1), walk(0.9)
    for one, other in zip(first, second, strict=True):
        robots[0].send([one])
        robots[1].send([other])
        robots[2].send([one])
        time.sleep(0.002)
    for robot in robots:
        robot.wait_for_poses(COUNT, fleet.words + node.words)
    np.testing.assert_array_equal(robots[0].poses, robots[2].poses)
    np.testing.assert_allclose(robots[1].poses[:, 1:3], localized(survey, second), atol=1e-9)
    assert not np.array_equal(robots[0].poses, robots[1].poses)
    assert fleet.stop() == 0, fleet.words
    assert "Traceback" not in fleet.words


def test_bad_data_of_a_target_stays_with_it(survey, start_fleet, peer) -> None:
    fleet = start_fleet("[good, bad]")
    good, bad = Robot(peer, "good"), Robot(peer, "bad")
    attack = hostile(peer, "bad")
    for robot in (good, bad):
        robot.wait(fleet.words)
    samples = walk(1.1)
    for k, sample in enumerate(samples):
        good.send([sample])
        attack(k)
        time.sleep(0.003)
    good.wait_for_poses(COUNT, fleet.words)
    np.testing.assert_allclose(good.poses[:, 1:3], localized(survey, samples), atol=1e-9)
    assert bad.heard == []
    # The attacked one is localized again as soon as its own messages come.
    bad.send(walk(1.1, seconds=3.0))
    bad.wait_for_poses(10, fleet.words)
    peer.spin_until(lambda: "mag.non_finite" in fleet.words, "its refusals are not told")
    assert not [line for line in fleet.words.splitlines() if "good." in line and "refused" in line], fleet.words
    assert fleet.stop() == 0, fleet.words


def test_targets_come_and_go_and_those_that_stay_are_not_disturbed(survey, start_fleet, peer) -> None:
    fleet = start_fleet("[stays]")
    stays, comes = Robot(peer, "stays"), Robot(peer, "comes")
    stays.wait(fleet.words)
    service, samples = Service(peer), walk(1.1)
    stays.send(samples[:90])
    stays.wait_for_poses(5, fleet.words)
    assert service.set_targets(["comes", "stays"]) == (True, "")
    comes.wait(fleet.words)
    comes.send(walk(0.9))
    stays.send(samples[90:])
    stays.wait_for_poses(COUNT, fleet.words)
    comes.wait_for_poses(COUNT, fleet.words)
    np.testing.assert_allclose(stays.poses[:, 1:3], localized(survey, samples), atol=1e-9)
    for names, reason in [
        (["stays", ""], "'' is no name"),
        (["stays", "/stays"], "'/stays' is there twice"),
        (["stays", "robot 2"], "'robot 2': Invalid namespace"),
    ]:
        successful, said = service.set_targets(names)
        assert not successful
        assert reason in said
    assert service.set_targets(["stays"]) == (True, "")
    peer.spin_until(lambda: peer.node.count_publishers("/comes/pose") == 0, fleet.words)
    assert comes.mag.get_subscription_count() == 0
    assert service.set_targets([]) == (True, "")
    peer.spin_until(lambda: peer.node.count_publishers("/stays/pose") == 0, fleet.words)
    assert fleet.stop() == 0, fleet.words


def test_target_that_cannot_start_is_told_and_the_others_go_on(start_fleet, peer) -> None:
    fleet = start_fleet(f"[{'long' * 60}, short]")
    robot = Robot(peer, "short")
    robot.wait(fleet.words)
    fleet.wait_ready("longlong cannot start: ")
    robot.send(walk(1.1))
    robot.wait_for_poses(COUNT, fleet.words)
    assert "Traceback" not in fleet.words
    assert fleet.stop() == 0, fleet.words


def test_bad_list_at_start_is_a_fatal_line(start_fleet) -> None:
    fleet = start_fleet("[robot_1, robot_1]")
    assert fleet.process.wait(40) == 1
    assert "[FATAL]" in fleet.words
    assert "targets: 'robot_1' is there twice" in fleet.words
    assert "Traceback" not in fleet.words


def test_odometry_from_transforms_is_refused() -> None:
    with pytest.raises(ConfigError, match="odom_source: every target of a fleet would read the transforms of all"):
        FleetSettings(odom_source="tf")


def test_frames_of_a_target_begin_with_its_name_unless_told_otherwise() -> None:
    own = FleetSettings().of_target("/hall/robot_1")
    assert (own.global_frame_id, own.odom_frame_id, own.base_frame_id) == (
        "map", "hall/robot_1/odom", "hall/robot_1/base_link"
    )  # fmt: skip
    assert FleetSettings(odom_frame_id="").of_target("/robot_1").odom_frame_id == ""
    assert FleetSettings(prefix_frames=False).of_target("/robot_1").base_frame_id == "base_link"


@pytest.fixture
def local_fleet(survey):
    rclpy.init(args=["--ros-args", "-p", f"model:={survey.model}", "-p", "targets:=[one, other]"])
    node = FleetNode()
    yield node
    node.destroy_node()
    rclpy.shutdown()


def test_bug_on_the_way_of_a_target_is_counted_there_and_reaches_no_other(local_fleet) -> None:
    local_fleet.turn()
    one, other = local_fleet.targets["/one"], local_fleet.targets["/other"]
    one._pipeline.inputs.queue = None
    publisher = local_fleet.create_publisher(MagneticField, "/other/imu/mag", 10)
    heard: list[Sample] = []
    other._pipeline.inputs._consumer = lambda stream, sample, estimate: heard.append(sample)
    deadline = time.monotonic() + 40
    while not heard:
        assert time.monotonic() < deadline
        publisher.publish(magnetic_to_msg(walk(1.1)[0]))
        local_fleet.turn()
        time.sleep(0.01)
    assert one.problems["node.unreadable"] > 0
    assert other.problems["node.unreadable"] == local_fleet.problems["node.unreadable"] == 0


def test_targets_go_by_the_clock_of_the_fleet_and_begin_anew_where_it_jumps(local_fleet) -> None:
    local_fleet.set_parameters([Parameter("use_sim_time", value=True)])
    local_fleet.turn()
    one, clock = local_fleet.targets["/one"], local_fleet.get_clock()
    assert one._node.get_clock() is clock
    for seconds in (1000, 1001, 900):  # The first is no jump.
        clock.set_ros_time_override(Time(seconds=seconds))
    assert one.problems["clock.jump"] == 1
    assert local_fleet.count_subscribers("/clock") == 1


def test_parameter_that_is_read_at_start_is_refused_later(local_fleet) -> None:
    (result,) = local_fleet.set_parameters([Parameter("hop", value=3)])
    assert result.reason == "hop is read at start: stop the node and start it with the other value"


def test_released_target_leaves_nothing_on_the_graph(local_fleet) -> None:
    local_fleet.turn()
    assert local_fleet.count_subscribers("/one/imu/mag") == local_fleet.count_publishers("/one/pose") == 1
    local_fleet.set_parameters([Parameter("targets", value=["other"])])
    local_fleet.turn()
    assert list(local_fleet.targets) == ["/other"]
    assert local_fleet.count_subscribers("/one/imu/mag") == local_fleet.count_publishers("/one/pose") == 0


def test_shipped_parameters_are_the_defaults(local_fleet) -> None:
    import yaml

    shipped = yaml.safe_load(CONFIG.read_text())["/**"]["ros__parameters"]
    defaults = FleetSettings().to_mapping()
    # A file of parameters cannot hold an empty list, and the launch file gives both.
    assert (defaults.pop("targets"), defaults.pop("model")) == ((), "")
    assert shipped == defaults
    assert local_fleet.get_parameter("poll_period").value == defaults["poll_period"]
