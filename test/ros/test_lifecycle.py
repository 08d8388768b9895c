"""The node as a lifecycle manager sees it: a process whose states are changed by services, under traffic."""

from __future__ import annotations

import shutil
import time

import pytest
from geometry_msgs.msg import PoseWithCovarianceStamped
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from sensor_msgs.msg import MagneticField
from std_srvs.srv import Empty, SetBool, Trigger
from surveys import corridor_walk

from mail_localization.ros.conversions import magnetic_to_msg
from mail_localization.types import MagneticSample

SPEED = 1.1
WALK = [sample for sample in corridor_walk(speed=SPEED, seconds=20.0) if isinstance(sample, MagneticSample)]


class Managed:
    """A node process with what a lifecycle manager and a sensor have of it."""

    def __init__(self, process, peer) -> None:
        self.process, self.peer = process, peer
        self.heard: list[PoseWithCovarianceStamped] = []
        self._clients: dict[str, object] = {}
        peer.node.create_subscription(PoseWithCovarianceStamped, "pose", self.heard.append, 1000)
        self._mag = peer.node.create_publisher(MagneticField, "imu/mag", 1000)
        self._next = 0

    def ask(self, kind, name: str, request):
        """Call a service, again after a while: while the two sides discover each other, an answer may be lost."""
        if name not in self._clients:
            self._clients[name] = self.peer.node.create_client(kind, name)
            self.peer.spin_until(self._clients[name].service_is_ready, f"no {name}; {self.process.words}")
        for _ in range(10):
            future = self._clients[name].call_async(request)
            if self.peer.spin_for(4.0, future.done):
                return future.result()
        raise AssertionError(f"{name} does not answer; {self.process.words}")

    def change(self, transition: int) -> bool:
        name = "localizer_node/change_state"
        if name not in self._clients:
            # No transition may be asked for twice, so one that is legal nowhere finds out that answers arrive.
            assert not self.ask(ChangeState, name, ChangeState.Request(transition=Transition(id=255))).success
        return self.ask(ChangeState, name, ChangeState.Request(transition=Transition(id=transition))).success

    @property
    def state(self) -> int:
        return self.ask(GetState, "localizer_node/get_state", GetState.Request()).current_state.id

    def listening(self) -> bool:
        return self._mag.get_subscription_count() > 0 and self.peer.node.count_publishers("pose") > 0

    def walk(self, samples: int, expected: int = 0) -> int:
        """Publish the walk's next samples at ten times their rate and return the number of poses they gave.

        It waits for those expected, as the node may get little of a busy machine, and for silence after them.
        """
        before = len(self.heard)
        for sample in WALK[self._next : self._next + samples]:
            self._mag.publish(magnetic_to_msg(sample))
            self.peer.spin_for(0.002)
        self._next += samples
        end = time.monotonic() + 10.0
        while len(self.heard) - before < expected and time.monotonic() < end:
            self.peer.spin_for(0.05)
        self.peer.spin_for(0.5)
        return len(self.heard) - before

    def activate(self) -> None:
        assert self.change(Transition.TRANSITION_ACTIVATE)
        self.peer.spin_until(self.listening, self.process.words)
        self.peer.spin_for(0.5)


@pytest.fixture
def start_managed(start_node, peer):
    return lambda *arguments: Managed(start_node(*arguments), peer)


def test_manager_takes_the_node_through_its_states_under_traffic(survey, start_managed) -> None:
    node = start_managed("-p", "autostart:=false", "-p", f"model:={survey.model}")
    assert node.state == State.PRIMARY_STATE_UNCONFIGURED
    assert not node.change(Transition.TRANSITION_ACTIVATE)  # Not legal here, and no reason to die.
    assert node.change(Transition.TRANSITION_CONFIGURE)
    assert node.state == State.PRIMARY_STATE_INACTIVE
    assert node.walk(60) == 0
    node.activate()
    assert node.walk(100, 10) >= 8
    assert node.change(Transition.TRANSITION_DEACTIVATE)
    assert node.walk(60) == 0
    node.activate()
    assert node.walk(100, 10) >= 8
    pose = node.heard[-1]
    truth = SPEED * (pose.header.stamp.sec * 10**9 + pose.header.stamp.nanosec - WALK[0].t_ns) * 1e-9
    assert pose.pose.pose.position.x == pytest.approx(truth, abs=1.0)
    assert node.change(Transition.TRANSITION_DEACTIVATE)
    assert node.change(Transition.TRANSITION_CLEANUP)
    assert node.state == State.PRIMARY_STATE_UNCONFIGURED
    assert node.change(Transition.TRANSITION_CONFIGURE)
    assert node.change(Transition.TRANSITION_INACTIVE_SHUTDOWN)
    assert node.state == State.PRIMARY_STATE_FINALIZED
    assert not node.change(Transition.TRANSITION_CONFIGURE)
    assert node.process.stop() == 0, node.process.words
    assert "Traceback" not in node.process.words


def test_failed_configure_leaves_the_node_unconfigured_until_the_model_is_there(
    survey, start_managed, tmp_path
) -> None:
    model = tmp_path / "model"
    node = start_managed("-p", "autostart:=false", "-p", f"model:={model}")
    for _ in range(2):
        assert not node.change(Transition.TRANSITION_CONFIGURE)
        assert node.state == State.PRIMARY_STATE_UNCONFIGURED
    errors = [line for line in node.process.words.splitlines() if line.startswith("[ERROR]")]
    assert [f"{model}: no such model folder" in line for line in errors] == [True, True]
    shutil.copytree(survey.model, model)
    assert node.change(Transition.TRANSITION_CONFIGURE), node.process.words
    node.activate()
    assert node.walk(100, 10) >= 8
    # Damaged while running: it goes on with what it loaded, and says so only when it is configured anew.
    (model / "model.json").write_text("{")
    assert node.walk(50, 10) >= 4
    assert node.change(Transition.TRANSITION_DEACTIVATE)
    assert node.change(Transition.TRANSITION_CLEANUP)
    assert not node.change(Transition.TRANSITION_CONFIGURE)
    assert node.process.stop() == 0, node.process.words


def test_services_reset_and_disable(survey, start_managed) -> None:
    node = start_managed("-p", f"model:={survey.model}")
    node.process.wait_ready()
    node.peer.spin_until(node.listening, node.process.words)
    node.peer.spin_for(0.5)
    assert node.walk(100, 10) >= 8
    assert node.ask(Trigger, "reset", Trigger.Request()).success
    assert node.walk(45) == 0  # The window of 50 samples is empty again.
    assert node.walk(50, 10) >= 4
    node.ask(Empty, "reinitialize_global_localization", Empty.Request())
    assert node.walk(45) == 0
    assert node.ask(SetBool, "set_enabled", SetBool.Request(data=False)).message == "disabled"
    assert node.walk(100) == 0
    assert node.ask(SetBool, "set_enabled", SetBool.Request(data=True)).message == "enabled"
    node.peer.spin_until(node.listening, node.process.words)
    node.peer.spin_for(0.5)
    assert node.walk(100, 10) >= 8
    assert node.process.stop() == 0, node.process.words
