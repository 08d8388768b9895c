"""The time of a sample: the message's stamp, or its reception where the stamp cannot be meant."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from mail_localization.ros.settings import TargetSettings

_NEAR_NS = 60_000_000_000
"""Stamps no further from the node's clock are of that clock: an overloaded node lags by its queue, 10 s and more."""
_RECENT_NS = 5_000_000_000
"""A stream has current stamps if it had one within this time."""
_RUN = 3
"""Messages in a row that show a foreign clock: one wild stamp is left to the localizer's gates, which refuse it."""


class Stamping:
    """Decide the time of each sample and count what is replaced or refused.

    `auto` keeps the stamp of a stream as long as all streams are of one clock, be that clock far from the node's (a
    bag played without /clock). Where one stream's stamps stay far from the node's clock while another's are current,
    the former counts from the boot of its sensor, say: it is taken at its reception.
    """

    def __init__(self, settings: Callable[[], TargetSettings], problems: Counter[str]) -> None:
        self._settings, self._problems = settings, problems
        self._current: dict[str, tuple[int, int]] = {}
        """Stream -> reception and stamp of its newest sample with a current stamp, ns."""
        self._far: dict[str, tuple[int, int]] = {}
        """Stream -> messages in a row whose stamps are far from now, and the reception of the first, ns."""

    def reset(self) -> None:
        """Forget which streams are current, as after a jump of the clock."""
        self._current.clear()
        self._far.clear()

    def resolve(self, stream: str, stamp_ns: int, now_ns: int, stamped: bool = True) -> int:
        """Return the time of a sample, ns, or 0 where it has none or comes too late.

        Args:
            stream: mag, imu, wifi or odom.
            stamp_ns: the message's stamp, 0 where it has none.
            now_ns: the node's clock at reception, 0 while it waits for /clock.
            stamped: whether messages of this type carry a stamp, so that a zero is a fault.
        """
        settings = self._settings()
        if stamp_ns <= 0 and stamped:
            self._problems[f"{stream}.zero_stamp"] += 1
        if settings.stamp_source == "receive" or (stamp_ns <= 0 and (settings.stamp_source == "auto" or not stamped)):
            return self._reception(stream, now_ns)
        if stamp_ns <= 0:
            return 0
        if settings.stamp_source == "auto" and now_ns and self._foreign(stream, stamp_ns, now_ns):
            self._problems[f"{stream}.foreign_stamp"] += 1
            return now_ns
        oldest = round(settings.max_sensor_age * 1e9)
        # What is older still is not late but of another time, as when a bag is played without /clock.
        if oldest and now_ns and oldest < now_ns - stamp_ns <= max(_NEAR_NS, oldest):
            self._problems[f"{stream}.late"] += 1
            return 0
        return stamp_ns

    def _reception(self, stream: str, now_ns: int) -> int:
        if now_ns == 0:
            self._problems[f"{stream}.dropped_before_clock"] += 1
        return now_ns

    def _foreign(self, stream: str, stamp_ns: int, now_ns: int) -> bool:
        """Tell whether a stream is of another clock than the rest."""
        if abs(now_ns - stamp_ns) <= _NEAR_NS:
            self._current[stream] = now_ns, stamp_ns
            self._far.pop(stream, None)
            return False
        run, since_ns = self._far.get(stream, (0, now_ns))
        self._far[stream] = run + 1, since_ns
        # Another must have been current since: where all streams step at once, none is. Nor does it tell anything
        # where their stamps agree: all recede from the clock alike while the node lags behind a fast replay.
        return run + 1 >= _RUN and any(
            at_ns >= max(since_ns, now_ns - _RECENT_NS) and abs(stamp_ns - other_ns) > _NEAR_NS
            for name, (at_ns, other_ns) in self._current.items()
            if name != stream
        )
