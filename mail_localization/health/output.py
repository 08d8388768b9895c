"""What comes out: whether the target is localized, and what that costs."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence

import numpy as np

from mail_localization.health.status import Finding, Level, Status, summed_up
from mail_localization.types import PoseEstimate

_KEPT = 1000
_LOOK = 10.0
_BUSY = 0.8
_LONG_WAIT = 10.0


class Output:
    """The newest estimate, and how long the last ones took."""

    def __init__(self, lost_after: float) -> None:
        self._lost_after = lost_after
        self._newest: tuple[float, PoseEstimate] | None = None
        self.count = 0
        """Computations so far."""
        self._runs: deque[tuple[float, float]] = deque(maxlen=_KEPT)
        self._started: float | None = None

    def add(self, seconds: float, estimate: PoseEstimate | None, now: float) -> None:
        """Take in a computation that took `seconds`, and the estimate published from it, if any."""
        self.count += 1
        self._runs.append((now, seconds))
        if estimate is not None:
            self._newest = now, estimate

    def state(self, missing: Sequence[str], silent: Sequence[str], fill: float, now: float) -> Status:
        """Tell the state: waiting for topics never heard, not localized, or localized; lost after all is an error."""
        if self._started is None:
            self._started = now
        values = {"window fill": f"{fill:.0%}"}
        if self._newest is not None:
            at, estimate = self._newest
            age = now - at
            values |= _described(estimate) | {"age of the estimate (s)": f"{age:.2f}"}
            if age <= self._lost_after:
                return Status("localization", Level.OK, "localized", values)
            why = f"nothing on {', '.join(silent)}" if silent else f"window {fill:.0%} full"
            text = f"lost: no estimate for {age:.1f} s ({why}); see the statuses of the sensors"
            return Status("localization", Level.ERROR, text, values)
        if missing:
            waited = now - self._started
            level = Level.ERROR if waited > _LONG_WAIT else Level.WARN
            text = f"not localized: waiting for {' and '.join(missing)}; start the driver, or remap the topic"
            return Status("localization", level, text, values)
        return Status("localization", Level.WARN, f"not localized: window {fill:.0%} full; keep moving", values)

    def inference(self, now: float) -> Status:
        """Tell how long the computations take, and warn where they take all there is."""
        if not self._runs:
            return Status("inference", Level.OK, "none yet", {})
        times = np.array([seconds for _, seconds in self._runs]) * 1e3
        recent = [seconds for at, seconds in self._runs if now - at <= _LOOK]
        busy = sum(recent) / min(_LOOK, max(now - (self._started or now), 1.0))
        p50, p99 = np.quantile(times, (0.5, 0.99))
        values = {
            "p50 (ms)": f"{p50:.2f}",
            "p99 (ms)": f"{p99:.2f}",
            "estimates/s": f"{len(recent) / _LOOK:.2f}",
            "share of one core": f"{busy:.0%}",
        }
        findings = []
        if busy > _BUSY:
            text = f"inference takes {busy:.0%} of the time: raise parameter hop, or train a smaller model"
            findings.append(Finding(Level.WARN, text))
        return summed_up("inference", findings, f"p50 {p50:.1f} ms, p99 {p99:.1f} ms", values)


def _described(estimate: PoseEstimate) -> dict[str, str]:
    x, y = estimate.position
    largest = float(np.linalg.eigvalsh(estimate.covariance)[-1])
    described = {"x (m)": f"{x:.2f}", "y (m)": f"{y:.2f}", "stddev (m)": f"{math.sqrt(max(largest, 0.0)):.2f}"}
    return described | ({"modes": str(len(estimate.modes))} if estimate.modes else {})
