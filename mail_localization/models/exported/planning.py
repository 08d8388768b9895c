"""What consecutive windows of MAIL have in common: which sub-sequences are complete, begun, or new."""

from __future__ import annotations

from dataclasses import dataclass
from weakref import WeakValueDictionary

import numpy as np
import numpy.typing as npt

from mail_localization.models.exported.sharing import shared
from mail_localization.models.mail_settings import SubSequences

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Known:
    """The sub-sequences of one scale whose states are kept, in the order of their places there."""

    names: IntArray
    """(R,) ascending: how many rows before the end of the last window the first row of each lies."""
    done: IntArray
    """(R,) steps done."""


@dataclass(frozen=True, eq=False)
class Run:
    """How one run of the network takes its inputs from the windows of a call and from the states kept before it.

    Sub-sequences of all scales follow each other, by scale.
    """

    shapes: npt.NDArray[np.uintp]
    """(M, 2) steps L and sub-sequences N to compute, of each scale."""
    rows: IntArray
    """(sum of L * N,) those steps among those of the windows laid end to end; behind a shorter one lie others."""
    lengths: npt.NDArray[np.int32]
    """(sum of N,)."""
    origins: IntArray
    """(sum of N,) rows of the kept states that they go on from; -1 is the state of zeros."""
    complete: IntArray
    """(K,) rows of the kept states of sub-sequences that are complete."""
    which: IntArray
    """(B, P) where each window's sub-sequences are among those computed followed by those complete; B may be 0."""
    kept: IntArray
    """(R + 1,) which are kept of the states computed followed by those kept before; the last is the state of zeros."""
    after: tuple[Known, ...]
    """What is kept then, of each scale."""


@dataclass(frozen=True, eq=False)
class Plan:
    """What a call computes: it depends on how the windows lie to each other and to those before, not on the time."""

    runs: tuple[Run, ...]
    """Only the last gives positions. One before it makes up for what earlier windows did not begin."""
    state: bytes
    """What is kept, for comparison."""


@dataclass(frozen=True, eq=False)
class _Goals:
    """The sub-sequences of one scale that windows need or that later windows will need; arrays are (G,)."""

    names: IntArray
    """Ascending."""
    steps: IntArray
    """Steps to have been done of each."""
    windows: IntArray
    """A window that each lies in."""
    needed: IntArray
    """(B, P) numbers of those that the windows need."""


@dataclass(frozen=True, eq=False)
class _Part:
    """One scale's part of a Run; numbers of states are among its own."""

    rows: IntArray
    """(L, N)."""
    lengths: IntArray
    origins: IntArray
    complete: IntArray
    which: IntArray
    kept: IntArray
    """(R,)."""
    before: int
    """States kept before."""
    after: Known


_REMEMBERED = 64
"""Plans, of some 50 kB: regular windows come to need the same few."""
_WORTH = 500
"""Steps of a GRU that take as long as one more run."""


