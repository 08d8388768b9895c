"""Turns of the device as gyroscope and magnetometer see them: units, axes, and the device's own field.

A direction fixed in the world, seen by a sensor that turns at the rate w, moves as dv/dt = -w x v. So does the field
outside the device, B - b, where b is the device's own (hard iron); what walking through a building adds to the
change does not depend on the turns.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mail_localization.preprocess.excerpt import Excerpt
from mail_localization.types import FloatArray

_STEP = 0.2
"""Time over which a turn is looked at, s: longer than the noise of one reading, shorter than a swing of the hand."""
_LEAST = 20
"""Samples below which nothing is told."""
_LEAST_TURN = 0.5
"""Root of the summed squared turns below which nothing is told, rad."""
_SCALE = 1e-5
"""Unit of the device's own field in the least squares, tesla: keeps the columns alike."""


@dataclass(frozen=True, eq=False)
class FieldTurns:
    """What dB/dt = -g w x B + w x b says by least squares over an excerpt."""

    gain: float
    """g: 1 where units and axes of both sensors agree, 0.0175 where degrees were published as radians."""
    gain_stddev: float
    fit: float
    """Share of the field's change that the turns explain, 0 to 1."""
    hard_iron: FloatArray
    """(3,) b with g = 1, in the sensor frame, tesla; means nothing where the gain is not near 1."""
    hard_iron_stddev: FloatArray
    """(3,) its standard deviation, tesla: large along an axis that the turns do not tell of."""

    @property
    def trusted(self) -> bool:
        """Whether the device's own field is told well enough to be compared: to some 5 microtesla."""
        return abs(self.gain - 1.0) < 0.35 and self.gain_stddev < 0.15 and bool((self.hard_iron_stddev < 3e-6).all())


def field_turns(excerpt: Excerpt) -> FieldTurns | None:
    """Compare magnetometer and gyroscope; None where there are too few samples or turns."""
    found = _field_on_imu(excerpt)
    if found is None:
        return None
    stamps, field, rates = found
    step, dt = _steps(stamps)
    turn = _means(rates, step) * dt[:, None]  # (k, 3) rad
    if len(turn) < _LEAST or np.sqrt((turn**2).sum() / step) < _LEAST_TURN:
        return None
    told = -np.cross(turn, _means(field, step))
    seen = np.where(dt[:, None] > 0, field[step:] - field[:-step], 0.0)
    own = np.stack([np.cross(turn, axis) for axis in _SCALE * np.eye(3)], axis=2)  # (k, 3, 3)
    both, both_stddev, rest = _solved(np.concatenate([told[:, :, None], own], axis=2), seen, step)
    hard_iron, stddev, _ = _solved(own, seen - told, step)
    spread = float(seen.var())
    fit = 1.0 - rest / spread if spread > 0 else 0.0
    return FieldTurns(float(both[0]), float(both_stddev[0]), fit, hard_iron * _SCALE, stddev * _SCALE)


def _solved(design: FloatArray, values: FloatArray, step: int) -> tuple[FloatArray, FloatArray, float]:
    """Return the least-squares solution (P,), its standard deviations and the residuals' variance."""
    columns = design.reshape(-1, design.shape[2])
    size = np.sqrt((columns**2).sum(axis=0))
    size[size == 0] = 1.0
    normal = columns.T @ columns / np.outer(size, size) + 1e-9 * np.eye(len(size))
    inverse = np.linalg.inv(normal)
    solution = inverse @ (columns.T @ values.ravel() / size) / size
    rest = float((values.ravel() - columns @ solution).var())
    # Changes over overlapping steps are not independent: `step` of them count as one.
    return solution, np.sqrt(np.diag(inverse) * rest * step) / size, rest


def _field_on_imu(excerpt: Excerpt) -> tuple[npt.NDArray[np.int64], FloatArray, FloatArray] | None:
    """Return the IMU's stamps (n,), the field there, interpolated (n, 3), and the angular rate (n, 3)."""
    if min(len(excerpt.mag), len(excerpt.imu)) < _LEAST:
        return None
    first, last = np.searchsorted(excerpt.imu_ns, (excerpt.mag_ns[0], excerpt.mag_ns[-1] + 1))
    stamps = excerpt.imu_ns[first:last]
    if len(stamps) < _LEAST:
        return None
    at, known = (stamps - stamps[0]) * 1e-9, (excerpt.mag_ns - stamps[0]) * 1e-9
    field = np.stack([np.interp(at, known, axis) for axis in excerpt.mag.T], axis=1)
    return stamps, field, excerpt.imu[first:last, 3:]


def _steps(stamps: npt.NDArray[np.int64]) -> tuple[int, FloatArray]:
    """Return the number of samples in a step of about _STEP, and the length of each such step, s; 0 over a gap."""
    period = max(float(np.median(np.diff(stamps))) * 1e-9, 1e-3)
    step = int(np.clip(round(_STEP / period), 1, len(stamps) - 1))
    dt = (stamps[step:] - stamps[:-step]) * 1e-9
    return step, np.where(dt < 3 * step * period, dt, 0.0)


def _means(values: FloatArray, step: int) -> FloatArray:
    """Return the mean over each step by the trapezoidal rule, (n - step, C)."""
    total = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum((values[1:] + values[:-1]) / 2, axis=0)])
    return np.asarray((total[step:] - total[:-step]) / step)
