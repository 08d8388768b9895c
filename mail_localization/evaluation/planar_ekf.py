"""What robot_localization would make of our poses: odometry's speeds and a method's positions in an ekf_node, planar.

The rules are those of its documentation and behaviour: constant speeds between messages, speeds measured by
odometry, a pose refused when the *unsquared* Mahalanobis distance of its innovation reaches the rejection threshold,
values that are not finite left out of a measurement, negative variances taken as positive, those below 1e-9 raised.
"""

from __future__ import annotations

import math
from collections import Counter

import numpy as np

from mail_localization.config import Settings, setting
from mail_localization.estimator import STREAMS, Estimator
from mail_localization.localizer import Localizer
from mail_localization.motion.odometry_path import OdometryPath
from mail_localization.motion.planar import PlanarTransform, wrapped
from mail_localization.types import FloatArray, OdometrySample, PoseEstimate, Sample

X, Y, YAW, VX, VY, VYAW = range(6)
_LEAST_VARIANCE = 1e-9
_MEMORY, _MAX_SPEED = 10.0, 10.0


class EkfSettings(Settings):
    """The part of an ekf_node's parameters that matters here; defaults are those of config/ekf_map.yaml."""

    process_noise: tuple[float, ...] = setting(
        (0.05, 0.05, 0.01, 0.5, 0.1, 0.2), "variances of x, y, yaw, vx, vy, vyaw per second", minimum=0.0
    )
    initial_covariance: tuple[float, ...] = setting(
        (1e4, 1e4, 10.0, 1.0, 1.0, 1.0), "variances at the start, in the same order", minimum=0.0
    )
    twist_stddev: tuple[float, ...] = setting((0.05, 0.05, 0.02), "of the odometry's vx, vy, vyaw", minimum=0.0)
    rejection_threshold: float = setting(4.03, "unsquared Mahalanobis distance at which a pose is refused", minimum=0.0)
    covariance_scale: float = setting(
        10.0, "factor on the poses' covariances: several poses within their errors' correlation time are one", minimum=0
    )
    need_heading: bool = setting(False, "leave out poses without heading: those before the node's alignment")


class PlanarEkf:
    """State (x, y, yaw, vx, vy, vyaw): pose in `map`, speeds in the base's axes."""

    def __init__(self, settings: EkfSettings) -> None:
        self._noise = np.diag(settings.process_noise)
        self.state = np.zeros(6)
        self.covariance = np.diag(settings.initial_covariance).astype(np.float64)

    def predict(self, seconds: float) -> None:
        """Go on at the present speeds."""
        cosine, sine = math.cos(self.state[YAW]), math.sin(self.state[YAW])
        vx, vy, vyaw = self.state[VX:].tolist()
        step = np.array([cosine * vx - sine * vy, sine * vx + cosine * vy, vyaw]) * seconds
        jacobian = np.eye(6)
        jacobian[X, YAW], jacobian[Y, YAW] = -step[1], step[0]
        jacobian[X, [VX, VY]] = cosine * seconds, -sine * seconds
        jacobian[Y, [VX, VY]] = sine * seconds, cosine * seconds
        jacobian[YAW, VYAW] = seconds
        self.state[:VX] += step
        self.state[YAW] = wrapped(float(self.state[YAW]))
        self.covariance = jacobian @ self.covariance @ jacobian.T + seconds * self._noise

    def correct(self, indices: tuple[int, ...], values: FloatArray, covariance: FloatArray, threshold: float) -> bool:
        """Take values (n,) with their covariance (n, n) of the state's members; return whether they pass the gate."""
        finite = [k for k, value in enumerate(values.tolist()) if math.isfinite(value)]
        members = [indices[k] for k in finite]
        noise = covariance[np.ix_(finite, finite)].astype(np.float64)
        variances = np.maximum(np.abs(np.diag(noise)), _LEAST_VARIANCE)
        noise[np.diag_indices(len(finite))] = variances
        innovation = values[finite] - self.state[members]
        if YAW in members:
            at = members.index(YAW)
            innovation[at] = wrapped(float(innovation[at]))
        seen = np.eye(6)[members]
        inverse = np.linalg.inv(seen @ self.covariance @ seen.T + noise)
        if not members or math.sqrt(max(float(innovation @ inverse @ innovation), 0.0)) >= threshold:
            return False
        gain = self.covariance @ seen.T @ inverse
        self.state += gain @ innovation
        self.state[YAW] = wrapped(float(self.state[YAW]))
        left = np.eye(6) - gain @ seen
        self.covariance = left @ self.covariance @ left.T + gain @ noise @ gain.T
        return True


