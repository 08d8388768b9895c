"""The state of an unfinished training run: one safetensors file, replaced at once, never pickle."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from mail_localization.errors import TrainingError
from mail_localization.files import replace_file

FILE = "checkpoint.safetensors"
Weights = dict[str, Tensor]


@dataclass
class Progress:
    """Where a run stands. Random numbers are drawn anew from (seed, epoch), so that no generator is kept."""

    epoch: int = 0
    """Epochs done."""
    planned: int = 0
    """Epochs that fit the time limit, as measured in the first one; 0 before it."""
    decays: int = 0
    """How often the learning rate was lowered."""
    best_epoch: int = 0
    best_error: float = float("inf")
    """Mean distance on the validation recordings, m."""
    waited: int = 0
    """Epochs since the best one or the last decay."""
    fruitless: int = 0
    """Decays since the best epoch."""
    minutes: float = 0.0
    """Training time spent, over all starts."""
    history: list[tuple[float, float]] = field(default_factory=list)
    """Mean training loss and mean distance on the validation recordings, m, of each epoch."""

    def end_epoch(self, minutes: float, loss: float, error: float) -> None:
        """Count an epoch that took so long and ended with a mean loss and a validation error, m."""
        self.epoch, self.minutes = self.epoch + 1, self.minutes + minutes
        self.history.append((loss, error))


def save_checkpoint(
    folder: Path,
    run: dict[str, Any],
    progress: Progress,
    best: Weights,
    *,
    model: nn.Module,
    optimizer: torch.optim.Adam,
) -> None:
    """Write the checkpoint of a run; `run` tells runs of other settings or data apart."""
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    tensors |= {f"best.{name}": value for name, value in best.items()}
    for number, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{number}.{name}": value for name, value in state.items()}
    metadata = {"run": json.dumps(run, sort_keys=True), "progress": json.dumps(asdict(progress))}
    blob = save({name: value.detach().cpu().contiguous() for name, value in tensors.items()}, metadata)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        replace_file(folder / FILE, blob, durable=True)
    except OSError as err:
        raise TrainingError(f"{folder}: checkpoint cannot be written: {err}; free some space or change --out") from err


def load_checkpoint(
    folder: Path, run: dict[str, Any], model: nn.Module, optimizer: torch.optim.Adam
) -> tuple[Progress, Weights]:
    """Restore model and optimizer and return progress and best weights; a folder without a checkpoint starts anew.

    Raises:
        TrainingError: the checkpoint is damaged, or of other settings or recordings.
    """
    path = folder / FILE
    if not path.exists():
        return Progress(), {name: value.clone() for name, value in model.state_dict().items()}
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
        stored, progress = json.loads(metadata["run"]), Progress(**json.loads(metadata["progress"]))
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as err:
        raise TrainingError(f"{path}: damaged checkpoint: {err}; delete it to start anew") from err
    run = json.loads(json.dumps(run))
    if stored != run:
        raise TrainingError(
            f"{path}: belongs to a run with other {_difference(stored, run)}; "
            "give another --out, or delete the file to start anew"
        )
    model.load_state_dict(_part(tensors, "model."))
    states: dict[int, Weights] = {}
    for name, value in _part(tensors, "optimizer.").items():
        number, _, key = name.partition(".")
        states.setdefault(int(number), {})[key] = value
    optimizer.load_state_dict({"state": states, "param_groups": optimizer.state_dict()["param_groups"]})
    return progress, _part(tensors, "best.")


def _part(tensors: Weights, prefix: str) -> Weights:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _difference(stored: Any, run: Any, name: str = "") -> str:
    """Name what differs between two nested mappings, with the stored value first."""
    if not (isinstance(stored, dict) and isinstance(run, dict)):
        return f"{name} ({stored!r}, now {run!r})" if len(f"{stored!r}{run!r}") < 200 else name
    parts = [
        _difference(stored.get(key), run.get(key), f"{name}.{key}".lstrip("."))
        for key in sorted(stored.keys() | run.keys())
        if stored.get(key) != run.get(key)
    ]
    return ", ".join(parts)
