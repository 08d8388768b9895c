"""MMLoc+ as the node and the evaluator drive it."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from mail_localization.estimator import Estimator
from mail_localization.matching.follower import Follower, PositionScores, Raster, Scores, Way
from mail_localization.models.artifact import ModelCard, Tensors, reading_tensors
from mail_localization.models.heatmap import Heatmap
from mail_localization.models.mmloc_settings import NETWORK, MmlocModelConfig, model_config
from mail_localization.motion.tracker import Motion, MotionCalibration
from mail_localization.preprocess.modal_batch import ModalFrontEnd, NetworkInputs
from mail_localization.preprocess.modalities import MODALITIES, ModalWindow, ModalWindows
from mail_localization.preprocess.wifi import AccessPoints
from mail_localization.types import FloatArray, Mode, PoseEstimate, Sample

METHOD = "mmloc_plus"
PATTERNS = 2 ** len(MODALITIES)
"""Ways in which modalities can be missing."""

Motions = list[Motion] | None
"""The way from the instant before; None where it is not known."""


@dataclass(frozen=True, slots=True, eq=False)
class Instant:
    """What the network says of one instant by itself."""

    position: FloatArray
    """(2,), m."""
    covariance: FloatArray
    """(2, 2), m^2."""
    modes: tuple[Mode, ...] = ()
    probabilities: npt.NDArray[np.float32] | None = None
    """(M,) of the heat map's cells; None without one."""


class ModalNetwork(Protocol):
    """A trained network over several modalities."""

    def __call__(self, *inputs: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return positions (B, 2), m, or a heat map's logits (B, M), for NetworkInputs."""


class MmlocPredictor:
    """A trained network with what is known of its errors."""

    def __init__(self, network: ModalNetwork, heatmap: Heatmap | None, covariances: FloatArray) -> None:
        """Take what the network says as positions or, where there is a heat map, as the logits of its cells."""
        self.network, self.heatmap = network, heatmap
        self._covariances = covariances

    def predict(self, inputs: NetworkInputs) -> list[Instant]:
        """Return what each instant says."""
        covariances = self._covariances[patterns(inputs[3])]
        outputs = self.network(*inputs)
        if self.heatmap is None:
            positions = outputs.astype(np.float64)
            return [Instant(xy, covariance) for xy, covariance in zip(positions, covariances, strict=True)]
        maps = np.exp(outputs - outputs.max(axis=1, keepdims=True))
        maps /= maps.sum(axis=1, keepdims=True)
        return [
            Instant(modes[0].mean, covariance[0, 0] * spread, modes, map_)
            for (modes, spread), covariance, map_ in zip(self.heatmap.peaks(maps), covariances, maps, strict=True)
        ]


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

    def __init__(
        self, config: MmlocModelConfig, front_end: ModalFrontEnd, predictor: MmlocPredictor,
        calibration: MotionCalibration | None = None,
    ) -> None:  # fmt: skip
        """Follow the way walked where `calibration` says how the target moves."""
        super().__init__()
        self._windows = ModalWindows(config)
        self._front_end = front_end
        self.predictor = predictor
        self._way = self._follower = self._raster = None
        if calibration is not None:
            self._way = Way(config.follow.motion, calibration)
            self._follower = Follower(config.follow, calibration)
            if predictor.heatmap is not None:
                self._raster = Raster(predictor.heatmap.centres, config.network.heatmap.cell)
        self.inputs = self._windows.inputs | (self._way.inputs if self._way is not None else frozenset())

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
        if self._way is not None and self._follower is not None:
            self._way.reset()
            self._follower.reset()

    def instants(self, samples: Iterable[Sample]) -> Iterator[tuple[int, Motions, Instant]]:
        """Yield the stamps at which an estimate is due, the motions to there, and what the network says there."""
        due = (made for sample in samples if (made := self._due(sample)) is not None)
        # In batches: equal up to float32 rounding of the network.
        while batch := list(itertools.islice(due, self.batch)):
            yield from self._instants(batch)

    def scores(self, instant: Instant) -> Scores:
        """Return what an instant says of places."""
        if self._raster is None or instant.probabilities is None:
            return PositionScores(instant.position, instant.covariance)
        return self._raster.scores(instant.probabilities)

    def _take(self, sample: Sample) -> PoseEstimate | None:
        due = self._due(sample)
        made = [] if due is None else self._instants([due])
        return self._estimate(*made[0]) if made else None

    def _take_all(self, samples: Iterable[Sample]) -> Iterator[PoseEstimate]:
        if self._follower is not None:
            # Particles would turn a batch's rounding into centimetres.
            return super()._take_all(samples)
        return (self._estimate(*made) for made in self.instants(samples))

    def _due(self, sample: Sample) -> tuple[ModalWindow, Motions] | None:
        """Return the newest window that the sample completes, if it tells a place, with the motions to it."""
        if self._way is not None:
            self._way.add(sample)
        window = next(reversed(self._windows.add(sample)), None)
        if window is None or not self._front_end.tells_a_place(window):
            return None
        return window, None if self._way is None else self._way.take(window.t_ns)

    def _instants(self, due: Sequence[tuple[ModalWindow, Motions]]) -> list[tuple[int, Motions, Instant]]:
        found = self.predictor.predict(self._front_end.inputs(self._front_end.batch([window for window, _ in due])))
        return [(window.t_ns, motions, instant) for (window, motions), instant in zip(due, found, strict=True)]

    def _estimate(self, t_ns: int, motions: Motions, instant: Instant) -> PoseEstimate:
        cloud = None if self._follower is None else self._follower.follow(motions, self.scores(instant))
        if cloud is None:
            return PoseEstimate(t_ns, instant.position, instant.covariance, instant.modes)
        return PoseEstimate(t_ns, cloud.modes[0].mean, cloud.covariance_about_mode, cloud.modes)


def load(card: ModelCard, tensors: Tensors, hop: int, network: ModalNetwork) -> MmlocLocalizer:
    """Return the Localizer of a loaded model folder, with the network that a backend made of it."""
    config = model_config(card.settings, hop)
    with reading_tensors(card):
        access_points = AccessPoints.from_tensors(tensors) if "wifi" in config.modalities else None
        heatmap = None
        if config.network.head == "heatmap":
            centres = tensors[f"{NETWORK}head.centres"].astype(np.float64)
            heatmap = Heatmap(config.network.heatmap, centres)
        covariances = tensors["covariances"].astype(np.float64)
        if covariances.shape != (PATTERNS, 2, 2):
            raise ValueError(f"covariances of shape {covariances.shape}, expected {(PATTERNS, 2, 2)}")
        calibration = MotionCalibration.from_tensors(tensors) if config.follow.use == "on" else None
    front_end = ModalFrontEnd(config, access_points, config.network.representation)
    return MmlocLocalizer(config, front_end, MmlocPredictor(network, heatmap, covariances), calibration)