class EkfFused(Estimator):
    """A Localizer whose estimates go through a PlanarEkf together with odometry; only the fused pose comes out."""

    def __init__(self, inner: Localizer, settings: EkfSettings | None = None) -> None:
        super().__init__()
        self.settings = settings or EkfSettings()
        self.method = inner.method
        self.inputs = inner.inputs | {"odom"}
        self._inner = inner
        self._own: Counter[str] = Counter()
        self._path = OdometryPath(_MEMORY, _MAX_SPEED, self._own)
        self._begin()

    @property
    def counters(self) -> Counter[str]:
        """What was refused, by `STREAM.REASON`; poses beyond the threshold as `pose.rejected`."""
        return self._inner.counters | self._own

    def _reset(self) -> None:
        self._inner.reset()
        self._path.reset()
        self._begin()

    def _begin(self) -> None:
        self._ekf = PlanarEkf(self.settings)
        self._newest: tuple[int, PlanarTransform] | None = None
        self._localized = False

    def _take(self, sample: Sample) -> PoseEstimate | None:
        fused = self._drive(sample) if isinstance(sample, OdometrySample) else None
        if STREAMS[type(sample)] not in self._inner.inputs:
            return fused
        estimate = self._inner.add(sample)
        return fused if estimate is None else self._fuse(estimate)

    def _drive(self, sample: OdometrySample) -> PoseEstimate | None:
        for advance in self._path.add(sample):
            if advance.anew:
                self._begin()
            elif self._newest is not None and not advance.torn:
                self._measure_speeds(advance.t_ns, advance.pose)
            self._newest = advance.t_ns, advance.pose
        return self._fused() if self._localized else None

    def _measure_speeds(self, t_ns: int, pose: PlanarTransform) -> None:
        assert self._newest is not None
        seconds = (t_ns - self._newest[0]) * 1e-9
        step = self._newest[1].inverse() @ pose
        self._ekf.predict(seconds)
        speeds = np.array([step.x, step.y, step.yaw]) / seconds
        noise = np.diag(np.square(self.settings.twist_stddev))
        self._ekf.correct((VX, VY, VYAW), speeds, noise, math.inf)

    def _fuse(self, estimate: PoseEstimate) -> PoseEstimate | None:
        if self._newest is None:
            return estimate
        members: tuple[int, ...] = (X, Y)
        values, covariance = estimate.position, estimate.covariance * self.settings.covariance_scale
        if estimate.yaw is None and self.settings.need_heading:
            return estimate
        if estimate.yaw is not None and estimate.yaw_stddev is not None:
            members, values = (X, Y, YAW), np.append(values, estimate.yaw)
            position, covariance = covariance, np.diag([0.0, 0.0, estimate.yaw_stddev**2])
            covariance[:2, :2] = position
        taken = self._ekf.correct(members, values, covariance, self.settings.rejection_threshold)
        self._own["pose.rejected"] += not taken
        self._localized = self._localized or taken
        return self._fused()

    def _fused(self) -> PoseEstimate | None:
        if self._newest is None:
            return None
        ekf = self._ekf
        yaw_stddev = math.sqrt(float(ekf.covariance[YAW, YAW]))
        return PoseEstimate(
            self._newest[0], ekf.state[:2].copy(), ekf.covariance[:2, :2].copy(),
            yaw=float(ekf.state[YAW]), yaw_stddev=yaw_stddev,
        )  # fmt: skip
