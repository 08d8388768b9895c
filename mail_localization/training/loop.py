"""The training loop: one function, read from top to bottom."""

from __future__ import annotations

import contextlib
import math
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import Parameter
from tqdm import tqdm

from mail_localization.config import Settings, group, setting
from mail_localization.errors import TrainingError
from mail_localization.files import replace_file
from mail_localization.models.regressor import PositionRegressor
from mail_localization.training.checkpoint import Progress, Weights, load_checkpoint, save_checkpoint
from mail_localization.training.dataset import AugmentationSettings
from mail_localization.training.parallel import Processes
from mail_localization.types import FloatArray

HISTORY_FILE = "history.csv"
Indices = npt.NDArray[np.int64]
Inputs = tuple[npt.NDArray[np.float32], ...]


class Examples(Protocol):
    """What a network is trained or judged on: inputs made on demand, and a target for each."""

    @property
    def positions(self) -> FloatArray:
        """(n, 2) targets, m."""

    def __len__(self) -> int:
        """Return n."""

    def plain(self, which: Indices) -> Inputs:
        """Return the inputs of some examples, (b, ...) each, the same numbers as a Localizer sees."""

    def augmented(self, which: Indices, rng: np.random.Generator) -> Inputs:
        """Return the inputs of some examples, changed at random."""


