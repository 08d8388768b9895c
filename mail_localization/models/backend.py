"""What computes a network: ONNX Runtime from the exported graph, or torch from the weights."""

from __future__ import annotations

from importlib.util import find_spec

from mail_localization.errors import MissingDependencyError, ModelError
from mail_localization.models.artifact import ModelCard, Tensors

BACKENDS = ("auto", "onnxruntime", "torch")
NETWORK_FILE = "network.onnx"
"""The exported network's name in a model folder, and among its tensors."""


def chosen_backend(card: ModelCard, tensors: Tensors, asked: str) -> str:
    """Return `onnxruntime` or `torch`; auto takes ONNX Runtime where the network is exported and it is installed.

    Raises:
        ModelError: ONNX Runtime is asked for and the network is not exported.
        MissingDependencyError: what is left is not installed.
    """
    exported = NETWORK_FILE in tensors
    if asked == "onnxruntime" and not exported:
        raise ModelError(
            f"method {card.method!r}: the model is not exported, so backend onnxruntime has nothing to run; make "
            f"{NETWORK_FILE} with `mail_localization export MODEL --bags DIR`, or take backend torch"
        )
    if asked == "onnxruntime" or (asked == "auto" and exported and _installed("onnxruntime")):
        if not _installed("onnxruntime"):
            raise MissingDependencyError("onnxruntime", f"backend onnxruntime of method {card.method}")
        return "onnxruntime"
    if not _installed("torch"):
        if exported and asked == "auto":
            raise MissingDependencyError("onnxruntime", f"method {card.method}")
        hint = "" if exported else f" without {NETWORK_FILE} (or run `mail_localization export` where torch is)"
        raise MissingDependencyError("torch", f"method {card.method}{hint}")
    return "torch"


def _installed(library: str) -> bool:
    try:
        return find_spec(library) is not None
    except (ImportError, ValueError):
        return False
