"""The head of a network that gives every cell of the surveyed places a probability: a mean would blend aliases."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mail_localization.models.heatmap import HeatmapSettings
from mail_localization.types import FloatArray


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
