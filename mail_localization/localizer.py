"""The one object that node, evaluator and tests drive: samples in, pose estimates out."""

from __future__ import annotations

import importlib
import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from mail_localization.calibration import Calibration
from mail_localization.config import Settings, group
from mail_localization.errors import ModelError, importing
from mail_localization.estimator import Estimator
from mail_localization.models.artifact import ModelCard, Tensors, load_model, reading_tensors, require_method
from mail_localization.models.backend import chosen_backend
from mail_localization.models.embedded import STARTER, embedded
from mail_localization.models.predictor import SequencePredictor
from mail_localization.preprocess.magnetic import MagneticFeatures, MagneticSettings
from mail_localization.preprocess.sensors import SensorRows
from mail_localization.preprocess.windows import SlidingWindow, Window, WindowSettings
from mail_localization.types import (
    FloatArray,
    ImuSample,
    MagneticSample,
    OdometrySample,
    PoseEstimate,
    Sample,
    WifiScan,
)

Features = npt.NDArray[np.float32]

START_STDDEV = 0.5
"""Standard deviation of a given start, m: a mark on the floor that somebody stands on."""


class Localizer(Protocol):
    """Estimate the position from time-stamped samples.

    No sample makes an `add_*` raise: what is late, repeated, torn or not finite is counted and left out, and a
    clock set back starts the estimate anew.
    """

    method: str
    inputs: frozenset[str]
    """The streams that are used, of `mag`, `imu`, `wifi`, `odom`."""

    @property
    def counters(self) -> Counter[str]:
        """What was refused, by `STREAM.REASON`."""

    def add_magnetic(self, sample: MagneticSample) -> PoseEstimate | None:
        """Feed one magnetometer reading; return the estimate it makes possible, if any."""

    def add_imu(self, sample: ImuSample) -> PoseEstimate | None:
        """Feed one IMU reading; return the estimate it makes possible, if any."""

    def add_wifi(self, sample: WifiScan) -> PoseEstimate | None:
        """Feed one Wi-Fi scan; return the estimate it makes possible, if any."""

    def add_odometry(self, sample: OdometrySample) -> PoseEstimate | None:
        """Feed one odometry pose; return the estimate it makes possible, if any."""

    def add(self, sample: Sample) -> PoseEstimate | None:
        """Feed one sample of any kind."""

    def localize(self, samples: Iterable[Sample]) -> Iterator[PoseEstimate]:
        """Yield the estimates that `add` gives sample by sample; offline, a method may compute them in batches."""

    def reset(self) -> None:
        """Forget all samples, as after a jump in time or a new start; the counters stay."""


@runtime_checkable
class Startable(Protocol):
    """A Localizer that can be told where the target is; dead reckoning needs it, a filter gains by it."""

    def start_at(self, t_ns: int, position: FloatArray, stddev: float) -> None:
        """Start anew from a given position (2,) in `map`, m, of that standard deviation, m, per axis."""


@runtime_checkable
class Smoother(Protocol):
    """A Localizer that, given a whole recording, also looks back from its end."""

    def smooth(self, samples: Iterable[Sample]) -> Iterator[PoseEstimate]:
        """Yield offline estimates that use samples after their stamps too: not what a live target gets."""


@runtime_checkable
class LikelihoodLocalizer(Protocol):
    """A Localizer that scores given positions, so that a filter can weigh it with motion and time."""

    def log_likelihood(self, xy: FloatArray) -> FloatArray:
        """Return the log-likelihood (K,), up to a constant, of the newest samples at positions (K, 2), m."""


class Predictor(Protocol):
    """Positions for feature windows."""

    def predict(self, features: Features, ends: npt.NDArray[np.int64]) -> tuple[FloatArray, FloatArray]:
        """Return positions (B, 2) in `map`, m, and covariances (B, 2, 2), m^2, for features (B, N, C).

        Windows share the rows whose numbers agree; `ends` (B,) are those of their last rows, ascending.
        """


class WindowedConfig(Settings):
    """The part of a windowed method's configuration that makes its windows."""

    window: WindowSettings = group(WindowSettings)
    magnetic: MagneticSettings = group(MagneticSettings)


class WindowedLocalizer(Estimator):
    """A Localizer that predicts the position at the end of each sliding window."""

    batch = 64
    """Windows per prediction offline."""

    def __init__(self, method: str, config: WindowedConfig, predictor: Predictor) -> None:
        super().__init__()
        self.method = method
        self.config = config
        self.predictor = predictor
        self._sensors = SensorRows(config.window, config.magnetic.streams, config.magnetic.saturation)
        self._features = MagneticFeatures(config.magnetic, config.window.rate_hz)
        length = config.window.length + self._features.margin
        self._window = SlidingWindow(length, config.window.hop, self._sensors.width)
        self.inputs = self._sensors.inputs

    @property
    def counters(self) -> Counter[str]:
        """What was refused, by `STREAM.REASON`."""
        return self._sensors.counters

    @property
    def fill(self) -> float:
        """Share of the window that is filled, 0 to 1."""
        return self._window.fill

    def _reset(self) -> None:
        self._sensors.reset()
        self._window.reset()

    def _take(self, sample: Sample) -> PoseEstimate | None:
        window = self._window_of(sample)
        return None if window is None else self._estimates([window])[0]

    def _take_all(self, samples: Iterable[Sample]) -> Iterator[PoseEstimate]:
        # In batches: equal up to float32 rounding of the network.
        windows = (window for sample in samples if (window := self._window_of(sample)) is not None)
        while batch := list(itertools.islice(windows, self.batch)):
            yield from self._estimates(batch)

    def _window_of(self, sample: Sample) -> Window | None:
        """Return the newest window that the sample completes."""
        newest = None
        for row in self._sensors.add(sample):
            newest = self._window.push(row) or newest
        return newest

    def _estimates(self, windows: list[Window]) -> list[PoseEstimate]:
        features = self._features(np.stack([window.rows for window in windows]))
        ends = np.array([window.end for window in windows], dtype=np.int64)
        positions, covariances = self.predictor.predict(features, ends)
        return [PoseEstimate(w.t_ns, xy, cov) for w, xy, cov in zip(windows, positions, covariances, strict=True)]


