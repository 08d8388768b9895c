"""What the networks that regress a position have in common."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from mail_localization.models.artifact import Tensors, weights_of
from mail_localization.types import FloatArray


class PositionRegressor(nn.Module):
    """Map inputs to positions (B, 2), m; inside, positions are in units of their spread in the survey."""

    position_mean: Tensor
    position_std: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("position_mean", torch.zeros(2))
        self.register_buffer("position_std", torch.ones(()))

    def set_positions(self, positions: FloatArray) -> None:
        """Store the mean and deviation of training positions (n, 2), m.

        One deviation serves both axes: the loss on normalised positions is proportional to that in metres.
        """
        self.position_mean.copy_(torch.from_numpy(positions.mean(axis=0)))
        self.position_std.fill_(float(np.sqrt(positions.var(axis=0).mean())) or 1.0)

    def metres(self, normalised: Tensor) -> Tensor:
        """Return positions in metres."""
        return self.position_mean + self.position_std * normalised

    def training_loss(self, inputs: tuple[Tensor, ...], positions: Tensor, kind: str = "mse") -> Tensor:
        """Return the loss on a batch of inputs with positions (B, 2), m."""
        return self.loss(self(*inputs), positions, kind)

    def loss(self, estimates: Tensor, positions: Tensor, kind: str = "mse") -> Tensor:
        """Return the loss of positions (B, 2) in units of their deviation: `mse` (MAIL eq. 15) or mean `distance`."""
        offsets = (estimates - positions) / self.position_std
        # The small constant keeps the gradient finite where an estimate is exact.
        return offsets.square().mean() if kind == "mse" else (offsets.square().sum(dim=1) + 1e-8).sqrt().mean()


class SequenceRegressor(PositionRegressor):
    """Map sequences (B, N, C) to the position of their last sample."""

    input_mean: Tensor
    input_std: Tensor

    def __init__(self, channels: int, stride: int = 1) -> None:
        super().__init__()
        self.stride = stride
        """Samples averaged into one time step, counted from the newest."""
        self.register_buffer("input_mean", torch.zeros(channels))
        self.register_buffer("input_std", torch.ones(channels))

    def set_inputs(self, mean: FloatArray, std: FloatArray) -> None:
        """Store the inputs' mean and deviation (C,)."""
        self.input_mean.copy_(torch.from_numpy(mean))
        self.input_std.copy_(torch.from_numpy(std))

    def steps(self, features: Tensor) -> Tensor:
        """Return features (B, N, C) as time steps (B, N // stride, C), in units of their deviation over the survey."""
        x = (features - self.input_mean) / self.input_std
        if self.stride == 1:
            return x
        batch, length, channels = x.shape
        count = length // self.stride
        runs = x[:, length - count * self.stride :].reshape(batch, count, self.stride, channels)
        return runs.mean(dim=2)


class TorchSequences:
    """A trained SequenceRegressor as a network of a SequencePredictor."""

    def __init__(self, model: SequenceRegressor, tensors: Tensors) -> None:
        model.load_state_dict(state(weights_of(tensors)))
        self._model = model.eval().requires_grad_(False)

    def __call__(self, features: npt.NDArray[np.float32], ends: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """Return positions (B, 2), m, for features (B, N, C); every window is computed whole."""
        with torch.inference_mode():
            positions: npt.NDArray[np.float32] = self._model(torch.from_numpy(features)).numpy()
        return positions


def state(tensors: Tensors) -> dict[str, Any]:
    """Return a model folder's tensors as a state_dict."""
    return {name: torch.from_numpy(np.array(array)) for name, array in tensors.items()}
