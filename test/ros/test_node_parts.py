"""The node in this process: what its messages make it do, number for number."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseWithCovarianceStamped, TransformStamped
from nav_msgs.msg import Path as PathMsg
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.node import Node
from rclpy.time import Time
from surveys import START_NS, corridor_walk
from visualization_msgs.msg import MarkerArray

from mail_localization.calibration import Calibration
from mail_localization.ros import transforms
from mail_localization.ros.conversions import magnetic_to_msg, odometry_to_msg, time_to_msg
from mail_localization.ros.localizer_node import LocalizerNode
from mail_localization.ros.transforms import transform_from_msg
from mail_localization.types import MagneticSample, OdometrySample

SPEED, SECOND = 1.1, 1_000_000_000
WALK = [sample for sample in corridor_walk(speed=SPEED, seconds=14.0) if isinstance(sample, MagneticSample)]


class Bench:
    """A LocalizerNode and a listener that hears what it publishes."""

    def __init__(self, model: Path, **parameters) -> None:
        given = [f"{name}:={value}" for name, value in {"model": model, **parameters}.items()]
        rclpy.init(args=["--ros-args", *(word for text in given for word in ("-p", text))])
        self.node = LocalizerNode()
        self.node.autostart()
        self.listener = Node("listener", use_global_arguments=False)
        self.poses: list[PoseWithCovarianceStamped] = []
        self.listen(PoseWithCovarianceStamped, "pose", self.poses)
        self._executor = SingleThreadedExecutor()
        for node in (self.node, self.listener):
            self._executor.add_node(node)
        self.spin_until(lambda: self.listener.count_publishers("pose") > 0)
        self.spin_until(lambda: self.node._outputs._pose.get_subscription_count() > 0)

    def listen(self, kind: type, topic: str, heard: list) -> None:
        self.listener.create_subscription(kind, topic, heard.append, 1000)

    def spin_until(self, condition: Callable[[], bool], rounds: int = 500) -> None:
        for _ in range(rounds):
            if condition():
                return
            self._executor.spin_once(timeout_sec=0.02)
        pytest.fail("it did not happen")

    def settle(self) -> None:
        """Take what is under way: an executor takes one message a turn."""
        quiet = 0
        while quiet < 15:
            count = len(self.poses)
            self._executor.spin_once(timeout_sec=0.02)
            quiet = quiet + 1 if len(self.poses) == count else 0

    def feed(self, samples, turned: float | None = None) -> None:
        """Feed magnetometer samples and, before each, the odometry of a base that faces along the corridor."""
        for sample in samples:
            if turned is not None:
                way = SPEED * (sample.t_ns - START_NS) / SECOND
                pose = OdometrySample(sample.t_ns, way * math.cos(turned), way * math.sin(turned), turned)
                self.node.inputs.receive("odom", odometry_to_msg(pose))
            self.node.inputs.receive("mag", magnetic_to_msg(sample))
            self._executor.spin_once(timeout_sec=0)
        self.settle()

    def close(self) -> None:
        self.listener.destroy_node()
        self.node.destroy_node()
        rclpy.shutdown()


@pytest.fixture
def start(survey) -> Iterator[Callable[..., Bench]]:
    benches: list[Bench] = []

    def start(**parameters) -> Bench:
        benches.append(Bench(survey.model, **parameters))
        return benches[-1]

    yield start
    for bench in benches:
        bench.close()


def stamps(messages) -> np.ndarray:
    return np.array([m.header.stamp.sec * SECOND + m.header.stamp.nanosec for m in messages])


def truth_of(t_ns) -> np.ndarray:
    return SPEED * (np.asarray(t_ns) - START_NS) / SECOND


def test_odometry_carries_the_pose_and_gives_it_a_heading(start, monkeypatch) -> None:
    """The odometry's frame is turned by 2 rad against the map; the corridor runs along x."""
    sent: list[TransformStamped] = []
    monkeypatch.setattr(transforms, "tf_broadcaster", lambda node: sent.append)
    bench = start(
        **{
            "odometry.settle": 6.0,
            "publish_rate": 50.0,
            "publish_tf": True,
            "transform_tolerance": 0.0,
        }
    )
    bench.feed(WALK, turned=-2.0)
    known = [pose for pose in bench.poses if pose.pose.covariance[35] < 1.0]
    assert len(known) > 100  # 50 a second, where the model gives 10.
    assert np.diff(stamps(known)).min() >= SECOND // 50 - 1
    errors = np.array([pose.pose.pose.position.x for pose in known]) - truth_of(stamps(known))
    assert np.abs(errors).max() < 0.7
    last = known[-1].pose.pose.orientation
    assert 2 * math.atan2(last.z, last.w) == pytest.approx(0.0, abs=0.1)
    assert {(t.header.frame_id, t.child_frame_id) for t in sent} == {("map", "odom")}
    # Whoever follows map -> odom -> base_link arrives at the truth.
    map_T_odom, t_ns = transform_from_msg(sent[-1]), stamps(sent)[-1]
    way = truth_of(t_ns)
    x, y = map_T_odom.turned(way * math.cos(-2.0), way * math.sin(-2.0))
    assert (map_T_odom.x + x, map_T_odom.y + y) == pytest.approx((way, 0.0), abs=0.7)