class TrainingSettings(Settings):
    """How the network is trained; batch, rate and epochs are those of Table 3."""

    batch: int = setting(400, "windows in a batch (Table 3)", minimum=1)
    learning_rate: float = setting(0.02, "initial learning rate of Adam (Table 3)", minimum=1e-8, maximum=10.0)
    epochs: int = setting(1500, "most passes over the training windows (Table 3)", minimum=1)
    max_minutes: float = setting(40.0, "wall time after which training stops with the best model", minimum=0.01)
    hop: int = setting(25, "samples between the ends of training windows", minimum=1)
    validation_share: float = setting(
        0.2, "share of the recordings held out for validation, at least one", minimum=0.0, maximum=0.9
    )
    warmup: int = setting(100, "batches over which the rate rises to its initial value", minimum=0)
    schedule: str = setting(
        "plateau", "plateau: the rate falls when the validation error stops falling; cosine: it falls to 0 over "
        "`epochs`, the better use of a few",
        choices=("plateau", "cosine"),
    )  # fmt: skip
    decay: float = setting(0.5, "factor on the rate when the validation error stops falling", minimum=0.01, maximum=1.0)
    patience: int = setting(
        20, "epochs without a better validation error before a decay; at most a fifth of those that fit the time",
        minimum=1,
    )  # fmt: skip
    stop_after: int = setting(5, "decays without a better validation error after which training stops", minimum=1)
    loss: str = setting(
        "mse",
        "mse: squared error (eq. 15); distance: mean distance, which forgives aliases",
        choices=("mse", "distance"),
    )
    gradient_clip: float = setting(1.0, "largest norm of the gradient; 0 = no limit", minimum=0.0)
    weight_decay: float = setting(0.0, "weight decay, decoupled from the gradient (AdamW)", minimum=0.0)
    augmentation: AugmentationSettings = group(AugmentationSettings)

    def rate(self, batch: int, of: int, decays: int) -> float:
        """Return the learning rate of a batch, counted from 1 over the run, of so many, after so many decays."""
        rise = min(1.0, batch / max(1, self.warmup))
        if self.schedule == "cosine":
            return self.learning_rate * rise * (1 + math.cos(math.pi * batch / of)) / 2
        return self.learning_rate * rise * self.decay**decays

    def waits_too_long(self, progress: Progress) -> bool:
        """Tell whether the rate must fall: too many epochs have passed without a better one."""
        patience = min(self.patience, max(1, progress.planned // 5))
        return self.schedule == "plateau" and progress.waited >= patience


@dataclass(frozen=True)
class Limits:
    """What may end a run or change its pace, but not its numbers."""

    max_minutes: float
    progress: bool = True


@dataclass(frozen=True, eq=False)
class Fit:
    """What training leaves."""

    weights: Weights
    """Those that are best on the validation recordings, on the CPU."""
    progress: Progress
    errors: FloatArray
    """(n, 2) estimate less reference on the validation windows with those weights, m."""


@contextlib.contextmanager
def _denormals_flushed() -> Iterator[None]:
    """Count denormal numbers as 0: gradients fade to them over 500 time steps, and a CPU is slow with those."""
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


@_denormals_flushed()
def fit(
    model: PositionRegressor, training: Examples, validation: Examples, settings: TrainingSettings, *,
    seed: int, out: Path, run: dict[str, Any], limits: Limits,
) -> Fit:  # fmt: skip
    """Train a model on its device and return the weights that are best on the validation examples.

    Started by torchrun, its processes share every batch, and all but the first leave by Finished.
    A checkpoint in `out` is written after each epoch and continued from. An epoch's random numbers depend on seed
    and epoch alone: a run killed at any moment and started again ends with the weights of an undisturbed one.

    Raises:
        TrainingError: the loss is not finite, or `out` holds the checkpoint of another run.
    """
    device = next(model.parameters()).device
    processes = Processes(device)
    objective = processes.loss(model, settings.loss)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=settings.learning_rate, weight_decay=settings.weight_decay)
    state, best = load_checkpoint(out, run, model, optimizer)
    batches = math.ceil(len(training) / settings.batch)
    clock = _Clock(limits.max_minutes, settings.epochs, processes)
    bar = _bar(batches, limits.progress and processes.first)

    while state.epoch < settings.epochs and state.fruitless < settings.stop_after and not clock.out_of_time:
        # One pass over the training examples in random order.
        rng = np.random.default_rng((seed, state.epoch))
        torch.manual_seed(int(rng.integers(2**62)))
        total_loss, epoch_started = 0.0, time.monotonic()
        bar.reset()
        model.train()
        for number, which in enumerate(np.array_split(rng.permutation(len(training)), batches), start=1):
            inputs, positions, weight = _drawn(training, which, rng, processes, device)
            _set_rate(optimizer, settings.rate(state.epoch * batches + number, settings.epochs * batches, state.decays))
            loss = weight * objective(positions, *inputs)
            _descend(loss, optimizer, trained, settings.gradient_clip)
            total_loss += loss.item()
            if not math.isfinite(total_loss):
                bar.close()
                rate = settings.learning_rate
                raise TrainingError(f"epoch {state.epoch + 1}: the loss is {loss.item()}; lower learning_rate ({rate})")
            left = clock.minutes_left(state.epoch + number / batches)
            bar.set_postfix_str(
                f"epoch {state.epoch + 1}, loss {total_loss / number:.4f}, best validation {state.best_error:.2f} m, "
                f"at most {left:.0f} min left",
                refresh=False,
            )
            bar.update()
            if clock.out_of_time:
                break

        # The held-out recordings say whether these weights are the best so far.
        errors = held_out_errors(model, validation, settings.batch)
        error = processes.of_first(float(np.linalg.norm(errors, axis=1).mean()))
        if error < state.best_error:
            state.best_error, state.best_epoch, state.waited, state.fruitless = error, state.epoch + 1, 0, 0
            best = {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}
        else:
            state.waited += 1
        if number < batches:
            break  # an unfinished epoch is not worth a checkpoint: it could not be continued to the same numbers

        # The rate falls, and training ends, when they no longer get better.
        minutes = processes.of_first((time.monotonic() - epoch_started) / 60)
        state.end_epoch(minutes, processes.mean(total_loss) / batches, error)
        state.planned = state.planned or min(settings.epochs, max(1, int(limits.max_minutes / minutes)))
        if settings.waits_too_long(state):
            state.waited, state.decays, state.fruitless = 0, state.decays + 1, state.fruitless + 1
        if processes.first:
            save_checkpoint(out, run, state, best, model=model, optimizer=optimizer)

    bar.close()
    processes.leave()
    _write_history(out, state)
    model.load_state_dict(best)
    return Fit(best, state, held_out_errors(model, validation, settings.batch))


def held_out_errors(model: PositionRegressor, examples: Examples, batch: int) -> FloatArray:
    """Return estimate less reference (n, 2) of all examples, m."""
    device = next(model.parameters()).device
    model.eval()
    with torch.no_grad():
        estimates = [
            model(*_on_device(examples.plain(which), device)).cpu().double().numpy()
            for which in np.array_split(np.arange(len(examples)), math.ceil(len(examples) / batch))
        ]
    return np.asarray(np.concatenate(estimates) - examples.positions)


def _drawn(
    training: Examples, which: Indices, rng: np.random.Generator, processes: Processes, device: torch.device
) -> tuple[tuple[Tensor, ...], Tensor, float]:
    """Return this process's share of a batch: inputs (b, ...), positions (b, 2), m, and the weight of its mean."""
    own, weight = processes.share(len(which))
    inputs = _on_device(tuple(array[own] for array in training.augmented(which, rng)), device)
    return inputs, torch.from_numpy(training.positions[which][own]).float().to(device), weight


def _bar(batches: int, shown: bool) -> Any:
    # A log file gets a line now and then, a terminal a moving bar.
    pause = 0.1 if sys.stderr.isatty() else 30.0
    return tqdm(total=batches, unit="batch", disable=not shown, mininterval=pause, dynamic_ncols=True)


def _descend(loss: Tensor, optimizer: torch.optim.Optimizer, trained: list[Parameter], clip: float) -> None:
    """Take one step down the gradient, whose norm is limited to `clip` unless that is 0."""
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    if clip:
        torch.nn.utils.clip_grad_norm_(trained, clip)
    optimizer.step()


def _set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for parameters in optimizer.param_groups:
        parameters["lr"] = rate


def _on_device(inputs: Inputs, device: torch.device) -> tuple[Tensor, ...]:
    return tuple(torch.from_numpy(array).to(device) for array in inputs)


def _write_history(out: Path, state: Progress) -> None:
    """Write the loss and the validation error of every epoch, for plots (MAIL figure 14)."""
    rows = [f"{epoch},{loss:.6g},{error:.6g}" for epoch, (loss, error) in enumerate(state.history, start=1)]
    try:
        replace_file(out / HISTORY_FILE, "\n".join(["epoch,loss,validation_m", *rows, ""]).encode())
    except OSError as err:
        raise TrainingError(f"{out / HISTORY_FILE}: cannot be written: {err.strerror}; free some space") from err


class _Clock:
    """Wall time since the start, against the limit; of several processes, the first one's."""

    def __init__(self, max_minutes: float, epochs: int, processes: Processes) -> None:
        self._started, self._max_minutes, self._epochs = time.monotonic(), max_minutes, epochs
        self._processes = processes
        self._first_epoch: float | None = None

    @property
    def minutes(self) -> float:
        return (time.monotonic() - self._started) / 60

    @property
    def out_of_time(self) -> bool:
        return self._processes.of_first(self.minutes >= self._max_minutes) > 0

    def minutes_left(self, epochs: float) -> float:
        """Return the time to the limit or to the last epoch, whichever comes first, at `epochs` epochs done."""
        if self._first_epoch is None:
            self._first_epoch = epochs
        done = epochs - self._first_epoch
        to_limit = max(0.0, self._max_minutes - self.minutes)
        return min(to_limit, self.minutes / done * (self._epochs - epochs)) if done > 0 else to_limit
