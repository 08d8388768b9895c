"""Training a network that looks at windows of the magnetic sequence, from recordings to the model folder."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mail_localization.config import Settings, group
from mail_localization.data.splits import hold_out, load_survey, warn_if_unvisited
from mail_localization.data.traces import Trace
from mail_localization.errors import TrainingError
from mail_localization.localizer import WindowedConfig
from mail_localization.models.artifact import save_model
from mail_localization.models.regressor import SequenceRegressor
from mail_localization.preprocess.magnetic import MagneticFeatures
from mail_localization.training.dataset import WindowExamples, WindowSet
from mail_localization.training.loop import Limits, TrainingSettings, fit
from mail_localization.training.options import TrainOptions
from mail_localization.training.probe import calibrated
from mail_localization.training.provenance import model_card, recording_entries
from mail_localization.types import FloatArray


class NetworkConfig(WindowedConfig):
    """The part of a network's configuration that trains it."""

    training: TrainingSettings = group(TrainingSettings)


LEARNED = 0.8
"""Share of the error of a mere guess above which a network has learned next to nothing."""

_log = logging.getLogger(__name__)


def train_windowed(
    method: str, make: Callable[[], SequenceRegressor], config: NetworkConfig,
    recordings: list[Path], out: Path, options: TrainOptions,
) -> None:  # fmt: skip
    """Train a network on recordings and write the model folder; the covariance is that of the held-out errors.

    Args:
        method: the method's name.
        make: makes the network, after the random generator was seeded.
        config: the method's whole configuration.
        recordings: surveyed recordings of one site.
        out: the model folder.
        options: of the command.

    Raises:
        TrainingError: too few recordings, none long enough, or `out` holds the checkpoint of another run.
    """
    device = training_device(options)
    make_folder(out)
    traces, validation = load_survey(
        recordings,
        options.validation,
        options.topics,
        config.window,
        config.magnetic,
        options.progress,
        cache=options.cache,
    )
    if validation:
        warn_if_unvisited(traces, validation)
    else:
        traces, validation = hold_out(traces, config.training.validation_share, options.seed)
    features = MagneticFeatures(config.magnetic, config.window.rate_hz)
    training_windows = _windows(traces, features, config, config.training.hop)
    validation_windows = _windows(validation, features, config, config.window.hop)

    torch.manual_seed(options.seed)
    model = make()
    model.set_inputs(*_input_statistics(training_windows))
    model.set_positions(training_windows.positions)
    limits = Limits(options.max_minutes or config.training.max_minutes, options.progress)
    run = run_identity(config, recording_entries(traces, validation), options.seed)
    result = fit(
        model.to(device),
        WindowExamples(training_windows, config.training.augmentation),
        WindowExamples(validation_windows, config.training.augmentation),
        config.training, seed=options.seed, out=out, run=run, limits=limits,
    )  # fmt: skip
    warn_if_no_better_than_a_guess(result.errors, validation_windows.positions, training_windows.positions)
    done = result.progress
    card = model_card(
        method, config, result.errors, traces, validation, options.seed,
        epochs=done.epoch, best_epoch=done.best_epoch, minutes=round(done.minutes, 2),
    )  # fmt: skip
    tensors = {name: value.numpy() for name, value in result.weights.items()}
    save_model(out, calibrated(card, tensors, [trace.path for trace in validation], options), tensors)


def warn_if_no_better_than_a_guess(errors: FloatArray, truth: FloatArray, training: FloatArray) -> None:
    """Warn where the held-out errors (n, 2) are hardly below those of always saying the survey's middle."""
    error = float(np.linalg.norm(errors, axis=1).mean())
    guess = float(np.linalg.norm(truth - training.mean(axis=0), axis=1).mean())
    if error > LEARNED * guess:
        _log.warning(
            "the held-out error of %.1f m is hardly below the %.1f m of always guessing the middle of the survey: "
            "train longer, walk the paths more often, or change magnetic.transform (see config/) or magnetic.smoothing",
            error, guess,
        )  # fmt: skip


def _windows(traces: list[Trace], features: MagneticFeatures, config: NetworkConfig, hop: int) -> WindowSet:
    windows = WindowSet(traces, features, config.window, hop)
    if not len(windows):
        seconds = (config.window.length + features.margin) / config.window.rate_hz
        raise TrainingError(
            f"{', '.join(str(trace.path) for trace in traces)}: no unbroken {seconds:.1f} s of magnetic samples that "
            "end between two references; record longer walks, or lower window.length"
        )
    return windows


def _input_statistics(windows: WindowSet) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return mean and standard deviation (3,) of the features of up to 2000 windows spread over all."""
    which = np.unique(np.linspace(0, len(windows) - 1, min(2000, len(windows))).astype(np.int64))
    features = windows.batch(which).reshape(-1, windows.features.channels).astype(np.float64)
    return features.mean(axis=0), np.maximum(features.std(axis=0), 1e-6)


def run_identity(config: Settings, entries: list[dict[str, Any]], seed: int) -> dict[str, Any]:
    """Return what two starts must share to be one run: all but the time limit."""
    settings = config.to_mapping()
    del settings["training"]["max_minutes"]
    hashes: dict[str, list[str]] = {}
    for entry in entries:
        hashes.setdefault(f"{entry['role']} {entry['name']}", []).append(entry["hash"])
    return {"settings": settings, "seed": seed, "recordings": hashes}


def make_folder(out: Path) -> None:
    """Make sure now, not after an epoch, that the model can be written."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as err:
        raise TrainingError(f"{out}: cannot be made a model folder: {err.strerror}; give another --out") from err


def training_device(options: TrainOptions) -> torch.device:
    """Return the device asked for and apply the number of threads."""
    torch.set_num_threads(options.threads)
    available = torch.cuda.is_available()
    if options.device == "cuda" and not available:
        raise TrainingError(
            "--device cuda: torch finds no CUDA device; use --device cpu, or install a CUDA build of torch"
        )
    if not available or options.device == "cpu":
        return torch.device("cpu")
    # torchrun starts a process for every GPU and numbers those of a machine.
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
