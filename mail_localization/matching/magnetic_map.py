"""The survey's magnetic field over the floor: mean and variance per cell and direction of travel.

The map is sparse: only cells within reach of the survey hold values. Cell 0 stands for everywhere else and holds the
field of the whole survey, so that a lookup off the map needs no special case: it says little, and says so.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mail_localization.config import Settings, setting
from mail_localization.models.artifact import Tensors
from mail_localization.types import FloatArray

NOWHERE = 1e-3
"""Weight of cell 0 in the interpolation: it counts only where no cell of the map is near."""


class MapSettings(Settings):
    """How the map is made of the survey."""

    cell: float = setting(0.25, "side of a cell, m", minimum=0.05, maximum=5.0)
    bandwidth: float = setting(0.25, "width of the kernel that averages the survey, m", minimum=0.05, maximum=5.0)
    reach: float = setting(1.5, "greatest distance to the survey at which the map says anything, m", minimum=0.1)
    directions: int = setting(
        0,
        "directions of travel told apart; 1 where the reading does not depend on it; 0: as many as let the survey's "
        "recordings tell places and directions apart best",
        minimum=0, maximum=36,
    )  # fmt: skip
    noise: float = setting(1.5, "least standard deviation of the field at a place, microtesla", minimum=0.05)
    spacing: float = setting(0.1, "distance along the way between the survey's rows, m", minimum=0.01)


@dataclass(frozen=True, slots=True, eq=False)
class SurveyRows:
    """Labelled rows of the survey: n of them, thinned along the way."""

    positions: FloatArray
    """(n, 2), m."""
    headings: FloatArray
    """(n,) direction of travel, rad."""
    fields: FloatArray
    """(n, C) microtesla, the magnitude last."""


@dataclass(frozen=True, slots=True, eq=False)
class Field:
    """What the map says at K places."""

    mean: FloatArray
    """(K, C) microtesla."""
    variance: FloatArray
    """(K, C) microtesla^2."""
    coverage: FloatArray
    """(K,) 1 on the map, 0 off it, between at its edge and where it was surveyed in other directions only."""


class MagneticMap:
    """Bilinear lookup in a sparse grid."""

    def __init__(self, origin: FloatArray, cell: float, cells: npt.NDArray[np.int32], values: FloatArray) -> None:
        """Take the cells' numbers (H, W) and their values (N, directions, 2 C + 1): mean, variance, coverage."""
        if cells.ndim != 2 or values.ndim != 3 or values.shape[2] % 2 == 0:
            raise ValueError(f"map of cells {cells.shape}, values {values.shape}")
        if cells.min() < 0 or cells.max() >= len(values):
            raise ValueError(f"cells {cells.min()} to {cells.max()}, {len(values)} values")
        self._origin, self._cell = origin, cell
        self._height, self._width = cells.shape
        self._cells = cells.ravel()
        self.directions = values.shape[1]
        self.channels = values.shape[2] // 2
        self._values = values.reshape(-1, values.shape[2])
        surveyed = values[1:, :, -1]
        inner, layers = np.nonzero(surveyed >= min(1.0, float(surveyed.max(initial=0.0))))
        number_to_flat = np.zeros(len(values), dtype=np.int64)
        number_to_flat[self._cells] = np.arange(len(self._cells))
        flat = number_to_flat[inner + 1]
        self._places = np.stack([flat % self._width, flat // self._width], axis=1).astype(np.float64)
        self._place_headings = layers * (2 * math.pi / self.directions)

    def lookup(self, x: FloatArray, y: FloatArray, heading: FloatArray) -> Field:
        """Return the field at places (K,), m, for directions of travel (K,), rad."""
        column = (x - self._origin[0]) / self._cell
        row = (y - self._origin[1]) / self._cell
        left, low = np.floor(column), np.floor(row)
        fx, fy = column - left, row - low
        left_index, low_index = left.astype(np.int64), low.astype(np.int64)
        layer = np.rint(heading * (self.directions / (2 * math.pi))).astype(np.int64) % self.directions
        total = np.zeros((len(x), self._values.shape[1]))
        weight_sum = np.zeros(len(x))
        for dx, dy, share in (
            (0, 0, (1 - fx) * (1 - fy)),
            (1, 0, fx * (1 - fy)),
            (0, 1, (1 - fx) * fy),
            (1, 1, fx * fy),
        ):
            number = self._number(left_index + dx, low_index + dy)
            weight = np.where(number > 0, share, share * NOWHERE)
            total += weight[:, None] * self._values.take(number * self.directions + layer, axis=0)
            weight_sum += weight
        total /= weight_sum[:, None]
        c = self.channels
        # Off the map the weights sum to NOWHERE: there the coverage is that of cell 0, which is 0.
        return Field(total[:, :c], total[:, c : 2 * c], total[:, 2 * c] * np.minimum(weight_sum, 1.0))

    def draw(self, count: int, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
        """Return random surveyed places (count, 2), m, with a direction (count,), rad, surveyed there."""
        chosen = rng.integers(len(self._places), size=count)
        within = rng.random((count, 2)) - 0.5
        turn = (rng.random(count) - 0.5) * (2 * math.pi / self.directions)
        return self._origin + (self._places[chosen] + within) * self._cell, self._place_headings[chosen] + turn

    def _number(self, column: npt.NDArray[np.int64], row: npt.NDArray[np.int64]) -> npt.NDArray[np.int32]:
        inside = (column >= 0) & (column < self._width) & (row >= 0) & (row < self._height)
        flat = np.where(inside, row * self._width + column, 0)
        # The margin of the grid is not covered, so its first cell is cell 0.
        return self._cells.take(flat)

    def to_tensors(self) -> Tensors:
        """Return what `from_tensors` reads."""
        return {
            "map_origin": self._origin,
            "map_cell": np.array([self._cell]),
            "map_cells": self._cells.reshape(self._height, self._width),
            "map_values": self._values.reshape(-1, self.directions, self._values.shape[1]).astype(np.float32),
        }

    @classmethod
    def from_tensors(cls, tensors: Tensors) -> MagneticMap:
        """Read what `to_tensors` returned; KeyError or ValueError where it does not fit."""
        return cls(
            tensors["map_origin"].astype(np.float64), float(tensors["map_cell"][0]), tensors["map_cells"],
            tensors["map_values"].astype(np.float64),
        )  # fmt: skip


def build_map(rows: SurveyRows, settings: MapSettings) -> MagneticMap:
    """Average the survey with a kernel at the centre of each cell, per direction of travel (1 where they are open)."""
    low = rows.positions.min(axis=0) - settings.reach - 2 * settings.cell
    size = np.ceil((rows.positions.max(axis=0) + settings.reach - low) / settings.cell).astype(int) + 2
    sums = _KernelSums(int(size[0]), int(size[1]), max(1, settings.directions), rows.fields.shape[1])
    sums.add(rows, low, settings)
    return _finished(sums, low, rows, settings)


class _KernelSums:
    """Weighted sums of 1, distance squared, field and field squared per direction and cell."""

    def __init__(self, width: int, height: int, directions: int, channels: int) -> None:
        self.width, self.height, self.directions, self.channels = width, height, directions, channels
        self.weight = np.zeros(directions * height * width)
        self.distance2 = np.zeros_like(self.weight)
        self.field = np.zeros((channels, len(self.weight)))
        self.field2 = np.zeros_like(self.field)

    def add(self, rows: SurveyRows, low: FloatArray, settings: MapSettings) -> None:
        at = (rows.positions - low) / settings.cell
        base = np.rint(at).astype(np.int64)
        layers = _layers(rows.headings, self.directions)
        reach = math.ceil(settings.reach / settings.cell)
        offsets = range(-reach, reach + 1)
        for dy in offsets:
            for dx in offsets:
                cell = base + np.array([dx, dy])
                distance2 = np.square((cell - at) * settings.cell).sum(axis=1)
                near = distance2 <= settings.reach**2
                # A heavy tail: beyond the nearest rows the average fades to theirs instead of to 0 / 0.
                kernel = (1.0 + distance2 / settings.bandwidth**2) ** -3.0
                for layer, share in layers:
                    used = near & (share > 0)
                    if used.any():
                        flat = (layer[used] * self.height + cell[used, 1]) * self.width + cell[used, 0]
                        self._add(flat, (kernel * share)[used], distance2[used], rows.fields[used])

    def _add(self, flat: npt.NDArray[np.int64], weight: FloatArray, distance2: FloatArray, fields: FloatArray) -> None:
        np.add.at(self.weight, flat, weight)
        np.add.at(self.distance2, flat, weight * distance2)
        for channel in range(self.channels):
            np.add.at(self.field[channel], flat, weight * fields[:, channel])
            np.add.at(self.field2[channel], flat, weight * fields[:, channel] ** 2)


def _layers(headings: FloatArray, directions: int) -> list[tuple[npt.NDArray[np.int64], FloatArray]]:
    """Share each row out to the two directions beside its own, in proportion to nearness."""
    if directions == 1:
        return [(np.zeros(len(headings), dtype=np.int64), np.ones(len(headings)))]
    at = np.mod(headings, 2 * math.pi) * (directions / (2 * math.pi))
    below = np.floor(at)
    upper_share = at - below
    lower = below.astype(np.int64) % directions
    return [(lower, 1 - upper_share), ((lower + 1) % directions, upper_share)]


def _finished(sums: _KernelSums, low: FloatArray, rows: SurveyRows, settings: MapSettings) -> MagneticMap:
    d, plane = sums.directions, sums.height * sums.width
    weight = sums.weight.reshape(d, plane)
    covered = np.flatnonzero(weight.sum(axis=0) > 0)
    cells = np.zeros(plane, dtype=np.int32)
    cells[covered] = np.arange(1, len(covered) + 1)
    slope2 = _slope(rows) ** 2
    overall_mean, overall_variance = rows.fields.mean(axis=0), rows.fields.var(axis=0) + settings.noise**2

    weight = weight[:, covered].T[..., None]  # (N, d, 1)
    mean_sum = sums.field.reshape(-1, d, plane)[:, :, covered].transpose(2, 1, 0)  # (N, d, C)
    square_sum = sums.field2.reshape(-1, d, plane)[:, :, covered].transpose(2, 1, 0)
    distance2 = sums.distance2.reshape(d, plane)[:, covered].T[..., None]

    mean, variance = _normalised(weight, mean_sum, square_sum, distance2, slope2, settings.noise)
    # A cell that was surveyed in other directions only: their mean, with all that directions differ by.
    any_mean, any_variance = _normalised(
        weight.sum(1, keepdims=True), mean_sum.sum(1, keepdims=True), square_sum.sum(1, keepdims=True),
        distance2.sum(1, keepdims=True), slope2, settings.noise,
    )  # fmt: skip
    any_variance = any_variance + overall_variance * (1.0 if d > 1 else 0.0)
    known = weight > 1e-3 * weight.max()
    mean = np.where(known, mean, any_mean)
    variance = np.where(known, variance, any_variance)
    values = np.concatenate([mean, variance, known.astype(np.float64)], axis=2)
    nowhere = np.concatenate([overall_mean, overall_variance, [0.0]])
    everything = np.concatenate([np.broadcast_to(nowhere, (1, d, len(nowhere))), values])
    return MagneticMap(low, settings.cell, cells.reshape(sums.height, sums.width), everything.astype(np.float32))


def _normalised(
    weight: FloatArray, field: FloatArray, field2: FloatArray, distance2: FloatArray, slope2: FloatArray, noise: float
) -> tuple[FloatArray, FloatArray]:
    """Return mean and variance; the variance grows with the distance to the rows by the field's own slope."""
    divisor = np.maximum(weight, 1e-12)
    mean = field / divisor
    spread = np.maximum(field2 / divisor - mean**2, 0.0)
    return mean, spread + noise**2 + slope2 * distance2 / divisor


def _slope(rows: SurveyRows) -> FloatArray:
    """Return how much each channel (C,) changes per metre of way, microtesla / m (root mean square)."""
    steps = np.hypot(*np.diff(rows.positions, axis=0).T)
    near = (steps > 0) & (steps < 0.5)
    if not near.any():
        return np.zeros(rows.fields.shape[1])
    slopes = np.diff(rows.fields, axis=0)[near] / steps[near, None]
    # The median resists rows whose labels stand too close together.
    return np.asarray(np.sqrt(np.median(slopes**2, axis=0)))


def thin(positions: FloatArray, fields: FloatArray, spacing: float) -> SurveyRows:
    """Average the rows (n, 2), (n, C) of one labelled run over each `spacing` m of way; standing counts once."""
    steps = np.hypot(*np.diff(positions, axis=0).T)
    way = np.concatenate([[0.0], np.cumsum(steps)])
    bins = np.floor(way / spacing).astype(np.int64)
    _, group = np.unique(bins, return_inverse=True)
    count = np.bincount(group).astype(np.float64)
    columns = [np.bincount(group, column) / count for column in np.concatenate([positions, fields], axis=1).T]
    joined = np.stack(columns, axis=1)
    return SurveyRows(joined[:, :2], _courses(joined[:, :2]), joined[:, 2:])


def _courses(positions: FloatArray) -> FloatArray:
    """Return the direction of travel (n,) at positions (n, 2), over the neighbours on both sides."""
    if len(positions) < 2:
        return np.zeros(len(positions))
    ahead = np.concatenate([positions[1:], positions[-1:]])
    behind = np.concatenate([positions[:1], positions[:-1]])
    dx, dy = (ahead - behind).T
    return np.asarray(np.arctan2(dy, dx))


def join(parts: list[SurveyRows]) -> SurveyRows:
    """Return all parts as one."""
    return SurveyRows(
        np.concatenate([part.positions for part in parts]),
        np.concatenate([part.headings for part in parts]),
        np.concatenate([part.fields for part in parts]),
    )
