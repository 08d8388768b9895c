"""A localizer that is told the position, and a drive round a square with odometry: for tests of joining the two."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
from surveys import SECOND_NS, START_NS
from walks import SQUARE, place_at

from mail_localization.estimator import Estimator
from mail_localization.motion.planar import PlanarTransform
from mail_localization.types import MagneticSample, OdometrySample, PoseEstimate, Sample

MAP_T_ODOM = PlanarTransform(3.0, -2.0, 0.7)
ALIAS = np.array([25.0, -30.0])


class Beacon(Estimator):
    """A Localizer whose samples hold the position: what is aided is not the matter here."""

    method, inputs = "beacon", frozenset({"mag"})

    def __init__(self, stddev: float = 5.0) -> None:
        super().__init__()
        self.state(stddev)
        self._counters: Counter[str] = Counter()
        self.started: list[float] = []

    @property
    def counters(self) -> Counter[str]:
        return self._counters

    def state(self, stddev: float) -> None:
        """State that standard deviation from now on, m per axis."""
        self._covariance = stddev**2 * np.eye(2)

    def _reset(self) -> None:
        pass

    def start_at(self, t_ns: int, position: np.ndarray, stddev: float) -> None:
        self.started = position.tolist()

    def _take(self, sample: Sample) -> PoseEstimate:
        return PoseEstimate(sample.t_ns, np.array(sample.field[:2]), self._covariance)


def truth(seconds: float, speed: float = 0.8) -> PlanarTransform:
    return PlanarTransform(*place_at(SQUARE * 5, speed * seconds))


def drive(
    seconds: float = 60.0, aliases: float = 0.3, noise: float = 0.3, start_ns: int = START_NS, seed: int = 0,
    map_T_odom: PlanarTransform = MAP_T_ODOM, since: float = 0.0, shift: np.ndarray | float = 0.0,
) -> list[Sample]:  # fmt: skip
    """Odometry at 10 Hz and positions at 2 Hz, a share of them aliases tens of metres away."""
    rng = np.random.default_rng(seed)
    odom_T_map, samples = map_T_odom.inverse(), []
    for k in range(round(since * 10), round((since + seconds) * 10)):
        t_ns, pose = start_ns + k * SECOND_NS // 10, truth(k / 10)
        odom = odom_T_map @ pose
        samples.append(OdometrySample(t_ns, odom.x, odom.y, odom.yaw))
        if k % 5 == 0:
            told = np.array([pose.x, pose.y]) + noise * rng.normal(size=2) + shift
            told = told + (ALIAS + 5 * rng.normal(size=2) if rng.random() < aliases else 0.0)
            samples.append(MagneticSample(t_ns, (*told.tolist(), 0.0)))
    return samples


def run(localizer: Estimator, samples: list[Sample]) -> list[PoseEstimate]:
    return [estimate for sample in samples if (estimate := localizer.add(sample)) is not None]


def errors(estimates: list[PoseEstimate], start_ns: int = START_NS) -> np.ndarray:
    true = [truth((e.t_ns - start_ns) * 1e-9) for e in estimates]
    return np.array([math.dist(e.position, (t.x, t.y)) for e, t in zip(estimates, true, strict=True)])
