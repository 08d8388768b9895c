"""Jang's RNN: a plain recurrent network over the magnetic sequence (Jang, Shin and Choi, ITNAC 2017)."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from mail_localization.config import Settings, setting
from mail_localization.models.artifact import ModelCard, Tensors, reading_tensors
from mail_localization.models.regressor import SequenceRegressor, TorchSequences

CHANNELS = 3


class JangSettings(Settings):
    """Sizes of the network; MAIL (section 5.1) says of this competitor: a four-layer RNN that regresses x, y."""

    layers: int = setting(4, "recurrent layers", minimum=1, maximum=16)
    hidden: int = setting(64, "units of each layer (not given for the regression)", minimum=1, maximum=4096)
    cell: str = setting("tanh", "activation of the plain RNN cell (not given)", choices=("tanh", "relu"))
    dropout: float = setting(0.0, "share of each layer's output dropped in training", minimum=0.0, maximum=0.9)
    stride: int = setting(1, "samples averaged into one time step: a plain RNN forgets long sequences", minimum=1)


class Jang(SequenceRegressor):
    """Map magnetic sequences (B, N, 3) to the position (B, 2) of their last sample, m."""

    def __init__(self, settings: JangSettings) -> None:
        super().__init__(CHANNELS, settings.stride)
        self.rnn = nn.RNN(
            CHANNELS, settings.hidden, settings.layers, nonlinearity=settings.cell, batch_first=True,
            dropout=settings.dropout if settings.layers > 1 else 0.0,
        )  # fmt: skip
        for name, weight in self.rnn.named_parameters():
            if name.startswith("weight_hh"):
                # An orthogonal start keeps the gradient alive over the sequence.
                nn.init.orthogonal_(weight)
        self.head = nn.Linear(settings.hidden, 2)

    def forward(self, features: Tensor) -> Tensor:
        """Return positions in metres."""
        states, _ = self.rnn(self.steps(features))  # (B, T, H)
        return self.metres(self.head(states[:, -1]))


def load_network(card: ModelCard, tensors: Tensors) -> TorchSequences:
    """Return the network of a loaded model folder."""
    settings: dict[str, Any] = card.settings
    with reading_tensors(card):
        return TorchSequences(Jang(JangSettings.from_mapping(settings["network"], "model.json: network")), tensors)
