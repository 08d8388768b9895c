from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rosbags.rosbag2 import StoragePlugin, Writer

from mail_localization.data import messages
from mail_localization.data.recording import Recording, Topics
from mail_localization.data.survey import SurveyOptions, survey
from mail_localization.errors import RecordingError
from mail_localization.types import ImuSample, MagneticSample

START = 1_700_000_000
S = 10**9
STORE = messages.default_typestore()
POINT, POSE = "geometry_msgs/msg/PointStamped", "geometry_msgs/msg/PoseStamped"
POSE_COVARIANCE, ODOMETRY = "geometry_msgs/msg/PoseWithCovarianceStamped", "nav_msgs/msg/Odometry"


def _make(name: str, *values: Any) -> Any:
    return STORE.types[name](*values)


def _header(t_ns: int, frame: str) -> Any:
    return _make("std_msgs/msg/Header", _make("builtin_interfaces/msg/Time", *divmod(t_ns, S)), frame)


def _place(kind: str, t_ns: int, x: float, y: float, frame: str = "map") -> Any:
    """Build a message of one of the position types."""
    header, point = _header(t_ns, frame), _make("geometry_msgs/msg/Point", x, y, 0.0)
    if kind == POINT:
        return _make(kind, header, point)
    pose = _make("geometry_msgs/msg/Pose", point, _make("geometry_msgs/msg/Quaternion", 0.0, 0.0, 0.0, 1.0))
    if kind == POSE:
        return _make(kind, header, pose)
    with_covariance = _make("geometry_msgs/msg/PoseWithCovariance", pose, np.zeros(36))
    if kind == POSE_COVARIANCE:
        return _make(kind, header, with_covariance)
    still = _make("geometry_msgs/msg/Vector3", 0.0, 0.0, 0.0)
    twist = _make("geometry_msgs/msg/TwistWithCovariance", _make("geometry_msgs/msg/Twist", still, still), np.zeros(36))
    return _make(kind, header, "base_link", with_covariance, twist)


def _bag(
    tmp_path: Path,
    extra: Sequence[tuple[str, str, int, Any]] = (),
    topics: Topics = Topics(),
    stamp_offset: int = 0,
) -> Path:
    """Write 10 s of magnetometer and IMU at 10 Hz, and extra (topic, type, logged ns, message)."""
    rows: list[tuple[str, str, int, Any]] = list(extra)
    for k in range(101):
        t_ns = START * S + k * S // 10
        for sample in (MagneticSample(t_ns + stamp_offset, (2e-5, 0, 4e-5)), ImuSample(t_ns, (0, 0, 9.8), (0, 0, 0))):
            stream = messages.STREAM_OF[type(sample)]
            message = messages.to_message(sample, STORE)
            rows.append((getattr(topics, stream), messages.WRITTEN_TYPE[stream], t_ns, message))
    path = tmp_path / "raw"
    with Writer(path, version=9, storage_plugin=StoragePlugin.SQLITE3) as writer:
        connections: dict[str, Any] = {}
        for topic, kind, t_ns, message in sorted(rows, key=lambda row: row[2]):
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, kind, typestore=STORE)
            writer.write(connections[topic], t_ns, STORE.serialize_cdr(message, kind))
    return path


def _positions(kind: str, places: Sequence[tuple[float, float, float]], frame: str = "map") -> list[Any]:
    stamps = [(START * S + round(second * S), x, y) for second, x, y in places]
    return [("/place", kind, t_ns, _place(kind, t_ns, x, y, frame)) for t_ns, x, y in stamps]


def _event(second: float, name: str) -> tuple[str, str, int, Any]:
    kind = "std_msgs/msg/String"
    return ("/event", kind, START * S + round(second * S), _make(kind, name))