def told_where(
    localizer: Localizer, samples: Iterable[Sample], t_ns: int, position: FloatArray, stddev: float
) -> Iterator[Sample]:
    """Yield the samples and, on the way, tell a Startable localizer where it is at `t_ns`; others are told nothing."""
    told = not isinstance(localizer, Startable)
    for sample in samples:
        if not told and sample.t_ns >= t_ns and isinstance(localizer, Startable):
            localizer.start_at(t_ns, position, stddev)
            told = True
        yield sample


SURE = 0.5
"""Weight of the heaviest mode from which on an estimate with several is not called ambiguous."""


def is_ambiguous(estimate: PoseEstimate) -> bool:
    """Tell whether the target may as well be somewhere else: several modes, none with most of the weight."""
    return len(estimate.modes) > 1 and estimate.modes[0].weight < SURE


Loader = Callable[[ModelCard, Tensors, int, str], Estimator]
"""From a model folder's content, the hop (0: the model's own) and the backend to a Localizer."""


def _network(method: str) -> Loader:
    """Return a loader for a method that is a network over magnetic windows, of models/ and models/exported/."""

    def load(card: ModelCard, tensors: Tensors, hop: int, backend: str) -> Estimator:
        predictor = SequencePredictor(_network_of(method, card, tensors, backend), card)
        return WindowedLocalizer(card.method, _windowed_config(card.settings, hop), predictor)

    return load


def _mmloc(card: ModelCard, tensors: Tensors, hop: int, backend: str) -> Estimator:
    module = importlib.import_module("mail_localization.models.mmloc_localizer")
    localizer: Estimator = module.load(card, tensors, hop, _network_of("mmloc", card, tensors, backend))
    return localizer


def _network_of(module: str, card: ModelCard, tensors: Tensors, backend: str) -> Any:
    # Imported when a model asks for it: an exported one needs no torch.
    package = {"torch": "models", "onnxruntime": "models.exported"}[chosen_backend(card, tensors, backend)]
    with importing(f"method {card.method}"):
        found = importlib.import_module(f"mail_localization.{package}.{module}")
    return found.load_network(card, tensors)


def _windowed(module: str) -> Loader:
    """Return a loader for a method whose module offers `load_predictor(card, tensors)`."""

    def load(card: ModelCard, tensors: Tensors, hop: int, backend: str) -> Estimator:
        predictor: Predictor = importlib.import_module(module).load_predictor(card, tensors)
        return WindowedLocalizer(card.method, _windowed_config(card.settings, hop), predictor)

    return load


def _loads(module: str) -> Loader:
    """Return a loader for a method whose module offers `load(card, tensors, hop)`: a Localizer of its own."""

    def load(card: ModelCard, tensors: Tensors, hop: int, backend: str) -> Estimator:
        with importing(f"method {card.method}"):
            localizer: Estimator = importlib.import_module(module).load(card, tensors, hop)
        return localizer

    return load


def _starts(module: str) -> Loader:
    """Return a loader as `_loads` does, for a method whose folder carries the method that it starts with too."""

    def load(card: ModelCard, tensors: Tensors, hop: int, backend: str) -> Estimator:
        inner = embedded(tensors, STARTER)
        starter = None if inner is None else localizer_of(*inner, hop, backend)
        with importing(f"method {card.method}"):
            localizer: Estimator = importlib.import_module(module).load(card, tensors, hop, starter)
        return localizer

    return load


def _windowed_config(settings: dict[str, Any], hop: int) -> WindowedConfig:
    window = dict(settings.get("window", {}))
    if hop:
        window["hop"] = hop
    return WindowedConfig.from_mapping({"window": window, "magnetic": settings.get("magnetic", {})}, "model.json")


LOADERS: dict[str, Loader] = {
    "mail": _network("mail"),
    "jang": _network("jang"),
    "magnetic_nn": _windowed("mail_localization.matching.magnetic_nn"),
    "wifi_knn": _loads("mail_localization.matching.wifi_knn"),
    "pdr": _starts("mail_localization.motion.pdr"),
    "mmloc_plus": _mmloc,
    "magicol": _loads("mail_localization.matching.magicol"),
    "maloc": _loads("mail_localization.matching.maloc"),
}


def load_localizer(folder: Path, hop: int = 0, backend: str = "auto") -> Estimator:
    """Load the method in a model folder.

    Args:
        folder: a model folder, as `train --out` makes it.
        hop: samples between estimates of a windowed method; 0 takes the model's own.
        backend: what computes a network, of backend.BACKENDS.

    Raises:
        ModelError: the folder is missing, damaged, newer, or of an unknown method.
        MissingDependencyError: the backend is not installed.
    """
    card, tensors = load_model(folder)
    try:
        return localizer_of(card, tensors, hop, backend)
    except ModelError as err:
        raise ModelError(f"{folder}: {err}") from err


def localizer_of(card: ModelCard, tensors: Tensors, hop: int = 0, backend: str = "auto") -> Estimator:
    """Build the method of a model folder's content, with the calibration in its card."""
    require_method(card.method, LOADERS)
    with reading_tensors(card):
        localizer = LOADERS[card.method](card, tensors, hop, backend)
    localizer.calibration = Calibration.from_mapping(card.calibration)
    return localizer
