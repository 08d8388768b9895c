"""The model folder: model.json, weights.safetensors and exported networks, all a Localizer needs; never pickle."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt

from mail_localization.config import nearest
from mail_localization.errors import ModelError, importing
from mail_localization.files import replace_file

SCHEMA_VERSION = 1
CARD_FILE, WEIGHTS_FILE = "model.json", "weights.safetensors"
ONNX = ".onnx"

Tensors = dict[str, npt.NDArray[Any]]
"""Name -> array; a name that ends with .onnx is a file of the folder, its bytes as uint8."""

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
    export: dict[str, Any] = field(default_factory=dict)
    """How the exported network compares with torch, as training/export.py writes it; empty where there is none."""

    def __post_init__(self) -> None:
        dicts = ("settings", "units", "metrics", "provenance", "calibration", "profile", "export")
        lists = ("access_points", "training_recordings")
        kinds = dict.fromkeys(dicts, dict) | dict.fromkeys(lists, list) | {"method": str, "frame": str}
        for name, kind in kinds.items():
            value = getattr(self, name)
            if not isinstance(value, kind):
                raise TypeError(f"{name} is {value!r:.80}, expected {kind.__name__}")


def save_model(folder: Path, card: ModelCard, tensors: Mapping[str, npt.NDArray[Any]]) -> None:
    """Write a model folder; model.json last, so that a killed run leaves no half model.

    The other files are named in model.json by hash: a card never loads with others than its own.
    """
    st = _safetensors()
    arrays = {name: np.ascontiguousarray(array) for name, array in tensors.items()}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        blobs = {name: array.tobytes() for name, array in arrays.items() if name.endswith(ONNX)}
        blobs[WEIGHTS_FILE] = st.save(weights_of(arrays))
        for name, blob in blobs.items():
            (folder / name).parent.mkdir(exist_ok=True)
            replace_file(folder / name, blob, durable=True)
        content = {
            "schema_version": SCHEMA_VERSION,
            **dataclasses.asdict(card),
            "hashes": {name: f"sha256:{hashlib.sha256(blob).hexdigest()}" for name, blob in blobs.items()},
        }
        card_json = json.dumps(content, indent=2, allow_nan=False)
        replace_file(folder / CARD_FILE, card_json.encode(), durable=True)
        for stale in folder.rglob(f"*{ONNX}"):
            if stale.relative_to(folder).as_posix() not in blobs:
                stale.unlink()
    except OSError as err:
        raise ModelError(f"{folder}: model cannot be written: {err}") from err


def weights_of(tensors: Mapping[str, npt.NDArray[Any]]) -> Tensors:
    """Return the tensors without the files among them."""
    return {name: array for name, array in tensors.items() if not name.endswith(ONNX)}


def load_model(folder: Path) -> tuple[ModelCard, Tensors]:
    """Read and check a model folder.

    Raises:
        ModelError: missing, not a model, damaged, or written by a newer version.
    """
    folder = Path(folder)
    card, hashes = _load_card(folder)
    blobs = {name: _checked(folder, name, hash_) for name, hash_ in hashes.items()}
    st = _safetensors()
    try:
        tensors: Tensors = st.load(blobs.pop(WEIGHTS_FILE))
    except Exception as err:
        raise ModelError(f"{folder / WEIGHTS_FILE}: not a safetensors file: {err}; train the model again") from err
    return card, tensors | {name: np.frombuffer(blob, dtype=np.uint8) for name, blob in blobs.items()}


def _checked(folder: Path, name: str, hash_: str) -> bytes:
    path = folder / name
    try:
        blob = path.read_bytes()
    except OSError as err:
        raise ModelError(f"{path}: cannot be read: {err.strerror}; copy the whole model folder again") from err
    if f"sha256:{hashlib.sha256(blob).hexdigest()}" != hash_:
        raise ModelError(f"{path}: damaged (its hash is not the one in {CARD_FILE}); copy or train the model again")
    return blob


def _load_card(folder: Path) -> tuple[ModelCard, dict[str, str]]:
    """Return the card, and the hash of every other file of the folder."""
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
        hashes = {str(name): str(hash_) for name, hash_ in content["hashes"].items()}
        if WEIGHTS_FILE not in hashes or any(not _is_own(name) for name in hashes):
            raise ValueError(f"hashes of {sorted(hashes)}, expected {WEIGHTS_FILE} and {ONNX} files of the folder")
        return card, hashes
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, np.linalg.LinAlgError) as err:
        raise ModelError(f"{path}: damaged: {err}; copy or train the model again") from err


def _is_own(name: str) -> bool:
    """Tell whether a file that a card names is one that lies in the card's folder, and of a kind that is read."""
    path = PurePosixPath(name)
    inside = not path.is_absolute() and ".." not in path.parts
    return name == WEIGHTS_FILE or (inside and path.suffix == ONNX and "\0" not in name)


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
