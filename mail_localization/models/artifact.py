"""The model folder: model.json and weights.safetensors, all a Localizer needs; never pickle."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mail_localization.config import nearest
from mail_localization.errors import ModelError, importing
from mail_localization.files import replace_file

SCHEMA_VERSION = 1
CARD_FILE, WEIGHTS_FILE = "model.json", "weights.safetensors"

Tensors = dict[str, npt.NDArray[Any]]

UNITS = {"position": "m", "covariance": "m^2", "magnetic_field": "tesla", "time": "s"}


@dataclass(frozen=True)
class ModelCard:
    """What model.json says beside the schema version and the weights' hash."""

    method: str
    settings: dict[str, Any]
    """The method's whole configuration, as its Settings class reads it."""
    covariance: list[list[float]]
    """(2, 2) second moment of the errors on held-out recordings, m^2."""
    frame: str = "map"
    units: dict[str, str] = field(default_factory=lambda: dict(UNITS))
    origin_lat_lon: list[float] | None = None
    """Latitude and longitude of the origin of `frame`, deg, where the survey has it."""
    access_points: list[str] = field(default_factory=list)
    calibration: dict[str, Any] = field(default_factory=dict)
    """How large the errors are on recordings that the model was not made from, as calibration.Calibration reads it."""
    training_recordings: list[dict[str, Any]] = field(default_factory=list)
    """Name, role (train or validation), device and content hash of each."""
    metrics: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
    """Package version, seed, date, command."""
    profile: dict[str, Any] = field(default_factory=dict)
    """What the survey's input looked like, as preprocess/profile.py reads it; empty in models made before it."""

    def __post_init__(self) -> None:
        dicts = ("settings", "units", "metrics", "provenance", "calibration", "profile")
        lists = ("access_points", "training_recordings")
        kinds = dict.fromkeys(dicts, dict) | dict.fromkeys(lists, list) | {"method": str, "frame": str}
        for name, kind in kinds.items():
            value = getattr(self, name)
            if not isinstance(value, kind):
                raise TypeError(f"{name} is {value!r:.80}, expected {kind.__name__}")


def save_model(folder: Path, card: ModelCard, tensors: Mapping[str, npt.NDArray[Any]]) -> None:
    """Write a model folder; weights first and model.json last, so that a killed run leaves no half model.

    Weights are named in model.json by hash: a card never loads with other weights than its own.
    """
    st = _safetensors()
    arrays = {name: np.ascontiguousarray(array) for name, array in tensors.items()}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        blob = st.save(arrays)
        replace_file(folder / WEIGHTS_FILE, blob, durable=True)
        content = {
            "schema_version": SCHEMA_VERSION,
            **dataclasses.asdict(card),
            "hashes": {WEIGHTS_FILE: f"sha256:{hashlib.sha256(blob).hexdigest()}"},
        }
        card_json = json.dumps(content, indent=2, allow_nan=False)
        replace_file(folder / CARD_FILE, card_json.encode(), durable=True)
    except OSError as err:
        raise ModelError(f"{folder}: model cannot be written: {err}") from err


def load_model(folder: Path) -> tuple[ModelCard, Tensors]:
    """Read and check a model folder.

    Raises:
        ModelError: missing, not a model, damaged, or written by a newer version.
    """
    folder = Path(folder)
    card, weights_hash = _load_card(folder)
    path = folder / WEIGHTS_FILE
    try:
        blob = path.read_bytes()
    except OSError as err:
        raise ModelError(f"{path}: cannot be read: {err.strerror}; copy the whole model folder again") from err
    if f"sha256:{hashlib.sha256(blob).hexdigest()}" != weights_hash:
        raise ModelError(f"{path}: damaged (its hash is not the one in {CARD_FILE}); copy or train the model again")
    st = _safetensors()
    try:
        return card, st.load(blob)
    except Exception as err:
        raise ModelError(f"{path}: not a safetensors file: {err}; train the model again") from err


def _load_card(folder: Path) -> tuple[ModelCard, str]:
    path = folder / CARD_FILE
    if not folder.is_dir():
        raise ModelError(f"{folder}: no such model folder; make one with `mail_localization train --out {folder}`")
    if not path.is_file():
        raise ModelError(f"{folder}: not a model folder (no {CARD_FILE}); name the folder given to `train --out`")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        version = content["schema_version"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as err:
        raise ModelError(f"{path}: damaged: {err!r}; copy or train the model again") from err
    if not isinstance(version, int) or version > SCHEMA_VERSION:
        raise ModelError(
            f"{path}: schema version {version!r}, this package reads up to {SCHEMA_VERSION}; "
            "upgrade mail_localization or train the model again"
        )
    known = {f.name for f in dataclasses.fields(ModelCard)}
    try:
        card = ModelCard(**{name: value for name, value in content.items() if name in known})
        covariance = np.asarray(card.covariance, dtype=np.float64)
        if covariance.shape != (2, 2) or not (np.linalg.eigvalsh(covariance) > 0).all():
            raise ValueError(f"covariance {card.covariance!r} is not a positive definite 2 x 2 matrix")
        return card, str(content["hashes"][WEIGHTS_FILE])
    except (KeyError, TypeError, ValueError, OverflowError, np.linalg.LinAlgError) as err:
        raise ModelError(f"{path}: damaged: {err}; copy or train the model again") from err


@contextlib.contextmanager
def reading_tensors(card: ModelCard) -> Iterator[None]:
    """Turn a tensor or a setting that is missing or of the wrong shape or type into a ModelError."""
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RuntimeError) as err:
        message = f"settings or weights do not fit method {card.method!r}: {err}; train the model again"
        raise ModelError(message) from err


def require_method(name: str, known: Mapping[str, Any]) -> None:
    """Raise ModelError for a method this version does not know."""
    if name not in known:
        raise ModelError(f"unknown method {name!r}{nearest(name, known)}")


def _safetensors() -> Any:
    with importing("reading and writing models"):
        import safetensors.numpy
    return safetensors.numpy
