"""Feature windows as the time steps that a network over sequences takes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mail_localization.models.artifact import Tensors


class Steps:
    """What models/regressor.py's SequenceRegressor.steps does, without torch."""

    def __init__(self, tensors: Tensors, stride: int) -> None:
        self._mean = np.asarray(tensors["input_mean"], dtype=np.float32)
        self._std = np.asarray(tensors["input_std"], dtype=np.float32)
        self._stride = stride

    def __call__(self, features: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return features (B, N, C) as time steps (B, N // stride, C), in units of their deviation over the survey."""
        x = (features - self._mean) / self._std
        if self._stride == 1:
            return x
        batch, length, channels = x.shape
        count = length // self._stride
        runs = x[:, length - count * self._stride :].reshape(batch, count, self._stride, channels)
        return np.asarray(runs.mean(axis=2))