def _marks(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "marks.csv"
    file.write_text(text)
    return file


def _reference(path: Path, topics: Topics = Topics()) -> list[tuple[float, float, float]]:
    reference = Recording(path, topics).reference()
    return [
        (t / S - START, x, y) for t, (x, y) in zip(reference.t_ns.tolist(), reference.position.tolist(), strict=True)
    ]


def test_landmarks_by_time_label_the_bag(tmp_path: Path) -> None:
    marks = _marks(tmp_path, f"time,x,y\n{START + 8},4,0\n{START},0,0\n")
    out = tmp_path / "labelled"
    result = survey(_bag(tmp_path), out, SurveyOptions(landmarks=marks, site="office", floor="1"))
    assert (result.references, result.messages, result.warnings) == (2, 204, ())
    assert _reference(out) == [(0, 0, 0), (8, 4, 0)]
    recording = Recording(out)
    assert recording.counts == {"/imu/data": 101, "/imu/mag": 101, "/reference": 2}
    assert (recording.info.site, recording.info.floor) == ("office", "1")
    assert recording.info.extra == {"surveyed_from": "raw", "surveyed_by": "marks.csv"}


def test_position_between_marks_is_linear_in_time(tmp_path: Path) -> None:
    marks = _marks(tmp_path, f"time,x,y\n{START},0,0\n{START + 8},4,8\n")
    survey(_bag(tmp_path), tmp_path / "out", SurveyOptions(landmarks=marks))
    reference = Recording(tmp_path / "out").reference()
    (place,) = reference.at(reference.t_ns[:1] + 2 * S)
    assert place.tolist() == [1, 2]


def test_times_from_the_start_of_the_bag(tmp_path: Path) -> None:
    marks = _marks(tmp_path, "time,x,y\n1.5,0,0\n8,4,0\n")
    survey(_bag(tmp_path), tmp_path / "out", SurveyOptions(landmarks=marks, from_start=True))
    assert _reference(tmp_path / "out") == [(1.5, 0, 0), (8, 4, 0)]


def test_events_name_the_moments(tmp_path: Path) -> None:
    bag = _bag(tmp_path, [_event(1, "door"), _event(5, "desk "), _event(6, "cough"), _event(9, "door")])
    marks = _marks(tmp_path, "event,x,y\ndoor,0,0\ndesk,4,0\n")
    result = survey(bag, tmp_path / "out", SurveyOptions(landmarks=marks, events="/event"))
    assert _reference(tmp_path / "out") == [(1, 0, 0), (5, 4, 0), (9, 0, 0)]
    assert result.warnings == ("1 x event 'cough' without a landmark",)


def test_clicked_points_are_marks(tmp_path: Path) -> None:
    bag = _bag(tmp_path, _positions(POINT, [(1, 0, 0), (9, 4, 1)]))
    survey(bag, tmp_path / "out", SurveyOptions(clicks="/place"))
    assert _reference(tmp_path / "out") == [(1, 0, 0), (9, 4, 1)]


@pytest.mark.parametrize("kind", [POSE, POSE_COVARIANCE, ODOMETRY])
def test_pose_topics_are_references(tmp_path: Path, kind: str) -> None:
    # One pose long after the last sample, one at a repeated stamp, one that is no number.
    places = [(1, 0, 0), (2, 1, 0), (2, 1.5, 0), (3, math.nan, 0), (60, 9, 9)]
    result = survey(_bag(tmp_path, _positions(kind, places)), tmp_path / "out", SurveyOptions(poses="/place"))
    assert _reference(tmp_path / "out") == [(1, 0, 0), (2, 1.5, 0)]
    assert set(result.warnings) == {
        "1 x /place: position is not a number",
        "1 x pose outside the time of the sensors, left out",
        "1 x pose with a repeated stamp, the last kept",
    }


def test_topics_are_remapped_in_and_out(tmp_path: Path) -> None:
    topics = Topics(mag="/phone/mag", imu="/phone/imu")
    marks = _marks(tmp_path, f"time,x,y\n{START},0,0\n{START + 8},4,0\n")
    survey(_bag(tmp_path, topics=topics), tmp_path / "out", SurveyOptions(landmarks=marks, topics=topics))
    assert set(Recording(tmp_path / "out", topics).counts) == {"/phone/mag", "/phone/imu", "/reference"}


def test_earlier_reference_is_replaced_with_a_warning(tmp_path: Path) -> None:
    earlier = [("/reference", *row[1:]) for row in _positions(POSE, [(1, 70, 70), (2, 71, 70)])]
    marks = _marks(tmp_path, f"time,x,y\n{START},0,0\n{START + 8},4,0\n")
    result = survey(_bag(tmp_path, earlier), tmp_path / "out", SurveyOptions(landmarks=marks))
    assert _reference(tmp_path / "out") == [(0, 0, 0), (8, 4, 0)]
    assert result.warnings == ("2 x earlier message on /reference replaced",)


def test_leap_between_marks_is_a_warning(tmp_path: Path) -> None:
    marks = _marks(tmp_path, f"time,x,y\n{START},0,0\n{START + 2},40,0\n")
    (warning,) = survey(_bag(tmp_path), tmp_path / "out", SurveyOptions(landmarks=marks)).warnings
    assert "the fastest 20.0 m/s from (0, 0) to (40, 0)" in warning


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"time,x,y\n{START},0,0\n{START + 30},4,0\n", "mark (4, 0) at 1700000030.000 s lies outside the sensor data"),
        ("time,x,y\n1,0,0\n8,4,0\n", "add --from-start"),
        (f"time,x,y\n{START},0,0\n{START},4,0\n", "two marks at 1700000000.000 s: (0, 0) and (4, 0)"),
        (f"time,x,y\n{START},0,0\n", "1 reference position, at least 2"),
    ],
)
def test_marks_that_cannot_be_right_are_errors(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(RecordingError) as raised:
        survey(_bag(tmp_path), tmp_path / "out", SurveyOptions(landmarks=_marks(tmp_path, text)))
    assert said in str(raised.value)
    assert not (tmp_path / "out").exists()


def test_sensor_clock_that_is_off_is_named(tmp_path: Path) -> None:
    topics = Topics(imu="/other")
    bag = _bag(tmp_path, [_event(1, "door"), _event(9, "desk")], stamp_offset=-3600 * S)
    marks = _marks(tmp_path, "event,x,y\ndoor,0,0\ndesk,4,0\n")
    with pytest.raises(RecordingError, match=r"stamps are -3600\.0 s off the time of logging"):
        survey(bag, tmp_path / "out", SurveyOptions(landmarks=marks, events="/event", topics=topics))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (SurveyOptions(clicks="/place"), "/place is in frame 'odom', expected 'map'"),
        (SurveyOptions(clicks="/absent"), "no topic '/absent'; topics of geometry_msgs/msg/PointStamped: /place"),
        (
            SurveyOptions(poses="/place"),
            "/place is geometry_msgs/msg/PointStamped, expected geometry_msgs/msg/PoseStamped",
        ),
        (SurveyOptions(clicks="/place", events="/event"), "belong to --landmarks"),
        (SurveyOptions(clicks="/place", topics=Topics(mag="/m", imu="/i")), "none of the topics"),
    ],
)
def test_topics_that_do_not_fit_are_errors(tmp_path: Path, options: SurveyOptions, said: str) -> None:
    bag = _bag(tmp_path, _positions(POINT, [(1, 0, 0), (9, 4, 1)], frame="odom"))
    with pytest.raises(RecordingError) as raised:
        survey(bag, tmp_path / "out", options)
    assert said in str(raised.value)


def test_another_frame_can_be_the_map(tmp_path: Path) -> None:
    bag = _bag(tmp_path, _positions(POINT, [(1, 0, 0), (9, 4, 1)], frame="site"))
    assert survey(bag, tmp_path / "out", SurveyOptions(clicks="/place", frame="site")).references == 2
