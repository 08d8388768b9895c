"""MMLoc+ as the node and the evaluator drive it."""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from mail_localization.estimator import Estimator
from mail_localization.models.artifact import ModelCard, Tensors, reading_tensors
from mail_localization.models.heatmap import HeatmapHead
from mail_localization.models.mmloc import MmlocModelConfig, MmlocPlus
from mail_localization.models.regressor import state
from mail_localization.preprocess.modal_batch import ModalFrontEnd, NetworkInputs, tells_a_place
from mail_localization.preprocess.modalities import MODALITIES, ModalWindow, ModalWindows
from mail_localization.preprocess.wifi import AccessPoints
from mail_localization.types import FloatArray, Mode, PoseEstimate, Sample

METHOD = "mmloc_plus"
PATTERNS = 2 ** len(MODALITIES)
"""Ways in which modalities can be missing."""
NETWORK = "network."
"""What the names of the network's tensors begin with in a model folder."""


class MmlocPredictor:
    """A trained network with what is known of its errors."""

    def __init__(self, model: MmlocPlus, covariances: FloatArray) -> None:
        self._model = model.eval().requires_grad_(False)
        self._covariances = covariances

    def predict(self, inputs: NetworkInputs) -> list[tuple[FloatArray, FloatArray, tuple[Mode, ...]]]:
        """Return position (2,), covariance (2, 2) and modes for each instant."""
        covariances = self._covariances[patterns(inputs[3])]
        with torch.inference_mode():
            tensors = [torch.from_numpy(array) for array in inputs]
            if not isinstance(self._model.head, HeatmapHead):
                positions = self._model(*tensors).double().numpy()
                return [(xy, covariance, ()) for xy, covariance in zip(positions, covariances, strict=True)]
            peaks = self._model.head.peaks(self._model.head(self._model.features(*tensors)))
        scales = covariances[:, 0, 0]
        return [(modes[0].mean, scale * spread, modes) for (modes, spread), scale in zip(peaks, scales, strict=True)]


def patterns(mask: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    """Return the number (n,) of the modalities that are there, for masks (n, 3)."""
    return np.asarray((mask.astype(np.int64) << np.arange(len(MODALITIES))).sum(axis=1))


class MmlocLocalizer(Estimator):
    """Estimate the position at every hop of the clock from the modalities that are there.

    It begins with the first magnetic window or the first fresh Wi-Fi scan, whichever comes first.
    """

    method = METHOD
    batch = 64
    """Windows per prediction offline."""

    def __init__(self, config: MmlocModelConfig, front_end: ModalFrontEnd, predictor: MmlocPredictor) -> None:
        super().__init__()
        self._windows = ModalWindows(config)
        self._front_end = front_end
        self._predictor = predictor
        self.inputs = self._windows.inputs

    @property
    def counters(self) -> Counter[str]:
        """What was refused, by `STREAM.REASON`."""
        return self._windows.counters

    @property
    def fill(self) -> float:
        """Share of the fullest sensor's window that is filled, 0 to 1."""
        return self._windows.fill

    def _reset(self) -> None:
        self._windows.reset()

    def _take(self, sample: Sample) -> PoseEstimate | None:
        estimates = self._estimates(self._windows.add(sample)[-1:])
        return estimates[-1] if estimates else None

    def _take_all(self, samples: Iterable[Sample]) -> Iterator[PoseEstimate]:
        # In batches: equal up to float32 rounding of the network.
        windows = (made[-1] for sample in samples if (made := self._windows.add(sample)))
        while batch := list(itertools.islice(windows, self.batch)):
            yield from self._estimates(batch)

    def _estimates(self, windows: Sequence[ModalWindow]) -> list[PoseEstimate]:
        if not windows:
            return []
        batch = self._front_end.batch(windows)
        kept = np.flatnonzero(tells_a_place(batch))
        if not len(kept):
            return []
        found = self._predictor.predict(self._front_end.inputs(batch.take(kept)))
        return [PoseEstimate(windows[k].t_ns, *parts) for k, parts in zip(kept.tolist(), found, strict=True)]


def load(card: ModelCard, tensors: Tensors, hop: int) -> MmlocLocalizer:
    """Return the Localizer of a loaded model folder."""
    config = model_config(card.settings, hop)
    with reading_tensors(card):
        access_points = AccessPoints.from_tensors(tensors) if "wifi" in config.modalities else None
        weights = {name.removeprefix(NETWORK): array for name, array in tensors.items() if name.startswith(NETWORK)}
        cells = len(weights["head.centres"]) if config.network.head == "heatmap" else 0
        columns = len(access_points) if access_points is not None else 0
        model = MmlocPlus(config.network, config.modalities, columns, cells)
        model.load_state_dict(state(weights))
        covariances = tensors["covariances"].astype(np.float64)
        if covariances.shape != (PATTERNS, 2, 2):
            raise ValueError(f"covariances of shape {covariances.shape}, expected {(PATTERNS, 2, 2)}")
    front_end = ModalFrontEnd(config, access_points, config.network.representation)
    return MmlocLocalizer(config, front_end, MmlocPredictor(model, covariances))


def model_config(settings: dict[str, Any], hop: int = 0) -> MmlocModelConfig:
    """Read the model's part of a card's settings."""
    known = {field.name for field in dataclasses.fields(MmlocModelConfig)}  # type: ignore[arg-type]
    own = {name: value for name, value in settings.items() if name in known}
    if hop:
        own["window"] = {**own.get("window", {}), "hop": hop}
    return MmlocModelConfig.from_mapping(own, "model.json")
