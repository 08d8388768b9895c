"""Messages of one access point each, gathered into scans."""

from __future__ import annotations

import dataclasses

from mail_localization.types import WifiReading, WifiScan

MAX_RESULTS = 4096
"""Access points a scan may have; where a sender claims more, something else is meant."""


class ScanAccumulator:
    """Gather what is heard within a span of time; of each access point the newest level counts."""

    def __init__(self, span: float) -> None:
        """Take the span in seconds."""
        self._span_ns = round(span * 1e9)
        self._heard: dict[str, tuple[int, WifiReading]] = {}
        self._first_ns = self._received_ns = 0
        self._open = False

    def add(self, scan: WifiScan, received_ns: int) -> list[WifiScan]:
        """Add what one message heard; return the scan before it where that one is complete."""
        # A clock set back ends a scan too: its two halves are of different times.
        full = len(self._heard) + len(scan.readings) > MAX_RESULTS
        complete = self._take() if self._open and (full or abs(scan.t_ns - self._first_ns) >= self._span_ns) else []
        if not self._open:
            self._open, self._first_ns, self._received_ns = True, scan.t_ns, received_ns
        for reading in scan.readings:
            self._heard[reading.bssid] = (scan.t_ns, reading)
        return complete

    def flush(self, now_ns: int) -> list[WifiScan]:
        """Return the scan whose first message was received a span before `now_ns`, or after it (clock set back)."""
        due = self._open and not 0 <= now_ns - self._received_ns < self._span_ns
        return self._take() if due else []

    def _take(self) -> list[WifiScan]:
        newest_ns = max((t_ns for t_ns, _ in self._heard.values()), default=self._first_ns)
        readings = tuple(
            dataclasses.replace(reading, age=reading.age + (newest_ns - t_ns) * 1e-9)
            for t_ns, reading in self._heard.values()
        )
        self._heard, self._open = {}, False
        return [WifiScan(newest_ns, readings)]
