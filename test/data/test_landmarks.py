from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from mail_localization.data.landmarks import Landmark, read_landmarks, resolve_landmarks
from mail_localization.errors import RecordingError

S = 10**9


def _read(tmp_path: Path, text: str, name: str = "marks.csv") -> list[Landmark]:
    file = tmp_path / name
    file.write_text(text, encoding="utf-8")
    return read_landmarks(file)


def _content(landmarks: list[Landmark]) -> list[tuple[object, ...]]:
    return [(mark.time if mark.time is not None else mark.event, mark.x, mark.y, mark.z) for mark in landmarks]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("marks.csv", "time,x,y\n1700000000.123456789,1.5,-2\n5,3,4\n"),
        ("marks.csv", "\ufeffx, y, time, note\n1.5,-2,1700000000.123456789,door\n\n# rest\n3,4,5,desk\n"),
        ("marks.csv", "1700000000.123456789;1.5;-2\n5;3;4\n"),
        ("marks.yaml", "- {time: '1700000000.123456789', x: 1.5, y: -2}\n- {time: 5, x: 3, y: 4}\n"),
        ("marks.yml", "landmarks:\n- {time: '1700000000.123456789', x: 1.5, y: -2}\n- {time: 5, x: 3, y: 4}\n"),
    ],
)
def test_times_and_places_are_read(tmp_path: Path, name: str, text: str) -> None:
    assert _content(_read(tmp_path, text, name)) == [
        (Decimal("1700000000.123456789"), 1.5, -2, 0),
        (Decimal(5), 3, 4, 0),
    ]


def test_events_are_names_even_where_they_look_like_numbers(tmp_path: Path) -> None:
    assert _content(_read(tmp_path, "event,x,y,z\ndoor,1,2,3\n7,3,4,\n")) == [("door", 1, 2, 3), ("7", 3, 4, 0)]
    assert _content(_read(tmp_path, "door,1,2\ndesk,3,4\n")) == [("door", 1, 2, 0), ("desk", 3, 4, 0)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no landmarks"),
        ("time,x\n1,2\n", "columns time, x; expected columns"),
        ("time,x,y\n1,2,north\n", "line 2: y is 'north', expected metres"),
        ("time,x,y\n1,2\n", "line 2: y is '', expected metres"),
        ("time,x,y\n1,2,inf\n", "y is 'inf'"),
        ("time,x,y\n10:35,2,3\n", "time is '10:35', expected seconds"),
        ("time,x,y\n-4,2,3\n", "time is '-4'"),
        ("time,x,y\n1e999,2,3\n", "time is '1e999'"),
        ("time,event,x,y\n1,door,2,3\n", "both a time and an event"),
        ("time,event,x,y\n,,2,3\n", "neither time nor event"),
    ],
)
def test_bad_rows_are_named(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(RecordingError) as raised:
        _read(tmp_path, text)
    assert said in str(raised.value)
    assert "marks.csv" in str(raised.value)


@pytest.mark.parametrize("text", ["{", "7", "- 7", "other: []", "landmarks: 4"])
def test_yaml_of_another_shape_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(RecordingError, match=r"marks\.yaml"):
        _read(tmp_path, text, "marks.yaml")


def test_missing_and_binary_files_are_errors(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="cannot be read"):
        read_landmarks(tmp_path / "absent.csv")
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RecordingError, match="cannot be read"):
        read_landmarks(tmp_path / "binary.csv")


def test_times_count_from_1970_or_from_the_start() -> None:
    marks = [Landmark("row", 1, 2, time=Decimal("1.000000001"))]
    assert resolve_landmarks(marks, None, None)[0].t_ns == S + 1
    assert resolve_landmarks(marks, None, 5 * S)[0].t_ns == 6 * S + 1


def test_event_that_occurred_twice_was_passed_twice() -> None:
    marks = [Landmark("row 1", 1, 2, event="door"), Landmark("row 2", 3, 4, event="desk")]
    poses = resolve_landmarks(marks, {"door": [S, 9 * S], "desk": [5 * S]}, None)
    assert [(p.t_ns // S, p.x, p.y) for p in poses] == [(1, 1, 2), (9, 1, 2), (5, 3, 4)]


def test_unknown_event_lists_those_heard() -> None:
    with pytest.raises(RecordingError, match="'dor' is not in the bag; events there: desk, door"):
        resolve_landmarks([Landmark("row", 1, 2, event="dor")], {"door": [1], "desk": [2]}, None)


def test_events_without_a_topic_are_an_error() -> None:
    with pytest.raises(RecordingError, match="name it by --events"):
        resolve_landmarks([Landmark("row", 1, 2, event="door")], None, None)


def test_one_event_has_one_place() -> None:
    marks = [Landmark("row 1", 1, 2, event="door"), Landmark("row 2", 3, 4, event="door")]
    with pytest.raises(RecordingError, match=r"row 2.*has a place already \(row 1\)"):
        resolve_landmarks(marks, {"door": [1, 2]}, None)
