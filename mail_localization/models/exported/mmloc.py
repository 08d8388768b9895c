"""MMLoc+ as an exported graph."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mail_localization.models.artifact import ModelCard, Tensors, reading_tensors
from mail_localization.models.exported.graph import Graph
from mail_localization.models.exported.session import Session
from mail_localization.models.mmloc_settings import MmlocModelConfig, model_config, network_tensors
from mail_localization.preprocess.modalities import MODALITIES

INPUTS = ("imu", "mag", "wifi", "mask")


def graph(card: ModelCard, tensors: Tensors) -> bytes:
    """Return the graph.

    Inputs, of the modalities that the model has: `imu` (B, N, 6), `mag` (B, N, 3), `wifi` (B, A), and `mask` (B, 3) as
    MmlocPlus takes them. Output: `output`, the position (B, 2), m, or a heat map's logits (B, M).
    """
    config, weights = model_config(card.settings), network_tensors(tensors)
    made, shapes, settings = Graph(weights), _shapes(config, weights), config.network
    inputs = {name: made.input(name, ["B", *shape]) for name, shape in shapes.items()}
    parts = []
    if "imu" in inputs:
        parts.append(_last_state(made, inputs["imu"], "lstm1", shapes["imu"], settings.inertial_step))
    if "mag" in inputs:
        parts.append(_last_state(made, inputs["mag"], "lstm2", shapes["mag"], settings.magnetic_step))
    if "wifi" in inputs:
        x = inputs["wifi"]
        for layer in range(len(settings.wifi_hidden)):
            x = made.add("Relu", made.linear(x, f"dnn.{2 * layer}"))
        parts.append(x)
    columns = [k for k, name in enumerate(MODALITIES) if name in inputs]
    masked = [
        made.add("Mul", part, made.add("Gather", inputs["mask"], made.constant([k], np.int64), axis=1))
        for part, k in zip(parts, columns, strict=True)
    ]
    joined = made.add("Relu", made.linear(made.add("Concat", *masked, inputs["mask"], axis=1), "fusion.1"))
    if settings.head == "heatmap":
        cells = (made.constant(made.tensor(f"head.linear.{name}")) for name in ("weight", "bias"))
        made.output("output", ["B", len(weights["head.centres"])], "Gemm", joined, *cells, transB=1)
    else:
        made.position(joined, "output")
    return made.model("mmloc_plus")


def _last_state(made: Graph, x: str, name: str, shape: Sequence[int], step: int) -> str:
    """Return the state (B, H) of an LSTM after sequences (B, N, C), `step` samples at a time, counted from the end."""
    length, channels = shape
    steps = length // step
    centred = made.add("Sub", x, made.constant(made.tensor(f"{name}.mean")))
    normalised = made.add("Div", centred, made.constant(made.tensor(f"{name}.std")))
    if skipped := length - steps * step:
        bounds = (made.constant([bound], np.int64) for bound in (skipped, length, 1))
        normalised = made.add("Slice", normalised, *bounds)
    merged = made.add("Transpose", made.reshape(normalised, 0, steps, step * channels), perm=[1, 0, 2])
    weights = [_gates(made.tensor(f"{name}.lstm.weight_{kind}_l0"))[None] for kind in ("ih", "hh")]
    bias = np.concatenate([_gates(made.tensor(f"{name}.lstm.bias_{kind}_l0")) for kind in ("ih", "hh")])[None]
    constants = [made.constant(values) for values in (*weights, bias)]
    last = made.add("LSTM", merged, *constants, before=1, hidden_size=weights[1].shape[2])
    return made.add("Squeeze", last, made.constant([0], np.int64))


def _gates(rows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return torch's gates (input, forget, cell, output) in ONNX's order (input, output, forget, cell)."""
    i, f, c, o = np.split(rows, 4)
    return np.concatenate([i, o, f, c])


def _shapes(config: MmlocModelConfig, weights: Tensors) -> dict[str, tuple[int, ...]]:
    """Return the shape of each of the graph's inputs, but for the batch."""
    shapes: dict[str, tuple[int, ...]] = {}
    if "imu" in config.modalities:
        shapes["imu"] = (config.inertial.length, 6)
    if "mag" in config.modalities:
        shapes["mag"] = (config.window.length, 3)
    if "wifi" in config.modalities:
        shapes["wifi"] = (weights["dnn.0.weight"].shape[1],)
    return shapes | {"mask": (len(MODALITIES),)}


class ExportedMmloc:
    """The exported network of an MmlocPredictor, over whole windows.

    Carried on side by side, as MAIL's sub-sequences are, LSTM1's and LSTM2's windows of 10 and 20 steps would take 0.12
    instead of 0.22 ms, of an estimate's 2.8.
    """

    def __init__(self, card: ModelCard, tensors: Tensors) -> None:
        with reading_tensors(card):
            shapes = _shapes(model_config(card.settings), network_tensors(tensors))
        self._names = list(shapes)
        self._session = Session(tensors)
        self._session.require({name: (None, *shape) for name, shape in shapes.items()})

    def __call__(self, *inputs: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return positions (B, 2), m, or a heat map's logits (B, M), for inputs as MmlocPlus takes them."""
        given = dict(zip(INPUTS, inputs, strict=True))
        (outputs,) = self._session.run({name: given[name] for name in self._names})
        return outputs


def load_network(card: ModelCard, tensors: Tensors) -> ExportedMmloc:
    """Return the network of a loaded model folder."""
    return ExportedMmloc(card, tensors)