class Planner:
    """Work out what windows have in common."""

    def __init__(self, layout: SubSequences, stride: int) -> None:
        self._layout, self._stride, self._rows = layout, stride, layout.length * stride
        nobody = np.zeros(0, dtype=np.int64)
        self._nothing = (Known(nobody, nobody),) * len(layout.scales)
        # Each is found again by what it depends on.
        self._plans: dict[tuple[bytes, tuple[int, ...], int, int], Plan] = {}

    def plan(self, before: Plan | None, ends: IntArray, advance: int, hop: int) -> Plan:
        """Return the plan for windows that end at `ends` (B,).

        Args:
            before: what the states kept are of; None: there are none.
            ends: ascending.
            advance: rows from the end of the last window before to that of the last of these.
            hop: rows that the ends of windows lie apart, or a part of them; 0: unknown.
        """
        if advance >= self._rows:
            # After a gap nothing is in common, however long it was.
            before, advance = None, 0
        key = (b"" if before is None else before.state, tuple((ends[-1] - ends).tolist()), advance, hop)
        plan = self._plans.pop(key, None)
        if plan is None:
            known = self._nothing if before is None else before.runs[-1].after
            plan = self._made(known, ends[-1] - ends, advance, hop)
        self._plans[key] = plan
        if len(self._plans) > _REMEMBERED:
            del self._plans[next(iter(self._plans))]
        return plan

    def _made(self, known: tuple[Known, ...], lags: IntArray, advance: int, hop: int) -> Plan:
        known = tuple(Known(each.names + advance, each.done) for each in known)
        goals = [self._goals(m, each, lags, advance, hop) for m, each in enumerate(known)]
        # A network computes as many steps of all its sub-sequences as the longest has: few long ones come first.
        limit = advance // self._stride
        late = [_lengths(each, before) > limit for each, before in zip(goals, known, strict=True)]
        saved = sum(_padding(_lengths(goals[m], known[m]), late[m]) for m in range(len(goals)))
        runs = []
        if saved > _WORTH:
            runs.append(_run([self._part(*these, lags) for these in zip(goals, known, late, strict=True)]))
            known = runs[0].after
        runs.append(_run([self._part(each, before, None, lags) for each, before in zip(goals, known, strict=True)]))
        kept = runs[-1].after
        return Plan(tuple(runs), b"".join(array.tobytes() for each in kept for array in (each.names, -each.done)))

    def _goals(self, m: int, known: Known, lags: IntArray, advance: int, hop: int) -> _Goals:
        length, stride = self._layout.scales[m], self._stride
        starts = lags[:, None] + self._rows - 1 - np.array(self._layout.starts[m]) * stride  # (B, P)
        needed, firsts, inverse = np.unique(starts, return_index=True, return_inverse=True)
        begun = np.zeros(0, dtype=np.int64)
        if hop and hop % stride == 0:
            # What later windows will end with: it begins with these, or has begun.
            begun = np.arange((length * stride - 1) % hop, length * stride - 1, hop)
            begun = begun[(begun < advance + lags[0]) | _places(known, begun)[0]]
        return _Goals(
            np.concatenate([begun, needed]),
            np.concatenate([(begun + 1) // stride, np.full(len(needed), length)]),
            np.concatenate([np.full(len(begun), len(lags) - 1), firsts // starts.shape[1]]),
            len(begun) + inverse.reshape(starts.shape),
        )

    def _part(self, goals: _Goals, known: Known, late: npt.NDArray[np.bool_] | None, lags: IntArray) -> _Part:
        """Plan one run, that of the `late` ones among the goals alone, or the last."""
        done, places = _done(goals, known)
        new = done < goals.steps if late is None else late
        complete = ~new if late is None else np.zeros_like(new)
        order = np.zeros(len(new), dtype=np.int64)
        order[new], order[complete] = np.arange(new.sum()), max(new.sum(), 1) + np.arange(complete.sum())
        steps, windows = done[new], goals.windows[new]
        firsts = (self._rows - 1 - goals.names[new] + lags[windows]) // self._stride + steps
        lengths = goals.steps[new] - steps
        offsets = np.arange(lengths.max(initial=0))[:, None]
        rows = windows * self._layout.length + np.minimum(firsts + offsets, self._layout.length - 1)
        origins = places[new]
        if not new.any():
            # ONNX Runtime's GRU ends the process where it is given no sequence.
            rows, lengths, origins = np.zeros((1, 1), np.int64), np.ones(1, np.int64), np.array([-1])
        after, kept = _left(goals, known, new, self._rows - 1 if late is None else None)
        which = order[goals.needed] if late is None else np.zeros((0, goals.needed.shape[1]), dtype=np.int64)
        return _Part(rows, lengths, origins, places[complete], which, kept, len(known.names), after)


def _run(parts: list[_Part]) -> Run:
    """Lay the scales' parts end to end."""
    new_at = np.cumsum([0, *(len(part.origins) for part in parts)])
    complete_at = np.cumsum([0, *(len(part.complete) for part in parts)])
    before_at = np.cumsum([0, *(part.before for part in parts)])
    origins, complete, which, kept = [], [], [], []
    for m, part in enumerate(parts):
        new = len(part.origins)
        origins.append(_moved(part.origins, 0, 0, before_at[m]))
        complete.append(part.complete + before_at[m])
        which.append(_moved(part.which, new, new_at[m], new_at[-1] + complete_at[m]))
        kept.append(_moved(part.kept, new, new_at[m], new_at[-1] + before_at[m]))
    return Run(
        np.array([part.rows.shape for part in parts], dtype=np.uintp),
        np.concatenate([part.rows.ravel() for part in parts]),
        np.concatenate([part.lengths for part in parts]).astype(np.int32),
        np.concatenate(origins),
        np.concatenate(complete),
        np.concatenate(which, axis=1),
        np.concatenate([*kept, [-1]]),
        tuple(part.after for part in parts),
    )


def _moved(numbers: IntArray, count: int, first: int, second: int) -> IntArray:
    """Number anew: those below `count` from `first` on, the others from `second` on; -1 stays."""
    return np.where(numbers < 0, -1, numbers + np.where(numbers < count, first, second - count))


def _left(goals: _Goals, known: Known, new: npt.NDArray[np.bool_], stop: int | None) -> tuple[Known, IntArray]:
    """Return what is kept after a run that computed the `new`, and where it lies (_Part.kept).

    No later window has a sub-sequence of which the name is `stop` or above.
    """
    old = np.ones(len(known.names), dtype=np.bool_)
    old[_places(known, goals.names[new])[1]] = False
    names = np.concatenate([goals.names[new], known.names[old]])
    done = np.concatenate([goals.steps[new], known.done[old]])
    places = np.concatenate([np.arange(new.sum()), max(new.sum(), 1) + np.flatnonzero(old)])
    order = np.argsort(names)
    order = order[: None if stop is None else np.searchsorted(names, stop, sorter=order)]
    return Known(names[order], done[order]), places[order]


def _places(known: Known, names: IntArray) -> tuple[npt.NDArray[np.bool_], IntArray]:
    """Return which of the names are known, and the places of those that are."""
    nearest = np.searchsorted(known.names, names)
    found = np.append(known.names, -1)[nearest] == names
    return found, nearest[found]


def _done(goals: _Goals, known: Known) -> tuple[IntArray, IntArray]:
    """Return the steps that are done of each goal, and its place among those known, or -1."""
    found, nearest = _places(known, goals.names)
    done, places = np.zeros_like(goals.names), np.full_like(goals.names, -1)
    done[found], places[found] = known.done[nearest], nearest
    return done, places


def _lengths(goals: _Goals, known: Known) -> IntArray:
    """Return the steps that are left of each goal."""
    return goals.steps - _done(goals, known)[0]


def _padding(lengths: IntArray, late: npt.NDArray[np.bool_]) -> int:
    """Return how many steps a run of the `late` ones by themselves saves the others."""
    others = lengths[~late & (lengths > 0)]
    longest = int(lengths.max(initial=0))
    return len(others) * (longest - int(others.max(initial=0))) if late.any() else 0


_PLANNERS: WeakValueDictionary[tuple[SubSequences, int], Planner] = WeakValueDictionary()


def planner(layout: SubSequences, stride: int) -> Planner:
    """Return the Planner of this layout: what one target's windows made it work out serves all others'."""
    return shared(_PLANNERS, (layout, stride), lambda: Planner(layout, stride))
