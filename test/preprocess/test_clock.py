from __future__ import annotations

import math

import numpy as np

from mail_localization.preprocess.clock import Row, UniformClock

PERIOD = 20_000_000


def clock(**streams: int) -> UniformClock:
    return UniformClock(PERIOD, 500_000_000, streams or {"mag": 1}, backlog=100)


def test_rows_lie_on_multiples_of_the_period_and_interpolate_linearly() -> None:
    c = clock()
    assert c.add("mag", 10_000_000, (0.0,)) == []
    assert c.add("mag", 50_000_000, (4.0,)) == [Row(1, 50_000_000, (1.0,)), Row(2, 50_000_000, (3.0,))]
    assert c.add("mag", 60_000_000, (5.0,)) == [Row(3, 60_000_000, (5.0,))]


def test_resampling_equals_numpy_interpolation_for_irregular_stamps() -> None:
    rng = np.random.default_rng(3)
    t = np.cumsum(rng.integers(1_000_000, 90_000_000, 400))
    x = rng.normal(size=400)
    c = clock()
    rows = [row for t_ns, value in zip(t, x, strict=True) for row in c.add("mag", int(t_ns), (float(value),))]
    instants = np.array([row.index * PERIOD for row in rows])
    np.testing.assert_allclose([row.values[0] for row in rows], np.interp(instants, t, x), rtol=0, atol=1e-9)
    assert np.all(np.diff([row.index for row in rows]) == 1)
    assert all(row.t_ns >= row.index * PERIOD for row in rows)


def test_rows_do_not_depend_on_when_listening_began() -> None:
    samples = [(17_000_000 * k, (math.sin(k),)) for k in range(1, 300)]
    whole = clock()
    late = clock()
    rows = [row for t, v in samples for row in whole.add("mag", t, v)]
    tail = [row for t, v in samples[100:] for row in late.add("mag", t, v)]
    assert tail == rows[-len(tail) :]


def test_streams_wait_for_each_other_whatever_the_order_of_arrival() -> None:
    mag = [("mag", 20_000_000 * k, (float(k),)) for k in range(1, 8)]
    up = [("up", 15_000_000 * k, (float(-k),)) for k in range(1, 10)]
    by_time = clock(mag=1, up=1)
    one_after_other = clock(mag=1, up=1)
    rows = [row for event in sorted(mag + up, key=lambda e: e[1]) for row in by_time.add(*event)]
    assert rows == [row for event in mag + up for row in one_after_other.add(*event)]
    # The up stream begins at 15 ms and ends at 135 ms: instants 20 .. 120 ms.
    assert [row.index for row in rows] == [1, 2, 3, 4, 5, 6]
    # At 20 ms the magnetometer has its own sample; the newest used is the up sample at 30 ms.
    assert rows[0].t_ns == 30_000_000
    np.testing.assert_allclose(rows[0].values, (1.0, -4 / 3))


def test_long_gap_is_not_bridged() -> None:
    c = clock()
    stamps = [k * PERIOD for k in (1, 2, 60, 61)]
    assert [row.index for t in stamps for row in c.add("mag", t, (0.0,))] == [1, 2, 60, 61]
    assert c.counters == {"mag.gap": 1}


def test_clock_set_back_drops_what_other_streams_hold() -> None:
    c = clock(mag=1, up=1)
    for k in range(100, 110):
        c.add("mag", k * PERIOD, (1.0,))
    for k in range(10, 13):
        c.add("mag", k * PERIOD, (2.0,))
    rows = [row for k in range(10, 13) for row in c.add("up", k * PERIOD, (0.0,))]
    assert [(row.index, row.values) for row in rows] == [(k, (2.0, 0.0)) for k in (10, 11, 12)]
    assert c.counters == {"mag.clock_set_back": 1}


def test_values_that_are_not_finite_are_refused_and_counted() -> None:
    c = clock()
    for value in (math.nan, math.inf, -math.inf):
        assert c.add("mag", PERIOD, (value,)) == []
    assert c.counters == {"mag.non_finite": 3}


def test_rows_that_wait_in_vain_for_another_stream_are_counted() -> None:
    clock = UniformClock(10, 100, {"a": 1, "b": 1}, backlog=5)
    for k in range(9):
        clock.add("a", 10 * k, (0.0,))
    assert clock.counters == {"a.unpaired": 4}
    assert [row.index for k in range(9) for row in clock.add("b", 10 * k, (0.0,))] == [4, 5, 6, 7, 8]
