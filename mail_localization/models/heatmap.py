"""A head that gives every cell of the surveyed places a probability: a mean would blend aliases."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

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


class HeatmapHead(nn.Module):
    """Map features (B, F) to logits (B, M) over M cells."""

    centres: Tensor

    def __init__(self, settings: HeatmapSettings, inputs: int, cells: int) -> None:
        super().__init__()
        self.settings = settings
        self.linear = nn.Linear(inputs, cells)
        self.register_buffer("centres", torch.zeros(cells, 2))

    def set_cells(self, centres: FloatArray) -> None:
        """Store the cells' centres (M, 2), m."""
        self.centres.copy_(torch.from_numpy(centres))

    def forward(self, features: Tensor) -> Tensor:
        """Return logits (B, M)."""
        logits: Tensor = self.linear(features)
        return logits

    def cross_entropy(self, logits: Tensor, positions: Tensor) -> Tensor:
        """Return the loss against a Gaussian around positions (B, 2), m."""
        squared = (positions[:, None] - self.centres).square().sum(dim=2)  # (B, M)
        target = torch.softmax(-0.5 * squared / self.settings.spread**2, dim=1)
        return -(target * torch.log_softmax(logits, dim=1)).sum(dim=1).mean()

    def peak(self, logits: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the heaviest peak's mean (B, 2), its weight (B,), and the map without it (B, M)."""
        return self.heaviest(torch.softmax(logits, dim=1), self.neighbours())

    def heaviest(self, map_: Tensor, near: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the mean (B, 2) and weight (B,) of the heaviest peak of maps (B, M), and the maps without it."""
        best = (map_ @ near).argmax(dim=1)
        part = map_ * near[best]  # (B, M)
        weight = part.sum(dim=1)
        mean = part @ self.centres / weight.clamp(min=1e-12)[:, None]
        return mean, weight, map_ - part

    def neighbours(self) -> Tensor:
        """Return 1 (M, M) where two cells belong to one peak, else 0."""
        return (torch.cdist(self.centres, self.centres) <= self.settings.peak).to(self.centres.dtype)

    def peaks(self, whole: Tensor, near: Tensor) -> list[tuple[tuple[Mode, ...], FloatArray]]:
        """Return for maps (B, M) the modes, heaviest first, and the spread (2, 2) of all of it about the first, m^2."""
        rest, found = whole, []
        for _ in range(self.settings.modes):
            before = rest
            mean, weight, rest = self.heaviest(rest, near)
            found.append((mean, weight, self._spread(before - rest, mean) / weight.clamp(min=1e-12)[:, None, None]))
        total = self._spread(whole, found[0][0]).double().numpy() + self._own * np.eye(2)
        return [(self._modes([tuple(part[b] for part in peak) for peak in found]), total[b]) for b in range(len(whole))]

    def _modes(self, peaks: Sequence[tuple[Tensor, ...]]) -> tuple[Mode, ...]:
        modes = [
            Mode(float(weight), mean.double().numpy(), spread.double().numpy() + self._own * np.eye(2))
            for mean, weight, spread in peaks
        ]
        first = modes[:1]
        return tuple(first + [mode for mode in modes[1:] if mode.weight >= _LEAST])

    def _spread(self, map_: Tensor, about: Tensor) -> Tensor:
        """Return the second moment (B, 2, 2) of maps (B, M) about points (B, 2)."""
        offsets = self.centres - about[:, None]  # (B, M, 2)
        return torch.einsum("bm,bmi,bmj->bij", map_, offsets, offsets)

    @property
    def _own(self) -> float:
        """Variance within a cell, m^2: none is known better than that."""
        return self.settings.cell**2 / 12
