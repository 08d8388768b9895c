"""Time stamps as sensors really send them: late, repeated, torn by gaps, and set back when a bag loops."""

from __future__ import annotations

import enum
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Step(enum.Enum):
    """How an admitted sample follows the one before it."""

    CONTINUOUS = enum.auto()
    GAP = enum.auto()
    """Later than `max_gap` after it: nothing can be interpolated between the two."""
    BACK = enum.auto()
    """The clock was set back (a bag loop, a restarted simulation): all that came before is of another time."""


class StampGate(Generic[Item]):
    """Admit the samples of one stream in the order of their stamps.

    A jump by more than `max_gap`, either way, counts only once a second sample confirms it: one wild stamp
    must not empty a window. What is refused is told by `verdict`: `duplicate`, `out_of_order` or `isolated`.
    """

    def __init__(self, max_gap_ns: int, max_late_ns: int | None = None) -> None:
        self._max_gap_ns = max_gap_ns
        # A slow stream's gaps are long, but no sample of it arrives that late.
        self._max_late_ns = max_gap_ns if max_late_ns is None else max_late_ns
        self.reset()

    def reset(self) -> None:
        """Forget the past: the next sample is the first."""
        self._newest_ns: int | None = None
        self._held: tuple[int, Item] | None = None
        self.verdict = ""

    def admit(self, t_ns: int, item: Item) -> list[tuple[Step, int, Item]]:
        """Return the samples this one lets through: none, itself, or with it one that was held back."""
        self.verdict = ""
        newest = self._newest_ns
        if newest is None:
            self._newest_ns = t_ns
            return [(Step.GAP, t_ns, item)]
        step = t_ns - newest
        if 0 < step <= self._max_gap_ns:
            if self._held is not None:
                self._held, self.verdict = None, "isolated"
            self._newest_ns = t_ns
            return [(Step.CONTINUOUS, t_ns, item)]
        if -self._max_late_ns <= step <= 0:
            self.verdict = "out_of_order" if step else "duplicate"
            return []
        return self._jump(t_ns, item)

    def _jump(self, t_ns: int, item: Item) -> list[tuple[Step, int, Item]]:
        held, self._held = self._held, (t_ns, item)
        if held is None:
            return []
        if not 0 < t_ns - held[0] <= self._max_gap_ns:
            self.verdict = "isolated"
            return []
        kind = Step.GAP if held[0] > (self._newest_ns or 0) else Step.BACK
        self._newest_ns, self._held = t_ns, None
        return [(kind, *held), (Step.CONTINUOUS, t_ns, item)]
