from __future__ import annotations

import numpy as np

from mail_localization.preprocess.clock import Row
from mail_localization.preprocess.windows import SlidingWindow, segments


def rows(*indices: int) -> list[Row]:
    return [Row(k, k * 10 + 5, (float(k), float(-k))) for k in indices]


def test_window_is_due_where_the_index_is_a_multiple_of_the_hop() -> None:
    window = SlidingWindow(length=4, hop=3, width=2)
    due = [w for row in rows(*range(1, 14)) if (w := window.push(row))]
    assert [w.t_ns for w in due] == [65, 95, 125]
    np.testing.assert_array_equal(due[0].rows[:, 0], [3, 4, 5, 6])
    np.testing.assert_array_equal(due[2].rows, [[9, -9], [10, -10], [11, -11], [12, -12]])


def test_missing_row_starts_the_window_anew() -> None:
    window = SlidingWindow(length=3, hop=1, width=2)
    ends = [w.rows[-1, 0] for row in rows(1, 2, 3, 5, 6, 7, 8) if (w := window.push(row))]
    assert ends == [3, 7, 8]
    assert window.fill == 1.0


def test_windows_of_segments_are_those_of_the_stream() -> None:
    stream = rows(*range(7, 31), *range(40, 60))
    window = SlidingWindow(length=5, hop=4, width=2)
    live = [w for row in stream if (w := window.push(row))]
    sliced = [
        (segment.t_ns[stop - 1], segment.rows[stop - 5 : stop])
        for segment in segments(stream)
        for stop in segment.window_ends(5, 4)
    ]
    assert [t for t, _ in sliced] == [w.t_ns for w in live]
    for (_, part), w in zip(sliced, live, strict=True):
        np.testing.assert_array_equal(part, w.rows)