def test_publish_rate_is_kept_and_can_change_while_running(start) -> None:
    bench = start(publish_rate=2)
    bench.feed(WALK[:300])
    assert len(bench.poses) == pytest.approx(10, abs=1)  # 5 s after the window of 1 s
    (result,) = bench.node.set_parameters([rclpy.parameter.Parameter("publish_rate", value=0.0)])
    assert result.successful
    before = len(bench.poses)
    bench.feed(WALK[300:350])
    assert len(bench.poses) - before == 10


def test_covariance_for_a_filter_counts_alike_errors_once(start) -> None:
    """Ten poses a second whose errors last 2 s: 20 of them are one measurement."""
    bench = start(min_position_stddev=0.001)
    bench.node.trigger_deactivate()
    bench.node.session._inner.calibration = Calibration(
        stddev=0.5, size=1.0, size_power=0.0, least_size=0.1,
        correlation_time=2.0, samples=100.0,
    )  # fmt: skip
    bench.node.trigger_activate()
    bench.spin_until(lambda: bench.node._outputs._pose.get_subscription_count() > 0)
    bench.feed(WALK[:200])
    assert bench.poses[-1].pose.covariance[[0, 7]].mean() == pytest.approx(0.25)
    bench.node.set_parameters([rclpy.parameter.Parameter("fusion_covariance", value=True)])
    bench.feed(WALK[200:250])
    assert bench.poses[-1].pose.covariance[[0, 7]].mean() == pytest.approx(20 * 0.25, rel=0.1)


def test_filter_gets_poses_with_heading_only_where_asked(start) -> None:
    bench = start(**{"odometry.settle": 6.0, "publish_without_heading": False})
    bench.feed(WALK, turned=-2.0)
    assert len(bench.poses) > 20
    assert all(pose.pose.covariance[35] < 1.0 for pose in bench.poses)
    assert bench.node.problems["pose.no_heading"] > 20


def test_path_and_modes_are_published_where_asked(start) -> None:
    bench = start(publish_path=True, publish_modes=True)
    paths, modes = [], []
    bench.listen(PathMsg, "path", paths)
    bench.listen(MarkerArray, "modes", modes)
    bench.spin_until(lambda: bench.node._outputs._modes.get_subscription_count() > 0)
    bench.spin_until(lambda: bench.node._outputs._path.get_subscription_count() > 0)
    bench.feed(WALK[:300])
    assert 4 <= len(paths) <= 7
    x = [pose.pose.position.x for pose in paths[-1].poses]
    assert len(x) >= 15
    assert np.diff(x).min() > 0
    assert len(modes) == len(bench.poses)
    clear, ellipse = modes[-1].markers[:2]
    assert clear.action == clear.DELETEALL
    # One standard deviation to each side; little is left of the doubt about the place, which no mode has.
    largest = np.linalg.eigvalsh(np.reshape(bench.poses[-1].pose.covariance, (6, 6))[:2, :2])[-1]
    assert 0.98 < ellipse.scale.x / (2 * math.sqrt(largest)) <= 1.0


