"""Quaternions (x, y, z, w) as arrays (..., 4); q = a_T_b turns vectors of frame b into frame a."""

from __future__ import annotations

import numpy as np

from mail_localization.types import FloatArray


def about_axis(axis: int, angle: FloatArray | float) -> FloatArray:
    """Return the rotation by `angle` (n,), rad, about axis 0, 1 or 2 (x, y, z)."""
    half = np.asarray(angle, dtype=np.float64) / 2.0
    q = np.zeros((*half.shape, 4))
    q[..., axis] = np.sin(half)
    q[..., 3] = np.cos(half)
    return q


def multiply(a: FloatArray, b: FloatArray) -> FloatArray:
    """Return the Hamilton product: a_T_c from a_T_b and b_T_c."""
    va, vb, wa, wb = a[..., :3], b[..., :3], a[..., 3:], b[..., 3:]
    vector = wa * vb + wb * va + np.cross(va, vb)
    scalar = wa * wb - (va * vb).sum(axis=-1, keepdims=True)
    return np.concatenate([vector, scalar], axis=-1)


def conjugate(q: FloatArray) -> FloatArray:
    """Return the inverse of unit quaternions."""
    return np.asarray(q * np.array([-1.0, -1.0, -1.0, 1.0]))


def rotate(q: FloatArray, v: FloatArray) -> FloatArray:
    """Return vectors (..., 3) of frame b in frame a, for q = a_T_b."""
    axis, w = q[..., :3], q[..., 3:]
    cross = 2.0 * np.cross(axis, v)
    return np.asarray(v + w * cross + np.cross(axis, cross))


def from_rpy(roll: FloatArray | float, pitch: FloatArray | float, yaw: FloatArray | float) -> FloatArray:
    """Return Rz(yaw) Ry(pitch) Rx(roll), the fixed-axis convention of REP-103."""
    return multiply(multiply(about_axis(2, yaw), about_axis(1, pitch)), about_axis(0, roll))


def angular_velocity(q: FloatArray, dt: float) -> FloatArray:
    """Return the mean rate (n-1, 3) in the turning frame between poses (n, 4) `dt` apart, rad/s.

    It is the rotation vector of q_k^-1 q_(k+1) over dt, so that it integrates back to the attitude exactly.
    """
    step = multiply(conjugate(q[:-1]), q[1:])
    step = step * np.where(step[:, 3:] < 0.0, -1.0, 1.0)
    sine = np.linalg.norm(step[:, :3], axis=1, keepdims=True)
    angle = 2.0 * np.arctan2(sine, step[:, 3:])
    scale = np.where(sine > 1e-12, angle / np.maximum(sine, 1e-12), 2.0)
    return np.asarray(step[:, :3] * scale / dt)


def normalise(q: FloatArray) -> FloatArray:
    """Return unit quaternions."""
    return np.asarray(q / np.linalg.norm(q, axis=-1, keepdims=True))
