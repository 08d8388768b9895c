"""The publishers: pose, and by parameter the path, the modes and the transform."""

from __future__ import annotations

import dataclasses
from collections import Counter, deque
from collections.abc import Callable

import numpy as np
from geometry_msgs.msg import PoseStamped, PoseWithCovarianceStamped
from nav_msgs.msg import Path
from rclpy.node import Node
from visualization_msgs.msg import MarkerArray

from mail_localization.calibration import Calibration
from mail_localization.localizer import is_ambiguous
from mail_localization.ros import conversions
from mail_localization.ros.markers import modes_to_msg
from mail_localization.ros.settings import TargetSettings
from mail_localization.types import FloatArray, PoseEstimate

_PATH_STEP, _PATH_PERIOD_NS, _PATH_LENGTH = 0.2, 1_000_000_000, 2000
"""Metres between two poses of the path, time between two messages of it, and the most poses in it."""

_STAMPS = 20
"""Poses over which their rate is told."""


class Outputs:
    """Publish estimates, each widened and checked; never one that is not finite, and none before the first."""

    def __init__(
        self,
        node: Node,
        settings: Callable[[], TargetSettings],
        problems: Counter[str],
        calibration: Calibration | None,
    ) -> None:
        self._node, self._settings, self._problems = node, settings, problems
        self._calibration = calibration
        self._pose = node.create_publisher(PoseWithCovarianceStamped, "pose", 10)
        self._path = node.create_publisher(Path, "path", 1) if settings().publish_path else None
        self._modes = node.create_publisher(MarkerArray, "modes", 1) if settings().publish_modes else None
        self._way: deque[PoseStamped] = deque(maxlen=_PATH_LENGTH)
        self.reset()

    def close(self) -> None:
        """Withdraw the topics."""
        for publisher in (self._pose, self._path, self._modes):
            if publisher is not None:
                self._node.destroy_publisher(publisher)

    def reset(self) -> None:
        """Begin a new path."""
        self._way.clear()
        self._stamps: deque[int] = deque(maxlen=_STAMPS)
        self._period: int | None = None
        self._path_ns = 0

    def estimate(self, estimate: PoseEstimate) -> bool:
        """Publish an estimate unless it is too soon, ambiguous where that is unwanted, or no number."""
        settings = self._settings()
        if not self._due(estimate.t_ns, settings.publish_rate):
            return False
        if is_ambiguous(estimate) and not settings.publish_ambiguous:
            self._problems["pose.ambiguous"] += 1
            return False
        if estimate.yaw is None and not settings.publish_without_heading:
            self._problems["pose.no_heading"] += 1
            return False
        scale = settings.position_covariance_scale * (self._dependence(estimate) if settings.fusion_covariance else 1.0)
        covariance = tempered(estimate.covariance, scale, settings.min_position_stddev)
        if not (np.isfinite(estimate.position).all() and np.isfinite(covariance).all()):
            self._problems["pose.not_finite"] += 1
            return False
        stated = dataclasses.replace(estimate, covariance=covariance)
        msg = conversions.pose_to_msg(stated, settings.global_frame_id, settings.unobserved_variance)
        self._pose.publish(msg)
        self._stamps.append(estimate.t_ns)
        self._period = _period(estimate.t_ns, settings.publish_rate)
        if self._modes is not None:
            self._modes.publish(modes_to_msg(stated, settings.global_frame_id))
        if self._path is not None:
            self._extend(msg, estimate.t_ns)
        return True

    def wants_carried(self, t_ns: int) -> bool:
        """Tell whether a pose is due between two estimates."""
        rate = self._settings().publish_rate
        return rate > 0 and self._due(t_ns, rate)

    def _dependence(self, estimate: PoseEstimate) -> float:
        """Return the factor that makes poses at the present rate count as one within their correlation time."""
        span = (estimate.t_ns - self._stamps[0]) * 1e-9 if self._stamps else 0.0
        if self._calibration is None or span <= 0:
            return 1.0
        return self._calibration.independent(len(self._stamps) / span)

    def _due(self, t_ns: int, rate_hz: float) -> bool:
        # On a fixed grid: the stamps' jitter then does not lower the rate.
        return rate_hz == 0 or _period(t_ns, rate_hz) != self._period

    def _extend(self, msg: PoseWithCovarianceStamped, t_ns: int) -> None:
        pose = PoseStamped(header=msg.header, pose=msg.pose.pose)
        p = pose.pose.position
        last = self._way[-1].pose.position if self._way else None
        if last is None or np.hypot(p.x - last.x, p.y - last.y) >= _PATH_STEP:
            self._way.append(pose)
        if self._path is not None and not 0 <= t_ns - self._path_ns < _PATH_PERIOD_NS:
            self._path_ns = t_ns
            self._path.publish(Path(header=msg.header, poses=list(self._way)))


def tempered(covariance: FloatArray, scale: float, min_stddev: float) -> FloatArray:
    """Scale a covariance (2, 2) and widen it until no direction has less than `min_stddev` (m)."""
    scaled: FloatArray = covariance * scale
    lacking = min_stddev**2 - float(np.linalg.eigvalsh(scaled)[0]) if np.isfinite(scaled).all() else 0.0
    return scaled + max(lacking, 0.0) * np.eye(2)


def _period(t_ns: int, rate_hz: float) -> int | None:
    return int(t_ns * 1e-9 * rate_hz) if rate_hz > 0 else None
