"""What consecutive windows of MAIL have in common: which sub-sequences are complete, begun, or new."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
import numpy.typing as npt

from mail_localization.models.mail_settings import SubSequences

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Part:
    """How one scale's inputs come from the windows of a call and from the states kept before it."""

    rows: IntArray
    """(L, N) the steps to compute, among those of the windows laid end to end; behind a shorter one lie others."""
    lengths: npt.NDArray[np.int32]
    """(N,)."""
    origins: IntArray
    """(N,) rows of the kept states that they go on from; -1 is the state of zeros."""
    complete: IntArray
    """(K,) rows of the kept states of sub-sequences that are complete."""
    which: IntArray
    """(B, P) where each window's sub-sequences are among those computed followed by those complete."""
    kept: IntArray
    """(R + 1,) which are kept of the states computed followed by those kept before; the last is the state of zeros."""
    after: dict[int, tuple[int, int]]
    """Name of each sub-sequence kept -> its place in `kept`, and the steps done."""


@dataclass(frozen=True, eq=False)
class Plan:
    """What a call computes: it depends on how the windows lie to each other and to those before, not on the time."""

    parts: tuple[Part, ...]
    next: dict[tuple[int, ...], Plan]
    """The plans that came after this one, shared by all that keep the same: regular windows go round in them."""


_REMEMBERED, _FOLLOWERS = 16, 8
"""Plans whose followers are remembered, and followers of each: regular windows need a few, a plan takes some 100 kB."""


class Planner:
    """Work out what windows have in common.

    The name of a sub-sequence is how many rows before the end of the last window its first row lies.
    """

    def __init__(self, layout: SubSequences, stride: int) -> None:
        self._layout, self._stride, self._rows = layout, stride, layout.length * stride
        self._nothing = Plan((), {})
        self._futures: dict[tuple[Any, ...], dict[tuple[int, ...], Plan]] = {}

    def plan(self, before: Plan | None, ends: IntArray, advance: int, hop: int) -> Plan:
        """Return the plan for windows that end at `ends` (B,).

        Args:
            before: what the states kept are of; None: there are none.
            ends: ascending.
            advance: rows from the end of the last window before to that of the last of these.
            hop: rows to the end of the window that is to be expected next; 0: unknown.
        """
        if before is None or advance >= self._rows:
            # After a gap nothing is in common, and how long it was tells nothing of the next window.
            before, advance, hop = self._nothing, 0, hop if hop < self._rows else 0
        key = (*(ends - ends[-1]).tolist(), advance, hop)
        if key not in before.next:
            if len(before.next) >= _FOLLOWERS:
                before.next.clear()
            before.next[key] = self._made(before, ends, advance, hop)
        return before.next[key]

    def _made(self, before: Plan, ends: IntArray, advance: int, hop: int) -> Plan:
        lags = (ends[-1] - ends).tolist()
        kept = [part.after for part in before.parts] or [{}] * len(self._layout.scales)
        parts = tuple(self._part(m, known, lags, advance, hop) for m, known in enumerate(kept))
        if len(self._futures) >= _REMEMBERED:
            self._futures.clear()
        return Plan(parts, self._futures.setdefault(tuple(tuple(part.after.items()) for part in parts), {}))

    def _part(self, m: int, kept: dict[int, tuple[int, int]], lags: list[int], advance: int, hop: int) -> Part:
        length, starts, stride = self._layout.scales[m], self._layout.starts[m], self._stride
        known = {name + advance: place for name, place in kept.items()}
        # What the windows need: name -> window in which it lies, and steps to have been done.
        needed = [lag + self._rows - 1 - start * stride for lag in lags for start in starts]
        goals = {name: (k // len(starts), length) for k, name in enumerate(needed)}
        if hop and hop % stride == 0:
            # What the windows after these will end with has begun already.
            begun = range(length * stride - 1 - hop, -1, -hop)
            goals |= {name: (len(lags) - 1, (name + 1) // stride) for name in begun}
        new = [name for name, (_, goal) in goals.items() if known.get(name, (-1, 0))[1] < goal]
        complete = [name for name in goals if name not in set(new)]
        done = np.array([known.get(name, (-1, 0))[1] for name in new], dtype=np.int64)
        windows = np.array([goals[name][0] for name in new], dtype=np.int64)
        lengths = np.array([goals[name][1] for name in new], dtype=np.int64) - done
        firsts = (self._rows - 1 - np.array(new, dtype=np.int64) + np.array(lags)[windows]) // stride + done
        order = {name: k for k, name in enumerate([*new, *complete])}
        states = {name: (k, goals[name][1]) for k, name in enumerate(new)}
        states |= {name: (len(new) + row, steps) for name, (row, steps) in known.items() if name not in states}
        # The next window begins later than the last of these. In one order, so that regular windows soon repeat a plan.
        left = {name: states[name] for name in sorted(states) if name < self._rows - 1}
        steps = np.minimum(firsts + np.arange(lengths.max(initial=0))[:, None], self._layout.length - 1)
        return Part(
            windows * self._layout.length + steps,
            lengths.astype(np.int32),
            np.array([known.get(name, (-1, 0))[0] for name in new], dtype=np.int64),
            np.array([known[name][0] for name in complete], dtype=np.int64),
            np.array([order[name] for name in needed], dtype=np.int64).reshape(len(lags), len(starts)),
            np.array([*(row for row, _ in left.values()), -1], dtype=np.int64),
            {name: (row, steps) for row, (name, (_, steps)) in enumerate(left.items())},
        )


_PLANNERS: WeakValueDictionary[tuple[SubSequences, int], Planner] = WeakValueDictionary()


def planner(layout: SubSequences, stride: int) -> Planner:
    """Return the Planner of this layout: what one target's windows made it work out serves all others'."""
    found = _PLANNERS.get((layout, stride)) or Planner(layout, stride)
    _PLANNERS[layout, stride] = found
    return found
