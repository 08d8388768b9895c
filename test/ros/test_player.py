from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
import wifi_messages
from geometry_msgs.msg import PoseWithCovarianceStamped
from rclpy.qos import QoSProfile
from rosbags.rosbag2 import StoragePlugin, Writer
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import MagneticField
from surveys import START_NS, corridor_walk

from mail_localization.cli import main
from mail_localization.data import messages
from mail_localization.data.recording import open_bag
from mail_localization.errors import ConfigError, RecordingError
from mail_localization.ros.message_types import message_class
from mail_localization.ros.player import Player, PlaySettings
from mail_localization.types import MagneticSample

DEEP = QoSProfile(depth=2000)


def write_zero_stamped(path: Path, seconds: float = 4.0) -> Path:
    """Write a walk whose messages have no stamps: only the time they were logged tells when."""
    store = messages.default_typestore()
    with Writer(path, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        connection = writer.add_connection("/imu/mag", "sensor_msgs/msg/MagneticField", typestore=store)
        for sample in corridor_walk(seconds=seconds):
            if isinstance(sample, MagneticSample):
                message = messages.to_message(MagneticSample(0, sample.field), store)
                writer.write(connection, sample.t_ns, store.serialize_cdr(message, connection.msgtype))
    return path


def test_messages_arrive_byte_for_byte_in_time(survey, peer) -> None:
    received: list[bytes] = []
    sent_at: list[float] = []
    ticks: list[Clock] = []
    peer.node.create_subscription(MagneticField, "/mag", received.append, DEEP, raw=True)
    peer.node.create_subscription(Clock, "/clock", ticks.append, DEEP)
    settings = PlaySettings(rate=8.0, clock=True, only=("/imu/mag",))
    player = Player(peer.node, [survey.probe], settings, {"/imu/mag": "/mag"})
    assert player.wait_for_subscribers(10.0)
    peer.spin_for(0.5)
    count = player.play(lambda topic, t_ns, raw: sent_at.append(time.monotonic()))
    peer.spin_until(lambda: len(received) == count == 401, f"{len(received)} of {count}")
    with open_bag(survey.probe) as reader:
        sent = [bytes(raw) for connection, _, raw in reader.messages() if connection.topic == "/imu/mag"]
    assert received == sent
    assert sent_at[-1] - sent_at[0] == pytest.approx(1.0, abs=0.5)
    stamps = [tick.clock.sec * 10**9 + tick.clock.nanosec for tick in ticks]
    assert stamps == sorted(stamps)
    assert stamps[0] == START_NS + 10**12
    assert len(stamps) == pytest.approx(100, abs=5)


def test_clock_of_play_drives_a_node_with_simulated_time(survey, start_node, peer, tmp_path) -> None:
    """Messages without stamps take the node's time, which is the recording's."""
    node = start_node("-p", f"model:={survey.model}", "-p", "use_sim_time:=true")
    heard: list[PoseWithCovarianceStamped] = []
    peer.node.create_subscription(PoseWithCovarianceStamped, "pose", heard.append, 100)
    node.wait_ready()
    peer.spin_until(lambda: peer.node.count_publishers("pose") > 0, node.words)
    bag = write_zero_stamped(tmp_path / "zero")
    command = [sys.executable, "-m", "mail_localization", "play", str(bag), "--clock", "--wait", "20"]
    play = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    peer.spin_until(lambda: len(heard) > 5, node.words)
    out, _ = play.communicate(timeout=30)
    assert play.returncode == 0, out
    assert "played 201 messages on 1 topics" in out
    assert 0 < heard[-1].header.stamp.sec - START_NS // 10**9 <= 4
    assert node.stop() == 0


def test_play_loops_until_interrupted(survey) -> None:
    command = [sys.executable, "-u", "-m", "mail_localization", "play", str(survey.probe), "--loop", "--wait", "0"]
    play = subprocess.Popen([*command, "--rate", "40"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert play.stdout is not None
    lines = [play.stdout.readline() for _ in range(3)]
    play.terminate()
    play.wait(20)
    assert "nobody listens" in lines[0]
    assert lines[1].startswith("played 811 messages on 3 topics") and lines[2] == lines[1]


def test_message_type_that_is_not_installed_is_named(peer, tmp_path: Path) -> None:
    bag = wifi_messages.write_bag(tmp_path / "bag", [wifi_messages.fingerprint()])
    with pytest.raises(RecordingError, match=r"bag: topic '/wifi/scan': .*wifi_scan/msg/Fingerprint is not installed"):
        Player(peer.node, [bag])
    with pytest.raises(RecordingError, match="none of the topics /mag"):
        Player(peer.node, [bag], PlaySettings(only=("/mag",)))


@pytest.mark.parametrize("name", ["absent_msgs/msg/Thing", "std_msgs/msg/Absent", "os/msg/path", "nonsense", "a.b/C"])
def test_what_is_no_installed_message_type_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=name):
        message_class(name)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing"], "missing: no such file or folder"),
        (["{probe}", "--only", "/nothing"], "none of the topics /nothing"),
        (["{probe}", "--rate", "0"], "rate: 0.0 is outside"),
    ],
)
def test_wrong_use_of_play_is_one_line(survey, capsys, arguments: list[str], message: str) -> None:
    assert main(["play", *(text.format(probe=survey.probe) for text in arguments)]) == 1
    assert message in capsys.readouterr().err


def test_subscriber_that_comes_late_is_waited_for(survey, peer) -> None:
    player = Player(peer.node, [survey.probe], PlaySettings(only=("/imu/mag",)))
    assert not player.wait_for_subscribers(0.2)
    peer.node.create_subscription(MagneticField, "/imu/mag", lambda _: None, DEEP)
    assert player.wait_for_subscribers(10.0)
