"""Exporting a trained network: an ONNX graph in the model folder, kept only where it equals torch on real windows."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import itertools
import logging
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mail_localization.data.recording import Recording, Topics
from mail_localization.errors import MissingDependencyError, ModelError, TrainingError
from mail_localization.localizer import localizer_of
from mail_localization.models.artifact import ModelCard, Tensors, load_model, save_model
from mail_localization.models.backend import NETWORK_FILE
from mail_localization.models.exported import kernel
from mail_localization.models.exported.graph import OPSET
from mail_localization.training.options import TrainOptions

GRAPHS = {
    "mail": "mail_localization.models.exported.mail",
    "jang": "mail_localization.models.exported.jang",
    "mmloc_plus": "mail_localization.models.exported.mmloc",
}
"""Methods that are a network -> the module that offers `graph(card, tensors)`."""
COMPILED = ("mail",)
"""Those of which the compiled kernel computes a part."""
TOLERANCE = 1e-5
"""Largest difference from torch, in units of the output and of its size."""
TOGETHER = 7
"""Windows of a batch; each is also computed alone."""
BATCHES = 4
"""Batches compared."""

ENGINES = {
    "ONNX Runtime": "try another version of onnxruntime",
    "the compiled kernel": "install without a C compiler, so that ONNX Runtime does its work",
}
"""What computes an exported network -> what to do where it gives other numbers."""

Array = npt.NDArray[Any]
Network = Callable[..., Array]

_log = logging.getLogger(__name__)


def export(folder: Path, recordings: Sequence[Path], topics: Topics) -> ModelCard:
    """Write the network of a model folder as ONNX, after it was compared with torch on windows of recordings.

    Args:
        folder: a model folder of a method in GRAPHS.
        recordings: as the model will meet them; some seconds of windows are taken.
        topics: of the recordings.

    Raises:
        ModelError: the method has no network, or the graph gives other numbers than torch.
        TrainingError: the recordings give no window.
    """
    card, tensors = load_model(folder)
    if card.method not in GRAPHS:
        raise ModelError(f"{folder}: method {card.method} is no network: it runs without torch as it is")
    calls = _real_calls(card, tensors, recordings, topics)
    graph: bytes = importlib.import_module(GRAPHS[card.method]).graph(card, tensors)
    tensors = tensors | {NETWORK_FILE: np.frombuffer(graph, dtype=np.uint8)}
    make = functools.partial(network_of, card, tensors, "onnxruntime")
    with kernel.left_out():  # The model may come to where it is not compiled.
        difference = compared(make, calls, folder)
    if card.method in COMPILED and kernel.library():
        difference = max(difference, compared(make, calls, folder, "the compiled kernel"))
    versions = {library: metadata.version(library) for library in ("onnx", "onnxruntime", "torch")}
    told = {
        "file": NETWORK_FILE,
        "opset": OPSET,
        "compared_with": "torch",
        "windows": sum(len(expected) for _, expected in calls),
        "batches": [1, TOGETHER],
        "tolerance": TOLERANCE,
        "largest_difference": difference,
        "versions": versions,
    }
    card = dataclasses.replace(card, export=told)
    save_model(folder, card, tensors)
    return card


def export_trained(folder: Path, recordings: Sequence[Path], options: TrainOptions) -> None:
    """Export what was just trained, where it is a network; without the libraries for it, warn."""
    if load_model(folder)[0].method not in GRAPHS:
        return
    try:
        export(folder, recordings, options.topics)
    except MissingDependencyError as err:
        _log.warning("%s: the network is not exported, so only torch runs it: %s", folder, err)


def network_of(card: ModelCard, tensors: Tensors, backend: str) -> Any:
    """Return the network that a backend runs, as the model's Localizer has it."""
    localizer: Any = localizer_of(card, tensors, backend=backend)
    return localizer.predictor.network


def compared(
    make: Callable[[], Network],
    calls: Sequence[tuple[tuple[Array, ...], Array]],
    folder: Path,
    engine: str = "ONNX Runtime",
) -> float:
    """Return the largest difference of a network from what torch made of the same inputs.

    Args:
        make: returns the network, with nothing kept from earlier windows.
        calls: the inputs, in the order of time, and torch's outputs.
        folder: for the error.
        engine: of ENGINES, for the error.

    Raises:
        ModelError: the outputs differ by more than TOLERANCE.
    """
    together, alone, largest = make(), make(), 0.0
    for inputs, expected in calls:
        one_by_one = [alone(*(array[k : k + 1] for array in inputs)) for k in range(len(expected))]
        for found, batch in ((together(*inputs), len(expected)), (np.concatenate(one_by_one), 1)):
            difference = np.abs(found.astype(np.float64) - expected)
            largest = max(largest, float(difference.max()))
            if not (difference <= TOLERANCE * (1 + np.abs(expected))).all():
                worst = float(np.nanmax(difference))
                raise ModelError(
                    f"{folder}: not exported: at batch {batch} {engine} differs from torch by up to {worst:.3g}, "
                    f"more than {TOLERANCE:g}; {ENGINES[engine]}, or keep backend torch"
                )
    return largest


class _Tap:
    """A network that keeps what it was asked and what it answered."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self.calls: list[tuple[tuple[Array, ...], Array]] = []

    def __call__(self, *inputs: Array) -> Array:
        outputs = self._network(*inputs)
        self.calls.append((inputs, outputs))
        return outputs


def _real_calls(
    card: ModelCard, tensors: Tensors, recordings: Sequence[Path], topics: Topics
) -> list[tuple[tuple[Array, ...], Array]]:
    """Return what torch makes of batches of windows, of as many recordings as it takes."""
    localizer: Any = localizer_of(card, tensors, backend="torch")
    localizer.batch = TOGETHER
    tap = localizer.predictor.network = _Tap(localizer.predictor.network)
    # What follows the network's instants along a way takes them one by one.
    drive = getattr(localizer, "instants", localizer.localize)
    for path in recordings:
        localizer.reset()
        for _ in itertools.islice(drive(Recording(path, topics).samples(localizer.inputs)), BATCHES * TOGETHER):
            pass
        full = [call for call in tap.calls if len(call[1]) == TOGETHER]
        if len(full) >= BATCHES:
            return full[:BATCHES]
    if not tap.calls:
        given = ", ".join(map(str, recordings))
        raise TrainingError(f"{given}: no window to compare the exported network on; give longer recordings")
    return tap.calls
