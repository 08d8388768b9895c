"""Rigid motions of the plane."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import numpy as np

from mail_localization.types import FloatArray, OdometrySample


@dataclass(frozen=True, slots=True)
class PlanarTransform:
    """a_T_b in the plane: the pose of frame b in frame a."""

    x: float
    """m."""
    y: float
    """m."""
    yaw: float
    """rad, within -pi to pi."""

    def __matmul__(self, other: Self) -> PlanarTransform:
        """Return a_T_c for a_T_b @ b_T_c."""
        x, y = self.turned(other.x, other.y)
        return PlanarTransform(self.x + x, self.y + y, wrapped(self.yaw + other.yaw))

    def inverse(self) -> PlanarTransform:
        """Return b_T_a."""
        back = PlanarTransform(0.0, 0.0, wrapped(-self.yaw))
        x, y = back.turned(self.x, self.y)
        return PlanarTransform(-x, -y, back.yaw)

    def turned(self, x: float, y: float) -> tuple[float, float]:
        """Return a vector of frame b in the axes of frame a."""
        cosine, sine = math.cos(self.yaw), math.sin(self.yaw)
        return cosine * x - sine * y, sine * x + cosine * y


def odom_T_base(pose: OdometrySample) -> PlanarTransform:
    """Return the transform that an odometry sample states."""
    return PlanarTransform(pose.x, pose.y, wrapped(pose.yaw))


def wrapped(angle: float) -> float:
    """Return the angle within -pi to pi, rad."""
    return math.remainder(angle, 2 * math.pi)


def rotation(angle: float) -> FloatArray:
    """Return the matrix (2, 2) that turns by an angle, rad."""
    cosine, sine = math.cos(angle), math.sin(angle)
    return np.array([[cosine, -sine], [sine, cosine]])
