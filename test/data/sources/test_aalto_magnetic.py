from __future__ import annotations

from pathlib import Path

import pytest

from mail_localization.data.sources.aalto_magnetic import find, name, read
from mail_localization.errors import RecordingError
from mail_localization.types import MagneticSample

TIME = "19.71\n19.73\n19.75\n"
MAG = "-2.7,-2.8,-39.8\n-2.6,-2.8,-39.8\n-2.5,-2.8,-39.8\n"
LOC = "0.26,-0.29\n0.27,-0.29\n0.28,-0.29\n"


def _write(tmp_path: Path, time: str = TIME, mag: str = MAG, loc: str = LOC) -> Path:
    folder = tmp_path / "invensense"
    folder.mkdir()
    for part, text in (("time", time), ("mag", mag), ("loc", loc)):
        (folder / f"3-{part}.csv").write_text(text)
    return folder / "3-mag.csv"


def test_units_times_and_references(tmp_path: Path) -> None:
    trace = read(_write(tmp_path))
    first = trace.samples[0]
    assert isinstance(first, MagneticSample)
    assert (first.t_ns, first.field) == (19_710_000_000, pytest.approx((-2.7e-6, -2.8e-6, -39.8e-6)))
    assert [(p.x, p.y) for p in trace.references] == [(0.26, -0.29), (0.27, -0.29), (0.28, -0.29)]
    assert trace.info.device == "invensense"
    assert not +trace.problems


def test_centimetres_are_recognised_by_the_size_of_the_room(tmp_path: Path) -> None:
    rows = range(1000)
    time, mag = ("".join(f"{text}\n" for text in texts) for texts in ((k * 0.02 for k in rows), ["1,2,40"] * 1000))
    loc = "".join(f"{0.4 * k:.1f},-29\n" for k in rows)
    trace = read(_write(tmp_path, time, mag, loc))
    assert trace.references[-1].x == pytest.approx(3.996)
    assert +trace.problems == {"positions in centimetres, converted to metres": 1}


def test_one_wild_position_does_not_change_the_unit(tmp_path: Path) -> None:
    rows = range(100)
    time, mag = ("".join(f"{text}\n" for text in texts) for texts in ((k * 0.02 for k in rows), ["1,2,40"] * 100))
    loc = "".join("426,0\n" if k == 50 else f"{k / 100},0\n" for k in rows)
    trace = read(_write(tmp_path, time, mag, loc))
    assert trace.references[-1].x == 0.99
    assert +trace.problems == {"reference faster than 5 m/s from and to its neighbours": 1}


def test_trial_is_found_and_named_once(tmp_path: Path) -> None:
    file = _write(tmp_path)
    assert find(tmp_path) == [file]
    assert name(file) == name(file.with_name("3-loc.csv")) == "invensense/trial_3"


def test_damaged_row_keeps_the_three_files_beside_each_other(tmp_path: Path) -> None:
    trace = read(_write(tmp_path, mag=MAG.replace("-2.6,-2.8", "-2.6")))
    assert [p.t_ns for p in trace.references] == [19_710_000_000, 19_750_000_000]
    assert +trace.problems == {"mag: damaged row": 1}


def test_truncated_file_shortens_the_others(tmp_path: Path) -> None:
    trace = read(_write(tmp_path, loc="0.26,-0.29\n0.27,-0.29\n4.2"))
    assert len(trace.samples) == 2
    assert +trace.problems == {
        "file ends inside a line": 1,
        "files of different length: surplus rows left out": 1,
    }


def test_missing_file_is_named(tmp_path: Path) -> None:
    file = _write(tmp_path)
    file.with_name("3-time.csv").unlink()
    with pytest.raises(RecordingError, match=r"missing file: 3-time\.csv"):
        read(file)
