"""Positions of a network over windows, whatever computes it."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from mail_localization.models.artifact import ModelCard
from mail_localization.types import FloatArray


class SequenceNetwork(Protocol):
    """A trained network over feature windows."""

    def __call__(self, features: npt.NDArray[np.float32], ends: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """Return positions (B, 2), m.

        Args:
            features: (B, N, C).
            ends: (B,) numbers of the windows' last rows, ascending: windows share the rows whose numbers agree.
        """


class SequencePredictor:
    """A network with the covariance of its errors."""

    def __init__(self, network: SequenceNetwork, card: ModelCard) -> None:
        self.network = network
        self._covariance = np.array(card.covariance, dtype=np.float64)

    def predict(self, features: npt.NDArray[np.float32], ends: npt.NDArray[np.int64]) -> tuple[FloatArray, FloatArray]:
        """Return positions (B, 2) in `map`, m, and covariances (B, 2, 2), m^2, for features (B, N, C)."""
        positions = self.network(features, ends).astype(np.float64)
        return positions, np.broadcast_to(self._covariance, (len(positions), 2, 2)).copy()
