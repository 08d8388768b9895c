"""Which estimates may correct a pose that motion leads on, and by how much."""

from __future__ import annotations

import math
from collections import Counter, deque

import numpy as np

from mail_localization.calibration import Calibration
from mail_localization.config import Settings, setting
from mail_localization.motion.planar import PlanarTransform
from mail_localization.motion.pose_filter import PoseFilter
from mail_localization.types import FloatArray, PoseEstimate

_MEDIAN = 1.386
"""Median of chi-square with 2 degrees of freedom."""
_RATIOS, _SEEDED = 40, 20
_LEAST_STDDEV, _MOST_SCALE = 0.2, 4.0
_STANDING = 10.0
"""So many times longer do estimates err alike where the target stands: its window hears the same again."""
_STEP = 0.4
"""On less way than this, m, estimates say nothing new of how well they agree with the motion."""
_USUAL_SPEED = 1.0
"""m/s: a window of some time is one of some way."""
_DOUBT, _TURN_DOUBT = 0.5, 0.02
"""What each estimate refused adds to the deviations while lost (in squares), m and rad."""
_SURPRISE = 2.0
"""Deviations from the expected error beyond which an estimate errs anew: those before do not tell its error."""
_LASTING = 0.84
"""Share of the usual error that may not fade within a walk: of the survey, the device, the place."""
_VARYING = 0.7
"""Share of it that changes along a walk at least, and so may turn an alignment."""
_LEAST_WEIGHT = 0.01
_FARTHEST = 1e7


class CorrectionSettings(Settings):
    """How estimates correct the pose."""

    gate: float = setting(
        3.72, "refuse an estimate beyond this many standard deviations (unsquared Mahalanobis distance)", minimum=1.0
    )
    correlation_time: float = setting(
        5.0, "estimates within this time err alike, s: together they weigh as one", minimum=0.0
    )
    lost_after: int = setting(20, "estimates looked at to tell whether the pose is lost", minimum=5, maximum=1000)
    lost_share: float = setting(0.3, "lost where a smaller share of them is accepted", minimum=0.0, maximum=1.0)


class Corrector:
    """Weigh estimates against the pose they should correct."""

    def __init__(
        self, settings: CorrectionSettings, counters: Counter[str], calibration: Calibration | None = None
    ) -> None:
        self._settings = settings
        self._correlation_time = settings.correlation_time
        self._least_scale = 0.0
        if calibration is not None:
            self._correlation_time = max(self._correlation_time, calibration.correlation_time)
            self._least_scale = calibration.steady
        self._counters = counters
        self._accepted: deque[bool] = deque(maxlen=settings.lost_after)
        self._ratios: deque[float] = deque(maxlen=_RATIOS)
        self.reset()

    @property
    def lost(self) -> bool:
        """Whether most of the newest estimates contradict the motion."""
        full = len(self._accepted) == self._accepted.maxlen
        return full and sum(self._accepted) < self._settings.lost_share * len(self._accepted)

    def reset(self) -> None:
        """Forget all estimates."""
        self._accepted.clear()
        self._ratios.clear()
        self._usual = 1.0
        self.lasting = np.zeros((2, 2))
        """(2, 2) m^2: what the estimates err by and no number of them averages out."""
        self.tear()

    def tear(self) -> None:
        """Forget where the odometry was: it goes on from another origin."""
        self._seen: tuple[int, PlanarTransform] | None = None
        self._judged: PlanarTransform | None = None

    def begin(self, stddev: float, covariance: FloatArray) -> None:
        """Start anew, knowing the usual error per axis, m, of estimates that state a covariance (2, 2)."""
        self.reset()
        self._usual = _ratio(stddev**2, covariance)
        self._ratios.extend([_MEDIAN * self._usual] * _SEEDED)

    def varying(self, covariance: FloatArray) -> float:
        """Return the least error per axis, m, that changes along a walk, of estimates with a covariance (2, 2)."""
        steady = 0.5 * self._least_scale * float(np.trace(covariance))
        return max(_VARYING * math.sqrt(steady), _LEAST_STDDEV)

    def weigh(self, pose: PoseFilter, estimate: PoseEstimate, odom: PlanarTransform) -> None:
        """Correct the pose by an estimate of where the odometry was at `odom`, or refuse it."""
        predicted, spread = pose.predict(odom)
        mean, stated = _likeliest(estimate, predicted, spread)
        off = mean - predicted
        # Where the target stands, an estimate repeated is no further evidence.
        moved = self._judged is None or math.hypot(odom.x - self._judged.x, odom.y - self._judged.y) > _STEP
        if moved:
            self._judged = odom
            self._ratios.append(_ratio(float(off @ off), stated))
        # A stated covariance is mostly that of rare gross errors: the usual error is what motion shows.
        covariance = stated * self._scale(stated)
        self.lasting = _LASTING**2 * covariance
        pose.fade(self._kept(estimate.t_ns, odom), covariance)
        self._seen = estimate.t_ns, odom
        accepted = float(off @ np.linalg.solve(spread + covariance, off)) < self._settings.gate**2
        if moved:
            self._accepted.append(accepted)
        if accepted:
            if pose.surprise(odom, mean, covariance) > _SURPRISE:
                pose.fade(0.0, covariance)
            pose.correct(odom, mean, covariance)
            return
        self._counters["pose.contradicts_motion"] += 1
        if self.lost:
            pose.doubt(_DOUBT, _TURN_DOUBT)

    def _scale(self, covariance: FloatArray) -> float:
        """Return the factor that makes a stated covariance (2, 2) that of the usual error."""
        typical = float(np.median(self._ratios)) / _MEDIAN
        least = max(self._least_scale, _ratio(_LEAST_STDDEV**2, covariance))
        return max(min(typical, _MOST_SCALE * self._usual), least)

    def _kept(self, t_ns: int, odom: PlanarTransform) -> float:
        """Return the share of the last estimate's error that this one repeats."""
        if self._seen is None or self._correlation_time == 0.0:
            return 0.0
        seconds = max((t_ns - self._seen[0]) * 1e-9, 0.0)
        way = math.hypot(odom.x - self._seen[1].x, odom.y - self._seen[1].y)
        aged = max(min(way / _USUAL_SPEED, seconds), seconds / _STANDING)
        return math.exp(-aged / self._correlation_time)


def sound(position: FloatArray, covariance: FloatArray) -> bool:
    """Tell whether a position (2,) and its covariance (2, 2) can be computed with."""
    if not (np.isfinite(position).all() and np.isfinite(covariance).all() and np.abs(position).max() < _FARTHEST):
        return False
    return bool(covariance[0, 0] > 0 and covariance[1, 1] > 0 and np.linalg.det(covariance) > 0)


def _ratio(square: float, covariance: FloatArray) -> float:
    """Return a squared distance, m^2, in units of a covariance's mean variance."""
    return 2 * square / float(np.trace(covariance))


def _likeliest(estimate: PoseEstimate, predicted: FloatArray, spread: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return mean (2,) and covariance (2, 2) of the mode that motion favours; an improbable one says less."""
    best, most = (estimate.position, estimate.covariance), -math.inf
    for mode in estimate.modes:
        if not (_LEAST_WEIGHT < mode.weight <= 1.0 and sound(mode.mean, mode.covariance)):
            continue
        total, off = spread + mode.covariance, mode.mean - predicted
        likely = math.log(mode.weight) - 0.5 * float(off @ np.linalg.solve(total, off))
        likely -= 0.5 * math.log(float(np.linalg.det(total)))
        if likely > most:
            best, most = (mode.mean, mode.covariance / mode.weight), likely
    return best
