"""SIGINT and SIGTERM of a node's process."""

from __future__ import annotations

import signal
from typing import Any


class StopSignals:
    """End the process with 0, however many come.

    Installed before rclpy's handler, which calls it after it has shut the context down: that ends spin(), and
    an exception out of this one would tear the clean-up. Only while still starting does it leave at once.
    """

    def __init__(self) -> None:
        self.leave_at_once = True
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._handle)

    def ignore(self) -> None:
        """Ignore further signals: the interpreter is on its way out."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)

    def _handle(self, number: int, frame: Any) -> None:
        if self.leave_at_once:
            raise SystemExit(0)
