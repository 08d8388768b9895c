"""How the messages of one stream arrive: rate, age, delay."""

from __future__ import annotations

import math
from collections import deque

from mail_localization.health.status import Finding, Level

_RATE_SECONDS = 5.0
_SLOW = 0.5
"""Share of the survey's rate below which windows have holes."""
_BEHIND = 0.5
_AHEAD = -0.1


class Arrivals:
    """Count the messages of a stream; rates are told from looks about a second apart."""

    def __init__(self, silent_after: float, expected_hz: float | None) -> None:
        self._silent_after = silent_after
        self._expected_hz = expected_hz
        self.count = 0
        self._newest = math.nan
        self._looks: deque[tuple[float, int]] = deque()
        self._delays = _Range()
        self._told = _Range()
        self._told_at = -math.inf

    def add(self, delay_s: float, now: float) -> None:
        """Count a message that arrived now, `delay_s` after its stamp."""
        self.count += 1
        self._newest = now
        self._delays.add(delay_s)

    def look(self, now: float) -> None:
        """Take the count down; called before `findings` and `values` of the same instant."""
        self._looks.append((now, self.count))
        while len(self._looks) > 2 and now - self._looks[1][0] >= _RATE_SECONDS:
            self._looks.popleft()
        # Two looks at once would leave the second without a delay.
        if now - self._told_at >= 0.5 and self._delays.count:
            self._told, self._delays, self._told_at = self._delays, _Range(), now

    @property
    def seen(self) -> bool:
        """Whether anything ever came."""
        return self.count > 0

    def age(self, now: float) -> float:
        """Time since the newest message, s; NaN before the first."""
        return now - self._newest

    def silent(self, now: float) -> bool:
        """Whether messages came, and no longer do."""
        return self.age(now) > self._silent_after

    @property
    def rate_hz(self) -> float:
        """Messages per second over the last seconds; NaN before two looks."""
        (first, before), (last, after) = self._looks[0], self._looks[-1]
        return (after - before) / (last - first) if last > first else math.nan

    def findings(self, topic: str, now: float) -> list[Finding]:
        """Judge the arrivals on a topic."""
        if self.silent(now):
            text = f"nothing on {topic} for {self.age(now):.1f} s: look at the driver, and at `ros2 topic hz {topic}`"
            return [Finding(Level.STALE, text)]
        found = []
        if self._expected_hz and self.rate_hz < _SLOW * self._expected_hz and self._full():
            text = f"{self.rate_hz:.3g} messages/s on {topic}, the survey had {self._expected_hz:.3g}: raise the"
            found.append(Finding(Level.WARN, f"{text} driver's rate, or look for losses on the way (bandwidth, load)"))
        if self._told.count and self._told.mean > _BEHIND:
            text = f"stamps on {topic} are {self._told.mean:.1f} s behind: synchronise the clocks (chrony), look for a"
            found.append(Finding(Level.WARN, f"{text} slow driver, or set parameter stamp_source to receive"))
        if self._told.count and self._told.mean < _AHEAD:
            text = f"stamps on {topic} are {-self._told.mean:.1f} s in the future: synchronise the clocks (chrony)"
            found.append(Finding(Level.WARN, f"{text}, or set parameter stamp_source to receive"))
        return found

    def values(self, now: float) -> dict[str, str]:
        """Return the figures."""
        values = {"messages": str(self.count), "rate (Hz)": f"{self.rate_hz:.3g}", "age (s)": f"{self.age(now):.2f}"}
        if self._told.count:
            values["delay mean (s)"] = f"{self._told.mean:.3f}"
            values["delay min to max (s)"] = f"{self._told.low:.3f} to {self._told.high:.3f}"
        return values

    def _full(self) -> bool:
        """Tell whether the rate was watched long enough: slow streams come in lumps."""
        least = max(_RATE_SECONDS, 5.0 / (self._expected_hz or 1.0))
        return self._looks[-1][0] - self._looks[0][0] >= 0.9 * least


class _Range:
    """Mean and bounds of numbers."""

    def __init__(self) -> None:
        self.count = 0
        self.low, self.high, self._total = math.inf, -math.inf, 0.0

    def add(self, value: float) -> None:
        if math.isfinite(value):
            self.count += 1
            self._total += value
            self.low, self.high = min(self.low, value), max(self.high, value)

    @property
    def mean(self) -> float:
        return self._total / self.count
