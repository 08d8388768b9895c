from __future__ import annotations

from pathlib import Path

import numpy as np

from mail_localization.data.sources.common import (
    Problems,
    Stream,
    in_time_order,
    numbers,
    read_lines,
    stream,
    usable_samples,
)
from mail_localization.types import MagneticSample


def _rows(*seconds: float) -> Stream:
    t_ns = np.array([round(s * 1e9) for s in seconds], dtype=np.int64)
    return Stream(t_ns, np.arange(len(seconds), dtype=np.float64)[:, None])


def _kept(rows: Stream) -> list[int]:
    return [int(row) for row in rows.values[:, 0]]


def test_lines_split_at_newlines_only(tmp_path: Path) -> None:
    file = tmp_path / "log.txt"
    file.write_text("net\u2028work\x0b\r\nnext\n", encoding="utf-8", newline="")
    assert read_lines(file, Problems()) == ["net\u2028work\x0b", "next"]


def test_unended_last_line_is_left_out_and_counted(tmp_path: Path) -> None:
    file = tmp_path / "log.txt"
    file.write_text("1;2\n3;")
    problems = Problems()
    assert read_lines(file, problems) == ["1;2"]
    assert problems == {"file ends inside a line": 1}
    assert read_lines(file, Problems(), terminated=False) == ["1;2", "3;"]


def test_bytes_that_are_no_text_are_read_as_damage(tmp_path: Path) -> None:
    file = tmp_path / "log.txt"
    file.write_bytes(b"\xff\xfe\x00\n1\n")
    assert read_lines(file, Problems())[1] == "1"


def test_rows_with_unreadable_or_infinite_numbers_are_counted() -> None:
    problems = Problems()
    table = numbers(
        [["1", "2"], ["x", "2"], ["inf", "2"], ["nan", "2"], ["1e300", "2"], ["3", "4"]], 2, problems, "MAGN"
    )
    assert table.tolist() == [[1, 2], [3, 4]]
    assert problems == {"MAGN: unreadable number": 4}


def test_rows_in_order_are_untouched() -> None:
    rows, problems = _rows(1, 2, 3), Problems()
    assert in_time_order(rows, problems, "MAGN") is rows
    assert not problems


def test_one_wild_stamp_costs_one_row() -> None:
    problems = Problems()
    assert _kept(in_time_order(_rows(1, 2, 90, 3, 4, 5), problems, "MAGN")) == [0, 1, 3, 4, 5]
    assert +problems == {"MAGN: time going backwards": 1}


def test_clock_jump_keeps_the_longer_part() -> None:
    problems = Problems()
    assert _kept(in_time_order(_rows(10, 11, 3, 4, 5), problems, "MAGN")) == [2, 3, 4]
    assert +problems == {"MAGN: time going backwards": 2}


def test_repeated_stamps_are_kept_once() -> None:
    problems = Problems()
    assert len(in_time_order(_rows(1, 2, 2, 3), problems, "MAGN")) == 3
    assert +problems == {"MAGN: repeated time": 1}


def test_sample_far_ahead_is_cut_off() -> None:
    problems = Problems()
    samples = [MagneticSample(second * 10**9, (0, 0, 0)) for second in (10_000, 1, 2, 3)]
    kept = usable_samples(Path("log"), samples, problems, "rows")
    assert [sample.t_ns // 10**9 for sample in kept] == [1, 2, 3]
    assert problems == {"sample cut off from the rest by more than 10 min": 1}


def test_impossible_times_are_counted() -> None:
    problems = Problems()
    seconds = np.array([1.0, -5.0, 1e300])
    assert stream(seconds, np.zeros((3, 1)), problems, "MAGN").t_ns.tolist() == [1_000_000_000]
    assert problems == {"MAGN: time out of range": 2}


def test_milliseconds_since_1970_stay_exact() -> None:
    seconds = np.array([1574308587207]) * 1e-3
    assert stream(seconds, np.zeros((1, 1)), Problems(), "row").t_ns.tolist() == [1574308587207000000]
