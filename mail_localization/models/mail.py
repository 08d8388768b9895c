"""MAIL: multi-scale attention-guided indoor localization from magnetic sequences (Niu et al., IMWUT 2020)."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from mail_localization.config import Settings, setting
from mail_localization.errors import ConfigError
from mail_localization.models.artifact import ModelCard, Tensors, reading_tensors
from mail_localization.models.gru import Gru
from mail_localization.types import FloatArray

CHANNELS = 3


class MailSettings(Settings):
    """Sizes of the network; the paper gives the scales only, the rest was chosen by validation and speed."""

    scales: tuple[int, ...] = setting(
        (50, 100, 150, 200, 250, 500), "lengths of the sub-sequences, samples (section 4.2)", minimum=1
    )
    hidden: int = setting(32, "units of each GRU (not given in the paper)", minimum=1, maximum=4096)
    embedding_hidden: int = setting(64, "units between the two FC of eq. 7 (not given in the paper)", minimum=1)
    embedding: int = setting(32, "size of Psi_m, the embedding of a scale (not given in the paper)", minimum=2)
    attention: bool = setting(True, "weigh the scales by attention (eq. 8-10); false: all alike, the ablation")
    attention_hidden: int = setting(32, "units between the two FC of eq. 8 (not given in the paper)", minimum=1)
    dropout: float = setting(0.0, "share of the fused embedding dropped in training", minimum=0.0, maximum=0.9)

    def check(self) -> None:
        """Raise ConfigError for no scale, or one given twice."""
        if not self.scales or len(set(self.scales)) < len(self.scales):
            raise ConfigError(f"scales: {self.scales!r} must be at least one length, each once")


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


class Mail(nn.Module):
    """Map magnetic sequences (B, N, 3) to the position (B, 2) of their last sample, m."""

    input_mean: Tensor
    input_std: Tensor
    position_mean: Tensor
    position_std: Tensor

    def __init__(self, settings: MailSettings, length: int) -> None:
        super().__init__()
        if max(settings.scales) > length:
            raise ConfigError(f"scales: {max(settings.scales)} exceeds the window's length of {length} samples")
        self.settings, self.length = settings, length
        grid = math.gcd(*settings.scales)
        self.starts = [subsequence_starts(length, scale, grid) for scale in settings.scales]
        self.grus = nn.ModuleList(Gru(CHANNELS, settings.hidden) for _ in settings.scales)
        self.embeddings = nn.ModuleList(
            nn.Sequential(
                *_perceptron(len(starts) * settings.hidden, settings.embedding_hidden, settings.embedding),
                nn.LayerNorm(settings.embedding),
            )
            for starts in self.starts
        )
        if settings.attention:
            layers = _perceptron(length * CHANNELS, settings.attention_hidden, len(settings.scales))
            self.attention = nn.Sequential(*layers)
        self.dropout = nn.Dropout(settings.dropout)
        self.head = nn.Linear(len(settings.scales) * settings.embedding, 2)
        self.register_buffer("input_mean", torch.zeros(CHANNELS))
        self.register_buffer("input_std", torch.ones(CHANNELS))
        self.register_buffer("position_mean", torch.zeros(2))
        self.register_buffer("position_std", torch.ones(()))

    def forward(self, features: Tensor) -> Tensor:
        """Return positions in metres."""
        x = (features - self.input_mean) / self.input_std  # (B, N, 3)
        sequence = x.permute(1, 2, 0).contiguous()  # (N, 3, B)
        embedded = torch.stack([self._embed(sequence, m) for m in range(len(self.starts))], dim=1)  # (B, M, E)
        fused = (self.weights(x)[:, :, None] * embedded).flatten(1)  # (B, M * E), eq. 13
        normalised: Tensor = self.head(self.dropout(fused))
        return self.position_mean + self.position_std * normalised  # (B, 2), eq. 14

    def weights(self, x: Tensor) -> Tensor:
        """Return the weight (B, M) of each scale for normalised sequences (B, N, 3) (eq. 8-10)."""
        if not self.settings.attention:
            return x.new_full((len(x), len(self.starts)), 1 / len(self.starts))
        return torch.softmax(self.attention(x.flatten(1)), dim=1)

    def _embed(self, sequence: Tensor, m: int) -> Tensor:
        """Return Psi_m (B, E) of scale m for sequences (N, 3, B)."""
        scale, starts = self.settings.scales[m], self.starts[m]
        parts = torch.cat([sequence[start : start + scale] for start in starts], dim=2)  # (c, 3, P * B), eq. 1
        last: Tensor = self.grus[m](parts)  # (H, P * B), eq. 2-5
        joined = last.view(len(last), len(starts), -1).permute(2, 1, 0).flatten(1)  # (B, P * H), eq. 6
        embedding: Tensor = self.embeddings[m](joined)  # (B, E), eq. 7
        return embedding

    def set_normaliser(self, input_mean: FloatArray, input_std: FloatArray, positions: FloatArray) -> None:
        """Store the inputs' mean and deviation (3,) and those of training positions (n, 2), m.

        One deviation serves both axes: the loss on normalised positions is proportional to eq. 15 in metres.
        """
        self.input_mean.copy_(torch.from_numpy(input_mean))
        self.input_std.copy_(torch.from_numpy(input_std))
        self.position_mean.copy_(torch.from_numpy(positions.mean(axis=0)))
        self.position_std.fill_(float(np.sqrt(positions.var(axis=0).mean())) or 1.0)

    def loss(self, estimates: Tensor, positions: Tensor) -> Tensor:
        """Return the mean squared error (eq. 15) of positions (B, 2) in units of their training deviation."""
        return ((estimates - positions) / self.position_std).square().mean()


def _perceptron(inputs: int, hidden: int, outputs: int) -> tuple[nn.Module, ...]:
    """Return FC-PReLU-FC."""
    return nn.Linear(inputs, hidden), nn.PReLU(), nn.Linear(hidden, outputs)


class MailPredictor:
    """A trained network as the localizer drives it."""

    def __init__(self, card: ModelCard, tensors: Tensors) -> None:
        settings: dict[str, Any] = card.settings
        with reading_tensors(card):
            network = MailSettings.from_mapping(settings["network"], "model.json: network")
            self._model = Mail(network, int(settings["window"]["length"]))
            state = {name: torch.from_numpy(np.array(array)) for name, array in tensors.items()}
            self._model.load_state_dict(state)
        self._model.eval().requires_grad_(False)
        self._covariance = np.array(card.covariance, dtype=np.float64)

    def predict(self, features: npt.NDArray[np.float32]) -> tuple[FloatArray, FloatArray]:
        """Return positions (B, 2) in `map`, m, and covariances (B, 2, 2), m^2, for features (B, N, 3)."""
        with torch.inference_mode():
            positions = self._model(torch.from_numpy(features)).double().numpy()
        return positions, np.broadcast_to(self._covariance, (len(positions), 2, 2)).copy()


def load_predictor(card: ModelCard, tensors: Tensors) -> MailPredictor:
    """Return the predictor of a loaded model folder."""
    return MailPredictor(card, tensors)