def test_clock_jump_starts_anew_unless_told_otherwise(start) -> None:
    bench = start(use_sim_time=True)
    clock = bench.node.get_clock()
    clock.set_ros_time_override(Time(nanoseconds=START_NS))
    bench.feed(WALK[:60])
    assert "clock.jump" not in bench.node.problems
    before = len(bench.poses)
    assert before > 0
    clock.set_ros_time_override(Time(nanoseconds=START_NS + 10 * SECOND))  # A busy node sees such steps.
    clock.set_ros_time_override(Time(nanoseconds=START_NS))
    assert bench.node.problems["clock.jump"] == 1
    bench.feed(WALK[60:105])
    assert len(bench.poses) == before
    clock.set_ros_time_override(Time(nanoseconds=START_NS + 3600 * SECOND))
    assert bench.node.problems["clock.jump"] == 2
    assert bench.node.set_parameters([rclpy.parameter.Parameter("reset_on_time_jump", value=False)])[0].successful
    clock.set_ros_time_override(Time(nanoseconds=START_NS))
    assert bench.node.problems["clock.jump"] == 2


def told(x: float, frame: str = "map") -> PoseWithCovarianceStamped:
    msg = PoseWithCovarianceStamped()
    msg.header.frame_id, msg.header.stamp = frame, time_to_msg(START_NS + 900 * SECOND)
    msg.pose.pose.position.x = x
    msg.pose.covariance[0] = msg.pose.covariance[7] = 0.25
    msg.pose.covariance[35] = 0.01
    return msg


def test_initialpose_gives_position_and_heading_at_once(start) -> None:
    """Told by an RViz whose clock is another than the sensors'."""
    bench = start(publish_rate=50)
    bench.feed(WALK[:20], turned=-2.0)
    bench.node.inputs.receive_start(told(3.0, "odom"))
    bench.feed(WALK[20:22], turned=-2.0)
    assert bench.node.session.aided.map_T_odom() is None
    bench.node.inputs.receive_start(told(math.nan))
    bench.node.inputs.receive_start(told(truth_of(WALK[22].t_ns)))
    bench.feed(WALK[22:40], turned=-2.0)
    map_T_odom = bench.node.session.aided.map_T_odom()
    assert map_T_odom.yaw == pytest.approx(2.0, abs=0.05)


def test_initialpose_is_refused_where_nothing_can_be_told(start, capfd) -> None:
    bench = start(odom_source="none")
    bench.node.inputs.receive_start(told(3.0))
    assert "method magnetic_nn finds the position by itself; refused" in capfd.readouterr().err


def test_diagnostics_name_what_is_waited_for_and_then_the_rate(start) -> None:
    bench = start()
    heard: list[DiagnosticArray] = []
    bench.listen(DiagnosticArray, "/diagnostics", heard)
    bench.spin_until(lambda: len(heard) > 0)
    first = {status.name: status for status in heard[0].status}
    assert re.search("waiting for /imu/mag", first["localizer_node: localization"].message)
    bench.feed(WALK[:200])
    count = len(heard)
    bench.spin_until(lambda: len(heard) > count)
    assert {s.name: s for s in heard[-1].status}["localizer_node: localization"].message == "localized"
    bench.node.trigger_deactivate()
    count = len(heard)
    bench.spin_until(lambda: len(heard) > count)
    assert [status.message for status in heard[-1].status] == ["inactive; a lifecycle manager activates it"]


def test_everything_is_released(start) -> None:
    bench = start(publish_path=True, publish_modes=True)
    node = bench.node
    before = {name for name, _ in node.get_topic_names_and_types()}
    assert {"/pose", "/path", "/modes", "/imu/mag"} <= before
    entities = [len(list(kind)) for kind in (node.publishers, node.subscriptions, node.services, node.timers)]
    for _ in range(3):
        node.trigger_deactivate()
        node.trigger_cleanup()
        assert node.session is None
        node.autostart()
    after = [len(list(kind)) for kind in (node.publishers, node.subscriptions, node.services, node.timers)]
    assert after == entities
    bench.spin_until(lambda: node._outputs._pose.get_subscription_count() > 0)
    bench.feed(WALK[:100])
    assert len(bench.poses) > 0


def test_activation_that_fails_leaves_nothing_behind(start) -> None:
    """The override for odom is wrong, which shows only after imu/mag is subscribed to."""
    bench = start(**{"qos_overrides./odom.subscription.reliability": "good", "odom_source": "none"})
    node = bench.node
    node.trigger_deactivate()
    before = len(list(node.subscriptions))
    node.trigger_cleanup()
    assert node.set_parameters([rclpy.parameter.Parameter("odom_source", value="topic")])[0].successful
    node.trigger_configure()
    for _ in range(2):
        assert node.trigger_activate() != TransitionCallbackReturn.SUCCESS
        assert len(list(node.subscriptions)) == before
