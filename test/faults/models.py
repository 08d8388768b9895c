"""Damaged model folders: card and weights, with the hash that vouches for them put right again."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from methods_small import SMALL
from modal_surveys import write_modal_survey
from safetensors.numpy import load, save

from faults.mutations import damaged, damaged_json
from mail_localization.errors import MailLocalizationError
from mail_localization.localizer import localizer_of
from mail_localization.methods import METHODS
from mail_localization.models.artifact import CARD_FILE, WEIGHTS_FILE, load_model
from mail_localization.preprocess.profile import SurveyProfile
from mail_localization.training.options import TrainOptions


class ModelFolders:
    """A small model of each method, damaged in one of four ways."""

    name = "model folders"
    documented = MailLocalizationError
    """ModelError, and ConfigError for settings out of their range."""

    def __init__(self, scratch: Path, methods: tuple[str, ...] = tuple(METHODS)) -> None:
        walks = write_modal_survey(scratch / "walks", speeds=(0.9, 1.0, 1.1), seconds=40.0)
        self._folder = scratch / "damaged_model"
        self._folder.mkdir()
        self._seeds: list[tuple[bytes, bytes]] = []
        for method in methods:
            kind, out = METHODS[method], scratch / method
            kind.train(kind.config.from_mapping(SMALL.get(method, {})), walks, out, TrainOptions(progress=False))
            self._seeds.append(((out / CARD_FILE).read_bytes(), (out / WEIGHTS_FILE).read_bytes()))

    def cases(self, rng: random.Random) -> Iterator[None]:
        """Feed one damaged folder."""
        card, weights = rng.choice(self._seeds)
        kind = rng.choice(("card bytes", "card values", "card values", "weights", "tensors", "tensors"))
        if kind == "card bytes":
            card = damaged(card, rng)
        elif kind == "card values":
            card = damaged_json(json.loads(card), rng).encode()
        else:
            weights = damaged(weights, rng) if kind == "weights" else _odd_tensor(weights, rng)
            if rng.random() < 0.9:
                card = card.replace(json.loads(card)["hashes"][WEIGHTS_FILE].encode(), _hash(weights))
        (self._folder / CARD_FILE).write_bytes(card)
        (self._folder / WEIGHTS_FILE).write_bytes(weights)
        yield
        card_read, tensors = load_model(self._folder)
        localizer_of(card_read, tensors)
        # As the node does, to judge its input by it.
        SurveyProfile.from_mapping({"access_points": card_read.access_points} | card_read.profile)


def _hash(blob: bytes) -> bytes:
    return f"sha256:{hashlib.sha256(blob).hexdigest()}".encode()


def _odd_tensor(weights: bytes, rng: random.Random) -> bytes:
    """Change the shape, the type or the values of one tensor, or leave it out."""
    tensors: dict[str, Any] = load(weights)
    name = rng.choice(sorted(tensors))
    tensor = tensors[name]
    if rng.random() < 0.1:
        del tensors[name]
        return save(tensors)
    flat = tensor.reshape(-1)
    changes = [
        flat, tensor[None], flat[:0], np.zeros(()), np.full_like(tensor, 127), flat.view(np.uint8),
        tensor.astype(np.float16), np.repeat(flat, 2), np.concatenate([tensor[None], tensor[None]]),
    ]  # fmt: skip
    tensors[name] = np.ascontiguousarray(rng.choice(changes))
    return save(tensors)
