"""Training in several processes, as torchrun starts them: each computes its share of every batch, all take one step."""

from __future__ import annotations

import logging
import os

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from mail_localization.models.regressor import PositionRegressor


class Finished(Exception):
    """This process is not the first, and its part is done: the first one writes the model."""


class Loss(nn.Module):
    """A network's training loss as a module, so that DistributedDataParallel can wrap it."""

    def __init__(self, model: PositionRegressor, kind: str) -> None:
        super().__init__()
        self._model, self._kind = model, kind

    def forward(self, positions: Tensor, *inputs: Tensor) -> Tensor:
        """Return the loss on a batch with positions (b, 2), m."""
        return self._model.training_loss(inputs, positions, self._kind)


class Processes:
    """The processes of a run; a single one where torchrun has not started it (no WORLD_SIZE in the environment).

    Every process draws the same random numbers for whole batches, so what they learn together equals what one learns
    alone, up to the order of additions.
    """

    def __init__(self, device: torch.device) -> None:
        """Wait for the others."""
        self.count = int(os.environ.get("WORLD_SIZE", "1"))
        self._rank = int(os.environ.get("RANK", "0"))
        self._device = device
        if self.count > 1:
            distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
        if not self.first:
            # What there is to say, the first one says.
            logging.disable(logging.WARNING)

    @property
    def first(self) -> bool:
        """Whether this process writes files and shows progress."""
        return self._rank == 0

    def loss(self, model: PositionRegressor, kind: str) -> nn.Module:
        """Return the module that gives the loss and, behind it, the mean of all processes' gradients."""
        loss = Loss(model, kind)
        return DistributedDataParallel(loss, broadcast_buffers=False) if self.count > 1 else loss

    def share(self, examples: int) -> tuple[slice, float]:
        """Return which examples of a batch are this process's, and the weight of their mean in that of all."""
        if examples < self.count:
            return slice(None), 1.0
        own = slice(self._rank, None, self.count)
        return own, len(range(examples)[own]) * self.count / examples

    def mean(self, value: float) -> float:
        """Return the mean of all processes' values."""
        return self._sum(value) / self.count

    def of_first(self, value: float) -> float:
        """Return the first process's value: its clock is everybody's."""
        return self._sum(value if self.first else 0.0)

    def leave(self) -> None:
        """End the work together.

        Raises:
            Finished: in all processes but the first.
        """
        if self.count > 1:
            distributed.destroy_process_group()
        if not self.first:
            raise Finished

    def _sum(self, value: float) -> float:
        if self.count == 1:
            return value
        number = torch.tensor(value, dtype=torch.float64, device=self._device)
        distributed.all_reduce(number)
        return float(number)
