"""The floor every network must beat: the position of the most similar magnetic sequence of the survey (1-NN)."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from mail_localization.config import Settings, group, setting
from mail_localization.errors import ConfigError
from mail_localization.models.artifact import ModelCard, Tensors, reading_tensors
from mail_localization.preprocess.magnetic import MagneticSettings
from mail_localization.preprocess.windows import WindowSettings
from mail_localization.types import FloatArray


class MatchSettings(Settings):
    """How sequences are compared."""

    stride: int = setting(5, "samples averaged into one before the comparison", minimum=1)
    survey_hop: int = setting(10, "samples between the ends of the survey's sequences", minimum=1)


class MagneticNnConfig(Settings):
    """Configuration of method magnetic_nn."""

    window: WindowSettings = group(WindowSettings)
    magnetic: MagneticSettings = dataclasses.field(default_factory=lambda: MagneticSettings(transform="raw"))
    match: MatchSettings = group(MatchSettings)

    def check(self) -> None:
        """Refuse a stride that leaves less than two values."""
        if self.match.stride * 2 > self.window.length:
            raise ConfigError(f"match.stride {self.match.stride} is over half of window.length {self.window.length}")


class MagneticNn:
    """Nearest neighbour by Euclidean distance between whole sequences."""

    def __init__(self, sequences: npt.NDArray[np.float32], positions: FloatArray, covariance: FloatArray,
                 stride: int) -> None:  # fmt: skip
        self._sequences = sequences
        self._positions = positions
        self._covariance = covariance
        self._stride = stride
        self._norms = np.einsum("md,md->m", sequences, sequences)

    def predict(self, features: npt.NDArray[np.float32], ends: npt.NDArray[np.int64]) -> tuple[FloatArray, FloatArray]:
        """Return the positions (B, 2) of the nearest survey sequences, m, and their covariances (B, 2, 2)."""
        query = descriptors(features, self._stride)
        # The query's own norm is the same for every candidate.
        distances = self._norms - 2 * query @ self._sequences.T
        nearest = distances.argmin(axis=1)
        return self._positions[nearest], np.broadcast_to(self._covariance, (len(query), 2, 2))


def descriptors(features: npt.NDArray[np.float32], stride: int) -> npt.NDArray[np.float32]:
    """Average runs of `stride` samples, counted from the end, and flatten: (B, N, C) -> (B, N // stride * C)."""
    batch, length, channels = features.shape
    kept = length // stride * stride
    runs = features[:, length - kept :].reshape(batch, kept // stride, stride, channels)
    return np.ascontiguousarray(runs.mean(axis=2).reshape(batch, kept // stride * channels))


def load_predictor(card: ModelCard, tensors: Tensors) -> MagneticNn:
    """Build the predictor from a model folder's content."""
    config = MagneticNnConfig.from_mapping(card.settings, "model.json")
    with reading_tensors(card):
        sequences, positions = tensors["sequences"], tensors["positions"].astype(np.float64)
        if len(sequences) != len(positions) or len(sequences) == 0:
            raise ValueError(f"{len(sequences)} sequences, {len(positions)} positions")
        return MagneticNn(sequences, positions, np.asarray(card.covariance), config.match.stride)
