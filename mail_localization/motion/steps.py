"""Steps of a walking person, found sample by sample in the strength of the acceleration."""

from __future__ import annotations

import math
from dataclasses import dataclass

from mail_localization.config import Settings, setting
from mail_localization.types import Vector3

GRAVITY = 9.80665


class StepSettings(Settings):
    """When a swing of the acceleration is a step."""

    cutoff_hz: float = setting(3.0, "low-pass of the acceleration: no one makes more steps a second, Hz", minimum=1.0)
    min_swing: float = setting(0.8, "least rise from valley to peak of a step, m/s^2", minimum=0.05, maximum=10.0)
    swing_ratio: float = setting(
        0.4, "least rise as a share of the recent steps' (a phone in the hand bounces twice)", minimum=0.0, maximum=0.9
    )
    min_interval: float = setting(0.33, "least time between two steps, s", minimum=0.1, maximum=1.0)
    max_interval: float = setting(1.4, "longest time between two steps of one walk, s", minimum=0.3, maximum=5.0)
    confirm: int = setting(
        3, "steps in a row that make a walk; they are counted together, a single swing is not", minimum=1, maximum=10
    )


@dataclass(frozen=True, slots=True)
class Step:
    """One step, as the acceleration shows it."""

    t_ns: int
    """Stamp at which it was recognised."""
    swing: float
    """Rise from the lowest to the highest acceleration of the step, m/s^2 (a_max - a_min of Weinberg)."""
    heading: tuple[float, float] | None
    """Mean direction during the step (x, y), of any length; None where it is unknown."""


class StepDetector:
    """Find steps in uniformly sampled acceleration: a peak that rises far enough above the valley before it.

    Works on |a| less its slow mean, which holds for any attitude. Where gravity was taken out of the acceleration,
    |a| folds the swing over; then the component along the axis of the strongest motion is used.
    """

    def __init__(self, settings: StepSettings, rate_hz: float) -> None:
        self._settings = settings
        self._dt = 1.0 / rate_hz
        self._low_pass = _LowPass(min(settings.cutoff_hz, 0.45 * rate_hz), rate_hz)
        self._strength = _Strength(self._dt)
        self.reset()

    def reset(self) -> None:
        """Forget the walk; the next sample is the first."""
        self._low_pass.reset()
        self._strength.reset()
        self._time = 0.0
        self._rising = True
        self._high = self._low = 0.0
        self._valley = 0.0
        self._typical = 0.0
        self._last_peak = -math.inf
        self._direction = [0.0, 0.0, 0]
        self._pending: list[Step] = []
        self._walking = False

    def add(self, t_ns: int, acceleration: Vector3, heading: tuple[float, float] | None) -> list[Step]:
        """Feed one row (m/s^2 in the sensor frame; direction of the attitude, if known); return the steps it ends."""
        self._time += self._dt
        if heading is not None:
            self._direction[0] += heading[0]
            self._direction[1] += heading[1]
            self._direction[2] += 1
        if self._time - self._last_peak > self._settings.max_interval:
            self._stop()
        value = self._low_pass(self._strength(acceleration))
        swing = self._swing(value)
        if swing is None:
            return []
        return self._counted(Step(t_ns, swing, self._taken_direction()))

    def _swing(self, value: float) -> float | None:
        """Follow the signal from turn to turn; return the rise of a peak once the signal has fallen from it."""
        least = max(self._settings.min_swing, self._settings.swing_ratio * self._typical)
        if self._rising:
            self._high = max(self._high, value)
            # Half the rise is enough to tell a peak: waiting for all of it would delay every step.
            if value < self._high - 0.5 * least:
                self._rising, self._low = False, value
                return self._peak(self._high - self._valley, least)
        else:
            self._low = min(self._low, value)
            if value > self._low + 0.5 * least:
                self._rising, self._high, self._valley = True, value, self._low
        return None

    def _peak(self, swing: float, least: float) -> float | None:
        if swing < least or self._time - self._last_peak < self._settings.min_interval:
            return None
        self._typical = swing if self._typical == 0.0 else 0.7 * self._typical + 0.3 * swing
        self._last_peak = self._time
        return swing

    def _counted(self, step: Step) -> list[Step]:
        """Hold back the first steps of a walk until there are enough of them."""
        if self._walking:
            return [step]
        self._pending.append(step)
        if len(self._pending) < self._settings.confirm:
            return []
        self._walking, counted, self._pending = True, self._pending, []
        return counted

    def _stop(self) -> None:
        self._walking, self._typical = False, 0.0
        self._pending.clear()

    def _taken_direction(self) -> tuple[float, float] | None:
        x, y, count = self._direction
        self._direction = [0.0, 0.0, 0]
        return (x, y) if count else None


def weinberg_length(swing: float, k: float) -> float:
    """Return the step length K (a_max - a_min)^(1/4) in m (Weinberg, Analog Devices AN-602, 2002)."""
    return k * math.sqrt(math.sqrt(max(swing, 0.0)))


class _Strength:
    """Acceleration as one number that swings once a step, m/s^2."""

    def __init__(self, dt: float, time_constant: float = 1.5) -> None:
        self._gain = min(dt / time_constant, 1.0)
        self.reset()

    def reset(self) -> None:
        self._mean: list[float] | None = None
        self._norm = 0.0
        self._axis = [0.0, 0.0, 1.0]
        self._spread = [[0.0] * 3 for _ in range(3)]

    def __call__(self, acceleration: Vector3) -> float:
        norm = math.hypot(*acceleration)
        if self._mean is None:
            self._mean, self._norm = list(acceleration), norm
        g = self._gain
        self._norm += g * (norm - self._norm)
        self._mean = [m + g * (a - m) for m, a in zip(self._mean, acceleration, strict=True)]
        # At rest an accelerometer reads g; half of it, on average over a second and more, means it was taken out.
        if self._norm > 0.5 * GRAVITY:
            return norm - self._norm
        return self._along_axis([a - m for a, m in zip(acceleration, self._mean, strict=True)])

    def _along_axis(self, deviation: list[float]) -> float:
        """Project on the axis of strongest motion: one power iteration a sample on the running covariance."""
        g = self._gain
        for i in range(3):
            for j in range(3):
                self._spread[i][j] += g * (deviation[i] * deviation[j] - self._spread[i][j])
        turned = [sum(row[j] * self._axis[j] for j in range(3)) for row in self._spread]
        norm = math.hypot(*turned)
        if norm > 1e-9:
            self._axis = [component / norm for component in turned]
        x, y, z = self._axis
        return x * deviation[0] + y * deviation[1] + z * deviation[2]


class _LowPass:
    """Second-order Butterworth low-pass (bilinear transform), sample by sample."""

    def __init__(self, cutoff_hz: float, rate_hz: float) -> None:
        k = math.tan(math.pi * cutoff_hz / rate_hz)
        norm = 1.0 / (1.0 + math.sqrt(2.0) * k + k * k)
        self._b = k * k * norm
        self._a1 = 2.0 * (k * k - 1.0) * norm
        self._a2 = (1.0 - math.sqrt(2.0) * k + k * k) * norm
        self.reset()

    def reset(self) -> None:
        self._x1 = self._x2 = self._y1 = self._y2 = 0.0

    def __call__(self, x: float) -> float:
        y = self._b * (x + 2.0 * self._x1 + self._x2) - self._a1 * self._y1 - self._a2 * self._y2
        self._x2, self._x1 = self._x1, x
        self._y2, self._y1 = self._y1, y
        return y
