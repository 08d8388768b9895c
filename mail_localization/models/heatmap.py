"""Heat maps over the surveyed places: cells with probabilities, and the peaks among them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mail_localization.config import Settings, setting
from mail_localization.types import FloatArray, Mode

_LEAST = 0.02
"""Weight below which a further peak is not told of."""


class HeatmapSettings(Settings):
    """The heat map over the surveyed places."""

    cell: float = setting(1.0, "side of a cell, m", minimum=0.05, maximum=100.0)
    spread: float = setting(1.5, "standard deviation of the training target around the reference, m", minimum=0.01)
    peak: float = setting(2.5, "cells this near to the best one make the estimate, m", minimum=0.0)
    modes: int = setting(5, "most peaks that an estimate tells of", minimum=1)


def surveyed_cells(positions: FloatArray, side: float) -> FloatArray:
    """Return the centres (M, 2) of the positions (n, 2) in each cell of a grid that has any, m."""
    _, inverse = np.unique(np.floor(positions / side).astype(np.int64), axis=0, return_inverse=True)
    inverse = inverse.reshape(-1)
    counts = np.bincount(inverse)
    return np.stack([np.bincount(inverse, weights=axis) / counts for axis in positions.T], axis=1)


class Heatmap:
    """Find the peaks of probabilities over cells; cells near the best one belong to its peak."""

    def __init__(self, settings: HeatmapSettings, centres: FloatArray) -> None:
        self.settings, self.centres = settings, centres
        near = [np.flatnonzero(np.hypot(*(centres - centre).T) <= settings.peak) for centre in centres]
        # Row by row the cells of a peak; the number behind the last cell stands for none.
        self._near = np.full((len(centres), max(map(len, near), default=0)), len(centres))
        for row, cells in zip(self._near, near, strict=True):
            row[: len(cells)] = cells

    def peaks(self, maps: npt.NDArray[np.float32]) -> list[tuple[tuple[Mode, ...], FloatArray]]:
        """Return for maps (B, M) the modes, heaviest first, and the spread (2, 2) of all of it about the first, m^2."""
        return [self._peaks(map_.astype(np.float64)) for map_ in maps]

    def _peaks(self, map_: FloatArray) -> tuple[tuple[Mode, ...], FloatArray]:
        rest, modes = np.append(map_, 0.0), list[Mode]()
        for _ in range(self.settings.modes):
            best = int(rest[self._near].sum(axis=1).argmax())
            cells = self._near[best][self._near[best] < len(map_)]
            shares, weight = rest[cells], float(rest[cells].sum())
            if modes and weight < _LEAST:
                break
            mean = shares @ self.centres[cells] / max(weight, 1e-12)
            modes.append(Mode(weight, mean, self._spread(shares / max(weight, 1e-12), cells, mean)))
            rest[cells] = 0.0
        return tuple(modes), self._spread(map_, np.arange(len(map_)), modes[0].mean)

    def _spread(self, shares: FloatArray, cells: npt.NDArray[np.int64], about: FloatArray) -> FloatArray:
        """Return the second moment (2, 2) of shares about a point, m^2; within a cell none is known better."""
        offsets = self.centres[cells] - about
        return np.asarray((offsets * shares[:, None]).T @ offsets + self.settings.cell**2 / 12 * np.eye(2))
