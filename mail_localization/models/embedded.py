"""A model inside another's tensors: a method that begins where another says carries that one in its own folder."""

from __future__ import annotations

import dataclasses
import json

import numpy as np

from mail_localization.errors import ModelError
from mail_localization.models.artifact import ModelCard, Tensors

_CARD = "card"
STARTER = "starter"
"""Prefix of the model that gives a method its first pose."""


def embed(card: ModelCard, tensors: Tensors, prefix: str) -> Tensors:
    """Return the card (as JSON bytes) and the tensors of a model, all named `PREFIX/...`."""
    text = json.dumps(dataclasses.asdict(card), allow_nan=False).encode()
    named = {f"{prefix}/{name}": tensor for name, tensor in tensors.items()}
    return {**named, f"{prefix}/{_CARD}": np.frombuffer(text, dtype=np.uint8)}


def embedded(tensors: Tensors, prefix: str) -> tuple[ModelCard, Tensors] | None:
    """Return the card and the tensors of what `embed` put there; None where there is nothing.

    Raises:
        ModelError: the card cannot be read.
    """
    head = f"{prefix}/"
    inner = {name.removeprefix(head): tensor for name, tensor in tensors.items() if name.startswith(head)}
    packed = inner.pop(_CARD, None)
    if packed is None:
        return None
    try:
        return ModelCard(**json.loads(packed.astype(np.uint8).tobytes())), inner
    except (TypeError, ValueError, RecursionError) as err:
        raise ModelError(f"weights: the model under {prefix!r} is damaged: {err}; train the model again") from err
