"""The whole way of a Wi-Fi message of another type: over DDS to the real node, and out of a bag to the evaluator."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import wifi_messages as m
from rosbags.rosbag2 import StoragePlugin, Writer
from wifi_surveys import wifi_walk, write_wifi_survey

from mail_localization.data.recording import Recording, RecordingInfo, Topics, write_recording
from mail_localization.localizer import load_localizer
from mail_localization.matching.wifi_knn import WifiKnnConfig
from mail_localization.ros.live import replay_live
from mail_localization.training.options import TrainOptions
from mail_localization.training.wifi_knn import train
from mail_localization.types import PoseEstimate, WifiScan

PATHS = {"type": "sensor_msgs/JointState", "bssid": "name", "rssi": "position", "age": "effort", "unit": "negative_dbm"}
TOPICS = Topics.from_mapping({"wifi": "/radio/heard", "wifi_mapping": PATHS})


def _joint_state(scan: WifiScan) -> object:
    """Put a scan into the parallel lists of a type that every installation has."""
    header = m.make("std_msgs/msg/Header", m.time(scan.t_ns), "radio")
    levels = np.array([-reading.rssi_dbm for reading in scan.readings])
    ages = np.array([reading.age for reading in scan.readings])
    return m.make("sensor_msgs/msg/JointState", header, [r.bssid for r in scan.readings], levels, np.empty(0), ages)


def _write_joint_states(path: Path, scans: list[WifiScan]) -> Path:
    with Writer(path, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        connection = writer.add_connection("/radio/heard", "sensor_msgs/msg/JointState", typestore=m.STORE)
        for scan in scans:
            raw = m.STORE.serialize_cdr(_joint_state(scan), connection.msgtype)
            writer.write(connection, scan.t_ns, raw)
    return path


def _offline(model: Path, bag: Path, topics: Topics) -> list[PoseEstimate]:
    return list(load_localizer(model).localize(Recording(bag, topics).samples()))


def test_node_evaluator_and_json_give_the_same_estimates(tmp_path: Path) -> None:
    model = tmp_path / "model"
    config = WifiKnnConfig.from_mapping({"knn": {"k": 3, "distance": "sorensen", "representation": "exponential"}})
    train(config, write_wifi_survey(tmp_path), model, TrainOptions(progress=False))
    scans = [sample for sample in wifi_walk(seed=9) if isinstance(sample, WifiScan)]
    write_recording(tmp_path / "json", scans, RecordingInfo())
    strange = _write_joint_states(tmp_path / "strange", scans)
    expected = _offline(model, tmp_path / "json", Topics())
    offline = _offline(model, strange, TOPICS)
    live = replay_live(model, strange, TOPICS, rate=100.0).estimates
    assert len(expected) > 15
    assert [e.t_ns for e in live] == [e.t_ns for e in offline] == [e.t_ns for e in expected]
    for estimates in (offline, live):
        np.testing.assert_allclose([e.position for e in estimates], [e.position for e in expected], atol=1e-4)
