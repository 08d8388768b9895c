"""MAIL: multi-scale attention-guided indoor localization from magnetic sequences (Niu et al., IMWUT 2020)."""

from __future__ import annotations

import itertools
import math
from typing import Any

import torch
from torch import Tensor, nn

from mail_localization.config import Settings, setting
from mail_localization.errors import ConfigError
from mail_localization.models.artifact import ModelCard, Tensors, reading_tensors
from mail_localization.models.gru import Gru
from mail_localization.models.regressor import SequencePredictor, SequenceRegressor

CHANNELS = 3


class MailSettings(Settings):
    """Sizes of the network; the paper gives the scales only, the rest was chosen by validation and speed."""

    scales: tuple[int, ...] = setting(
        (50, 100, 150, 200, 250, 500), "lengths of the sub-sequences, samples (section 4.2)", minimum=1
    )
    stride: int = setting(
        1,
        "samples averaged into one time step (not in the paper): fewer steps train faster, and forget less",
        minimum=1,
    )
    hidden: int = setting(32, "units of each GRU (not given in the paper)", minimum=1, maximum=4096)
    embedding_hidden: int = setting(64, "units between the two FC of eq. 7 (not given in the paper)", minimum=1)
    embedding: int = setting(32, "size of Psi_m, the embedding of a scale (not given in the paper)", minimum=2)
    attention: bool = setting(True, "weigh the scales by attention (eq. 8-10); false: all alike, the ablation")
    attention_hidden: int = setting(32, "units between the two FC of eq. 8 (not given in the paper)", minimum=1)
    dropout: float = setting(0.0, "share of the fused embedding dropped in training", minimum=0.0, maximum=0.9)

    def check(self) -> None:
        """Raise ConfigError for no scale, one given twice, or one that is no whole number of time steps."""
        if not self.scales or len(set(self.scales)) < len(self.scales):
            raise ConfigError(f"scales: {self.scales!r} must be at least one length, each once")
        if odd := [scale for scale in self.scales if scale % self.stride]:
            raise ConfigError(f"stride: {self.stride} does not divide scales: {odd[0]}; give scales that are multiples")


def subsequence_starts(length: int, scale: int, grid: int) -> tuple[int, ...]:
    """Return where the P = ceil(length / scale) sub-sequences of a scale start (eq. 1).

    They are spread evenly from 0 to length - scale, and overlap where the scale does not divide the length. Each
    start is moved down to the grid where that leaves no gap and the last lies on it (scale 150 of 500, grid 50:
    0, 100, 200, 350), so that windows a multiple of the grid apart share all but their newest sub-sequences.
    """
    last, steps = length - scale, math.ceil(length / scale) - 1
    if steps == 0:
        return (0,)
    even = [i * last // steps for i in range(steps + 1)]
    gridded = [start // grid * grid for start in even]
    whole = gridded[-1] == last and all(b - a <= scale for a, b in itertools.pairwise(gridded))
    return tuple(gridded if whole else even)


class Mail(SequenceRegressor):
    """Map magnetic sequences (B, N, 3) to the position (B, 2) of their last sample, m."""

    def __init__(self, settings: MailSettings, length: int) -> None:
        super().__init__(CHANNELS, settings.stride)
        if max(settings.scales) > length:
            raise ConfigError(f"scales: {max(settings.scales)} exceeds the window's length of {length} samples")
        self.settings = settings
        self.length = length // settings.stride
        """Time steps in a window."""
        self.scales = [scale // settings.stride for scale in settings.scales]
        """Time steps in the sub-sequences of each scale."""
        grid = math.gcd(*self.scales)
        self.starts = [subsequence_starts(self.length, scale, grid) for scale in self.scales]
        self.grus = nn.ModuleList(Gru(CHANNELS, settings.hidden) for _ in self.scales)
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
        embedded = torch.stack([self._embed(sequence, m) for m in range(len(self.starts))], dim=1)  # (B, M, E)
        fused = (self.weights(x)[:, :, None] * embedded).flatten(1)  # (B, M * E), eq. 13
        return self.metres(self.head(self.dropout(fused)))  # (B, 2), eq. 14

    def weights(self, x: Tensor) -> Tensor:
        """Return the weight (B, M) of each scale for the time steps (B, T, 3) (eq. 8-10)."""
        if not self.settings.attention:
            return x.new_full((len(x), len(self.starts)), 1 / len(self.starts))
        return torch.softmax(self.attention(x.flatten(1)), dim=1)

    def _embed(self, sequence: Tensor, m: int) -> Tensor:
        """Return Psi_m (B, E) of scale m for sequences (T, 3, B)."""
        scale, starts = self.scales[m], self.starts[m]
        parts = torch.cat([sequence[start : start + scale] for start in starts], dim=2)  # (c, 3, P * B), eq. 1
        last: Tensor = self.grus[m](parts)  # (H, P * B), eq. 2-5
        joined = last.view(len(last), len(starts), -1).permute(2, 1, 0).flatten(1)  # (B, P * H), eq. 6
        embedding: Tensor = self.embeddings[m](joined)  # (B, E), eq. 7
        return embedding


def _perceptron(inputs: int, hidden: int, outputs: int) -> tuple[nn.Module, ...]:
    """Return FC-PReLU-FC."""
    return nn.Linear(inputs, hidden), nn.PReLU(), nn.Linear(hidden, outputs)


def load_predictor(card: ModelCard, tensors: Tensors) -> SequencePredictor:
    """Return the predictor of a loaded model folder."""
    settings: dict[str, Any] = card.settings
    with reading_tensors(card):
        network = MailSettings.from_mapping(settings["network"], "model.json: network")
        model = Mail(network, int(settings["window"]["length"]))
    return SequencePredictor(model, card, tensors)
