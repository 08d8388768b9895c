"""MAIL: multi-scale attention-guided indoor localization from magnetic sequences (Niu et al., IMWUT 2020)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from mail_localization.models.artifact import ModelCard, Tensors, reading_tensors
from mail_localization.models.gru import Gru, Grus
from mail_localization.models.mail_settings import CHANNELS, MailSettings, SubSequences
from mail_localization.models.regressor import SequenceRegressor, TorchSequences


class Mail(SequenceRegressor):
    """Map magnetic sequences (B, N, 3) to the position (B, 2) of their last sample, m."""

    def __init__(self, settings: MailSettings, length: int) -> None:
        super().__init__(CHANNELS, settings.stride)
        layout = SubSequences.of(settings, length)
        self.settings, self.length, self.scales, self.starts = settings, layout.length, layout.scales, layout.starts
        self.grus = Grus(Gru(CHANNELS, settings.hidden) for _ in self.scales)
        self.embeddings = nn.ModuleList(
            nn.Sequential(
                *_perceptron(len(starts) * settings.hidden, settings.embedding_hidden, settings.embedding),
                nn.LayerNorm(settings.embedding),
            )
            for starts in self.starts
        )
        if settings.attention:
            layers = _perceptron(self.length * CHANNELS, settings.attention_hidden, len(settings.scales))
            self.attention = nn.Sequential(*layers)
        self.dropout = nn.Dropout(settings.dropout)
        self.head = nn.Linear(len(settings.scales) * settings.embedding, 2)

    def forward(self, features: Tensor) -> Tensor:
        """Return positions in metres."""
        x = self.steps(features)  # (B, T, 3)
        sequence = x.permute(1, 2, 0).contiguous()  # (T, 3, B)
        parts = [
            torch.cat([sequence[start : start + scale] for start in starts], dim=2)  # (c, 3, P * B), eq. 1
            for scale, starts in zip(self.scales, self.starts, strict=True)
        ]
        states = self.grus(parts)  # (H, P * B) each, eq. 2-5
        embedded = torch.stack([self._embed(last, m) for m, last in enumerate(states)], dim=1)  # (B, M, E)
        fused = (self.weights(x)[:, :, None] * embedded).flatten(1)  # (B, M * E), eq. 13
        return self.metres(self.head(self.dropout(fused)))  # (B, 2), eq. 14

    def weights(self, x: Tensor) -> Tensor:
        """Return the weight (B, M) of each scale for the time steps (B, T, 3) (eq. 8-10)."""
        if not self.settings.attention:
            return x.new_full((len(x), len(self.starts)), 1 / len(self.starts))
        return torch.softmax(self.attention(x.flatten(1)), dim=1)

    def _embed(self, last: Tensor, m: int) -> Tensor:
        """Return Psi_m (B, E) of scale m for last states (H, P * B)."""
        joined = last.view(len(last), len(self.starts[m]), -1).permute(2, 1, 0).flatten(1)  # (B, P * H), eq. 6
        embedding: Tensor = self.embeddings[m](joined)  # (B, E), eq. 7
        return embedding


def _perceptron(inputs: int, hidden: int, outputs: int) -> tuple[nn.Module, ...]:
    """Return FC-PReLU-FC."""
    return nn.Linear(inputs, hidden), nn.PReLU(), nn.Linear(hidden, outputs)


def load_network(card: ModelCard, tensors: Tensors) -> TorchSequences:
    """Return the network of a loaded model folder."""
    settings: dict[str, Any] = card.settings
    with reading_tensors(card):
        network = MailSettings.from_mapping(settings["network"], "model.json: network")
        return TorchSequences(Mail(network, int(settings["window"]["length"])), tensors)
