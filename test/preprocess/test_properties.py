"""Properties of stamps, clock and windows that hold for any stream of samples."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mail_localization.preprocess.clock import Row, UniformClock
from mail_localization.preprocess.stamps import StampGate, Step
from mail_localization.preprocess.windows import SlidingWindow, segments

PERIOD, GAP, BACKLOG = 20, 500, 40
START = 1_000_000

wild = st.integers(-(2**63), 2**63 - 1) | st.integers(START - 2000, START + 2000)
numbers = st.floats(-1e-3, 1e-3) | st.sampled_from([math.nan, math.inf, -math.inf])
steps = st.lists(st.integers(1, GAP), min_size=1, max_size=60)
many = settings(max_examples=200, deadline=None)


def clock(streams: int = 1) -> UniformClock:
    return UniformClock(PERIOD, GAP, {f"s{k}": 1 for k in range(streams)}, BACKLOG)


def regular(count: int, step: int = PERIOD) -> list[tuple[int, float]]:
    return [(START + k * step, float(k)) for k in range(count)]


def rows_of(samples: list[tuple[int, float]]) -> list[Row]:
    ours = clock()
    return [row for t, value in samples for row in ours.add("s0", t, (value,))]


@many
@given(st.lists(wild, max_size=80))
def test_gate_accounts_for_every_sample(stamps: list[int]) -> None:
    gate: StampGate[int] = StampGate(GAP)
    refused, admitted = 0, []
    for k, t in enumerate(stamps):
        admitted += gate.admit(t, k)
        refused += bool(gate.verdict)
    # At the most one sample is still held back, as a jump that nothing has confirmed yet.
    assert len(admitted) + refused in (len(stamps), len(stamps) - 1)
    items = [item for _, _, item in admitted]
    assert items == sorted(set(items))
    for (_, before, _), (step, t, _) in itertools.pairwise(admitted):
        assert (step is Step.CONTINUOUS) == (0 < t - before <= GAP)
        assert (step is Step.BACK) == (t < before)


@many
@given(st.lists(st.tuples(st.integers(0, 1), wild, numbers), max_size=100))
def test_clock_gives_ascending_finite_rows_for_any_samples(samples: list[tuple[int, int, float]]) -> None:
    ours = clock(streams=2)
    index: int | None = None
    backs = 0
    for stream, t, value in samples:
        for row in ours.add(f"s{stream}", t, (value,)):
            now = ours.counters["s0.clock_set_back"] + ours.counters["s1.clock_set_back"]
            assert index is None or row.index > index or now > backs
            index, backs = row.index, now
            assert all(map(math.isfinite, row.values))
            assert len(row.values) == 2
    assert sum(ours.counters.values()) <= 2 * len(samples)


@many
@given(steps)
def test_rows_are_the_linear_interpolation_without_a_hole(gaps: list[int]) -> None:
    stamps = np.cumsum([START, *gaps])
    values = np.sin(stamps / 97.0)
    rows = rows_of(list(zip(stamps.tolist(), values.tolist(), strict=True)))
    expected = np.arange(-(-stamps[0] // PERIOD), stamps[-1] // PERIOD + 1)
    assert [row.index for row in rows] == expected.tolist()
    np.testing.assert_allclose([row.values[0] for row in rows], np.interp(expected * PERIOD, stamps, values), atol=1e-9)
    # A row is stamped with the first sample at or after its instant.
    assert all(row.t_ns == stamps[np.searchsorted(stamps, row.index * PERIOD)] for row in rows)


@many
@given(st.integers(2, 40), st.data(), wild, numbers)
def test_single_wild_sample_changes_no_row(count: int, data: st.DataObject, t: int, value: float) -> None:
    samples = regular(count)
    at = data.draw(st.integers(1, count))
    # Within the gap it is an ordinary sample, and changes what is interpolated around it.
    if any(abs(t - stamp) <= GAP for stamp in (samples[0][0], samples[-1][0])) or samples[0][0] < t < samples[-1][0]:
        t = START + 10 * GAP + count * PERIOD
    assert rows_of([*samples[:at], (t, value), *samples[at:]]) == rows_of(samples)


@many
@given(st.integers(2, 60), st.data())
def test_late_and_repeated_samples_change_no_row(count: int, data: st.DataObject) -> None:
    samples = regular(count)
    torn = list(samples)
    for at in sorted(data.draw(st.lists(st.integers(1, count - 1), max_size=10)), reverse=True):
        # By less than the longest gap; from further back the clock would have been set back.
        late = data.draw(st.integers(max(0, at - GAP // PERIOD), at - 1))
        torn.insert(at, (samples[late][0], -1.0))
    assert rows_of(torn) == rows_of(samples)


@many
@given(st.integers(2, 40), st.integers(-(10**12), 10**12))
def test_rows_move_with_the_clock(count: int, periods: int) -> None:
    """No absolute time is special: not 1970, not what comes before it."""
    there = rows_of([(t + periods * PERIOD, value) for t, value in regular(count, 33)])
    here = rows_of(regular(count, 33))
    assert [row.index - periods for row in there] == [row.index for row in here]
    np.testing.assert_allclose([row.values for row in there], [row.values for row in here], atol=1e-9)


@many
@given(st.integers(1, 40), st.integers(2, 40))
def test_stream_set_back_goes_on_at_the_new_time(before: int, after: int) -> None:
    """A bag that loops gives the same rows again, in both directions of the jump."""
    far = 100 * GAP + (before + after) * PERIOD
    for jump in (-far, far):
        moved = [(t + jump, value) for t, value in regular(after)]
        rows = rows_of([*regular(before), *moved])
        assert rows[-len(rows_of(moved)) :] == rows_of(moved)
        assert len(rows) == len(rows_of(regular(before))) + len(rows_of(moved))


@st.composite
def streams_of_rows(draw: st.DrawFn) -> list[Row]:
    """Runs of consecutive rows with holes between them."""
    index, rows = draw(st.integers(-1000, 1000)), []
    for length, hole in draw(st.lists(st.tuples(st.integers(1, 30), st.integers(2, 50)), max_size=6)):
        rows += [Row(k, k * PERIOD + 3, (float(k),)) for k in range(index, index + length)]
        index += length + hole
    return rows


@many
@given(streams_of_rows(), st.integers(1, 12), st.integers(1, 9))
def test_windows_are_whole_due_and_the_same_offline(rows: list[Row], length: int, hop: int) -> None:
    window = SlidingWindow(length, hop, 1)
    live = [w for row in rows if (w := window.push(row)) is not None]
    ends = [w.rows[-1, 0] for w in live]
    assert all(end % hop == 0 for end in ends)
    for w in live:
        assert w.rows[:, 0].tolist() == [w.rows[-1, 0] - length + 1 + k for k in range(length)]
        assert w.t_ns == w.rows[-1, 0] * PERIOD + 3
    offline = [run.first_index + stop - 1 for run in segments(rows) for stop in run.window_ends(length, hop)]
    assert ends == offline
    assert len(ends) == len(list(_due(rows, length, hop)))


def _due(rows: list[Row], length: int, hop: int) -> Iterator[int]:
    """Say it once more, slowly: an instant is due if it and the `length` - 1 before it are there."""
    there = {row.index for row in rows}
    for k in sorted(there):
        if k % hop == 0 and all(k - back in there for back in range(length)):
            yield k
