"""A device's own magnetic field, from walks whose course is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from mail_localization.data.recording import Recording, Topics
from mail_localization.errors import importing
from mail_localization.preprocess.clock import UniformClock
from mail_localization.types import FloatArray, ImuSample, MagneticSample, Vector3

_RATE_HZ = 50.0
_MAX_GAP_NS = 500_000_000
_THINNED = 10
_LEAST, _MOST = 5e-6, 60e-6
"""Bounds of the horizontal field found outside the device, tesla: the Earth's is 0 to 40 microtesla, steel adds."""

Rotations = npt.NDArray[np.float64]


def hard_iron(recordings: list[Path], topics: Topics) -> Vector3 | None:
    """Return the field of the device itself in the sensor frame, tesla; None where the walks do not tell it.

    A reading is R^T m + b: m the mean field of the site, b the device's own, R the attitude by the library vqf,
    turned so that the walk follows the course of the reference. Both come from least squares over all readings.
    It takes walks in several directions.
    """
    matrices, fields = [np.empty((0, 3, 3))], [np.empty((0, 3))]
    for path in recordings:
        attitudes, measured = _attitudes(path, topics)
        matrices.append(attitudes)
        fields.append(measured)
    attitude, field = np.concatenate(matrices), np.concatenate(fields)
    if len(field) < 10:
        return None
    own = np.broadcast_to(np.eye(3), attitude.shape)
    design = np.concatenate([np.swapaxes(attitude, 1, 2), own], axis=2).reshape(-1, 6)
    solution, _, rank, _ = np.linalg.lstsq(design, field.reshape(-1), rcond=1e-3)
    # A device that is never tilted cannot tell its own vertical field from the site's (rank 5); no heading needs it.
    if rank < 5 or not _LEAST < np.hypot(solution[0], solution[1]) < _MOST:
        return None
    x, y, z = solution[3:].tolist()
    return (x, y, z)


def _attitudes(path: Path, topics: Topics) -> tuple[Rotations, FloatArray]:
    """Return map_T_sensor (n, 3, 3), up to one turn that is the same for all recordings, and the field (n, 3)."""
    with importing("the calibration of a magnetometer"):
        from vqf import VQF
    with Recording.opened(path, topics) as recording:
        reference = recording.reference()
        stamps, rows = _rows(recording)
    if not len(rows):
        return np.empty((0, 3, 3)), np.empty((0, 3))
    turned = VQF(1.0 / _RATE_HZ).updateBatch(np.ascontiguousarray(rows[:, 3:6]), np.ascontiguousarray(rows[:, :3]))
    quaternions = np.asarray(turned["quat6D"])
    before = np.maximum(stamps - 1_000_000_000, reference.start_ns)
    way = reference.at(stamps) - reference.at(before)
    used = np.flatnonzero(np.hypot(way[:, 0], way[:, 1]) > 0.3)[::_THINNED]
    w, z = quaternions[used, 0], quaternions[used, 3]
    missing = np.arctan2(way[used, 1], way[used, 0]) - 2.0 * np.arctan2(z, w)
    return _about_vertical(missing) @ _matrices(quaternions[used]), rows[used, 6:9]


def _rows(recording: Recording) -> tuple[npt.NDArray[np.int64], FloatArray]:
    """Return stamps (n,) and rows (n, 9) of specific force, angular velocity and field on the uniform clock."""
    clock = UniformClock(round(1e9 / _RATE_HZ), _MAX_GAP_NS, {"imu": 6, "mag": 3}, 1000)
    found = []
    for sample in recording.samples({"imu", "mag"}):
        if isinstance(sample, ImuSample):
            found += clock.add("imu", sample.t_ns, (*sample.acceleration, *sample.angular_velocity))
        elif isinstance(sample, MagneticSample):
            found += clock.add("mag", sample.t_ns, sample.field)
    values = np.array([row.values for row in found]).reshape(-1, 9)
    return np.array([row.t_ns for row in found], dtype=np.int64), values


def _about_vertical(angles: FloatArray) -> Rotations:
    turned = np.zeros((len(angles), 3, 3))
    turned[:, 0, 0] = turned[:, 1, 1] = np.cos(angles)
    turned[:, 1, 0] = np.sin(angles)
    turned[:, 0, 1] = -turned[:, 1, 0]
    turned[:, 2, 2] = 1.0
    return turned


def _matrices(quaternions: FloatArray) -> Rotations:
    """Return rotation matrices (n, 3, 3) of unit quaternions (n, 4) in the order w, x, y, z."""
    w, x, y, z = quaternions.T
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)
