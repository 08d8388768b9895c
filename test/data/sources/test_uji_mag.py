from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mail_localization.data.sources.common import Trace
from mail_localization.data.sources.uji_mag import ORIGIN, gravity_in_device, name, quaternions_of_android, read
from mail_localization.errors import RecordingError
from mail_localization.types import ImuSample, MagneticSample

START_MS = 1398239186600
# Stale first values, then each reading of field and orientation twice: 5 Hz in rows of 10 Hz.
FIELDS = [9, 9, 20, 20, 21, 21, 22, 22]
AZIMUTHS = [170, 170, 0, 0, 9, 9, 18, 18]
CORNERS = """<2>
39.9938 -0.0740 39.9938 -0.07399 0 4
39.9938 -0.07399 39.99381 -0.07399 5 8"""


def _rows() -> list[str]:
    return [
        f"{START_MS + 100 * k} {field} 0 -40 0.{k} 0 0 {azimuth} 0 0 "
        for k, (field, azimuth) in enumerate(zip(FIELDS, AZIMUTHS, strict=True))
    ]


def _read(tmp_path: Path, rows: list[str] | None = None, footer: str = CORNERS) -> Trace:
    file = tmp_path / "l5n_02.txt"
    file.write_text("\n".join([*(rows or _rows()), footer]))
    return read(file)


def _fields(trace: Trace) -> list[MagneticSample]:
    return [s for s in trace.samples if isinstance(s, MagneticSample)]


def test_only_changes_are_readings(tmp_path: Path) -> None:
    trace = _read(tmp_path)
    assert [s.t_ns // 10**6 - START_MS for s in _fields(trace)] == [200, 400, 600]
    assert _fields(trace)[0].field == pytest.approx((20e-6, 0, -40e-6))
    assert not +trace.problems


def test_gravity_is_added_back_and_turns_become_rates(tmp_path: Path) -> None:
    imu = [s for s in _read(tmp_path).samples if isinstance(s, ImuSample)]
    assert [s.t_ns // 10**6 - START_MS for s in imu] == [200, 300, 400, 500, 600, 700]
    assert imu[0].acceleration == pytest.approx((0.2, 0, 9.80665))
    # The azimuth grows clockwise by 9 degrees in 0.2 s: a negative turn about the upward axis.
    assert imu[0].angular_velocity == pytest.approx((0, 0, -np.radians(45)), abs=1e-9)
    half = np.radians(-4.5) / 2
    assert imu[1].orientation == pytest.approx((0, 0, np.sin(half), np.cos(half)), abs=1e-4)


def test_corners_become_metres_at_the_times_of_their_rows(tmp_path: Path) -> None:
    trace = _read(tmp_path)
    times = [p.t_ns // 10**6 - START_MS for p in trace.references]
    # Row 8 is one past the end: the last corner is at the last row.
    assert times == [0, 400, 700]
    assert [p.x for p in trace.references] == pytest.approx([0, 0.854, 0.854], abs=0.001)
    assert [p.y for p in trace.references] == pytest.approx([0, 0, 1.110], abs=0.001)
    assert trace.info.origin_lat_lon == ORIGIN


def test_phone_tilted_up_feels_gravity_along_its_long_axis() -> None:
    # Android: the pitch is negative when the top edge is lifted; the roll is positive when the left edge is.
    q = quaternions_of_android(np.array([[77.0, -90, 0], [12.0, 0, 90], [0, 0, 0]]))
    assert gravity_in_device(q) / 9.80665 == pytest.approx(np.array([[0, 1, 0], [-1, 0, 0], [0, 0, 1]]), abs=1e-12)


def test_azimuth_points_the_long_axis_east() -> None:
    (q,) = quaternions_of_android(np.array([[90.0, 0, 0]]))
    # A turn of -90 degrees about up takes the device's y (north) to x (east).
    assert q == pytest.approx((0, 0, -np.sqrt(0.5), np.sqrt(0.5)))


def test_paths_are_named_by_kind_and_corridor() -> None:
    assert name(Path("uji/lines/c5/l5n_02.txt")) == "lines/c5/l5n_02"
    assert name(Path("x/l5n_02.txt")) == "l5n_02"


def test_number_glued_to_the_footer_is_no_row(tmp_path: Path) -> None:
    trace = _read(tmp_path, footer="49" + CORNERS)
    assert len(trace.references) == 3
    assert not +trace.problems


def test_damaged_row_keeps_the_numbers_of_the_others(tmp_path: Path) -> None:
    rows = _rows()
    rows[3] = rows[3].replace("-40", "-4o")
    rows[1] = "1398"
    trace = _read(tmp_path, rows)
    assert [p.t_ns // 10**6 - START_MS for p in trace.references] == [0, 400, 700]
    assert +trace.problems == {"row: unreadable number": 1, "row: wrong number of fields": 1}


@pytest.mark.parametrize(
    ("footer", "kind"),
    [
        ("", "corner lines missing: file truncated"),
        (CORNERS[: CORNERS.rindex("\n")], "corner lines missing: file truncated"),
        (CORNERS.replace(" 5 8", " 5 80"), "corner line: damaged"),
        (CORNERS.replace(" 5 8", " 5"), "corner line: damaged"),
        (CORNERS.replace("39.99381", "139"), "corner line: damaged"),
    ],
)
def test_damaged_corners_are_counted(tmp_path: Path, footer: str, kind: str) -> None:
    trace = _read(tmp_path, footer=footer)
    assert trace.problems[kind] == 1
    assert len(_fields(trace)) == 3


def test_orientation_that_never_changes_is_missing(tmp_path: Path) -> None:
    rows = [" ".join([*row.split()[:7], "5 0 0"]) for row in _rows()]
    trace = _read(tmp_path, rows)
    assert len(_fields(trace)) == len(trace.samples) == 3
    assert +trace.problems == {"missing sensor: orientation": 1}


def test_file_without_data_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match=r"l5n_02\.txt: no usable data"):
        _read(tmp_path, ["hello"])
