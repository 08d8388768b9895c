"""One exported network in ONNX Runtime, on one core."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
import numpy.typing as npt

from mail_localization.errors import ModelError, importing
from mail_localization.models.artifact import Tensors
from mail_localization.models.backend import NETWORK_FILE
from mail_localization.models.exported.sharing import shared

Arrays = Mapping[str, npt.NDArray[Any]]

_REMEDY = "run `mail_localization export`"
_LOADED: WeakValueDictionary[bytes, Any] = WeakValueDictionary()
"""Hash of a graph -> ONNX Runtime's session, which keeps no state: a fleet's targets all use the same weights."""


class Session:
    """Run an exported graph.

    Raises:
        ModelError: the folder has no graph, or it is not one that ONNX Runtime reads.
    """

    def __init__(self, tensors: Tensors) -> None:
        if NETWORK_FILE not in tensors:
            raise ModelError(f"no {NETWORK_FILE} in the model folder; {_REMEDY}")
        graph = np.asarray(tensors[NETWORK_FILE], dtype=np.uint8).tobytes()
        name = hashlib.sha256(graph).digest()
        self._session = shared(_LOADED, name, lambda: _loaded(graph))
        self._inputs = {node.name: node.shape for node in self._session.get_inputs()}

    def require(self, inputs: Mapping[str, Sequence[int | None]]) -> None:
        """Check the graph's inputs by name and shape; None is a size of any value.

        Raises:
            ModelError: the graph is of another network.
        """
        found = {
            name: tuple(size if isinstance(size, int) else None for size in shape)
            for name, shape in self._inputs.items()
        }
        if found != {name: tuple(shape) for name, shape in inputs.items()}:
            raise ModelError(f"{NETWORK_FILE}: of another network than the model's settings tell; {_REMEDY}")

    def run(self, inputs: Arrays, *outputs: str) -> list[npt.NDArray[Any]]:
        """Return the graph's outputs of these names, or all, in their order.

        Raises:
            ModelError: the inputs do not fit the graph.
        """
        try:
            found: list[npt.NDArray[Any]] = self._session.run(outputs or None, dict(inputs))
            return found
        except Exception as err:
            raise ModelError(f"{NETWORK_FILE}: does not fit the model: {_first_line(err)}; {_REMEDY}") from err


def _loaded(graph: bytes) -> Any:
    with importing("an exported model"):
        import onnxruntime as ort
    ort.set_default_logger_severity(3)
    options = ort.SessionOptions()
    # At batch 1 a second thread gains nothing, and one that waits would spin on a core of its own.
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # The arena keeps what the largest batch took; windows are small.
    options.enable_cpu_mem_arena = False
    try:
        return ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as err:  # ONNX Runtime's errors have no common class of their own.
        raise ModelError(f"{NETWORK_FILE}: ONNX Runtime refuses it: {_first_line(err)}; {_REMEDY}") from err


def _first_line(err: Exception) -> str:
    return str(err).splitlines()[0] if str(err) else type(err).__name__
