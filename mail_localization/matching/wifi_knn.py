"""Wi-Fi fingerprinting: weighted nearest fingerprints, or Horus' likelihood, with what each says of its own error."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mail_localization.config import Settings, group, setting
from mail_localization.estimator import Estimator
from mail_localization.matching.radio_map import (
    HorusMap,
    HorusSettings,
    KnnMap,
    KnnSettings,
    Levels,
    Matches,
    RadioMap,
)
from mail_localization.models.artifact import ModelCard, Tensors, reading_tensors
from mail_localization.preprocess.wifi import AccessPoints, WifiMemory, WifiSettings
from mail_localization.types import FloatArray, Mode, PoseEstimate, Sample, WifiScan

_MODES = 5
"""Most modes of an estimate."""


class WifiKnnConfig(Settings):
    """Configuration of method wifi_knn."""

    kind: str = setting(
        "knn", "nearest fingerprints, or likelihood of the levels at each place", choices=("knn", "horus")
    )
    min_access_points: int = setting(3, "fresh known access points that an estimate needs", minimum=1)
    wifi: WifiSettings = group(WifiSettings)
    knn: KnnSettings = group(KnnSettings)
    horus: HorusSettings = group(HorusSettings)

    @property
    def chosen(self) -> bool:
        """Whether nothing of the kind's settings is left to cross-validation."""
        if self.kind == "horus":
            return self.horus.kernel > 0 and self.horus.temper > 0
        return self.knn.k > 0 and "auto" not in {self.knn.distance, self.knn.representation, self.knn.device_gain}


@dataclass(frozen=True)
class Calibration:
    """How far estimates are off, as recordings tell that the map was not made from."""

    stretch: float
    """Factor on the spread of the matches."""
    variance: float
    """Added to each axis, m^2."""
    bandwidth: float
    """Standard deviation of the place about one of its matches, m."""
    lost: float
    """Share of scans whose matches say nothing, 0 to 1: the floor of the likelihood."""
    usual: float = 1.0
    """Strangeness of matches up to which they are as good as any."""
    growth: float = 0.0
    """Power of strangeness above that with which variances grow."""

    def covariance(self, matches: Matches) -> FloatArray:
        """Return the covariance (2, 2) of the matches' mean, m^2."""
        return np.asarray(self.stretch * matches.spread + self.variance * self.doubt(matches) * np.eye(2))

    def doubt(self, matches: Matches) -> float:
        """Return the factor from 1 on the variance of matches that look strange."""
        return float(max(matches.strangeness / self.usual, 1.0) ** self.growth)

    def kernel(self, matches: Matches) -> float:
        """Return the variance of the place about one of the matches, m^2."""
        return self.bandwidth**2 * self.doubt(matches)

    def tensor(self) -> npt.NDArray[np.float64]:
        """Return the array kept in the model."""
        return np.array(dataclasses.astuple(self))

    @classmethod
    def from_tensor(cls, values: npt.NDArray[np.generic]) -> Calibration:
        """Read what `tensor` wrote; ValueError where it is none."""
        stretch, variance, bandwidth, lost, usual, growth = values.astype(np.float64).tolist()
        if not (min(stretch, growth) >= 0 and min(variance, bandwidth, usual) > 0 and 0 < lost < 1):
            raise ValueError(f"calibration {values!r} is out of range")
        return cls(stretch, variance, bandwidth, lost, usual, growth)


class WifiKnn(Estimator):
    """Localizer that answers each scan with enough fresh, known access points."""

    method = "wifi_knn"
    inputs = frozenset({"wifi"})

    def __init__(
        self, config: WifiKnnConfig, access_points: AccessPoints, radio_map: RadioMap, calibration: Calibration,
        extent: FloatArray,
    ) -> None:  # fmt: skip
        super().__init__()
        self._config = config
        self._map = radio_map
        self._calibration = calibration
        self._area = float(np.prod(np.maximum(np.ptp(extent, axis=0), 1.0)))
        self._memory = WifiMemory(config.wifi, access_points)
        self.reset()

    @property
    def counters(self) -> Counter[str]:
        """What was refused, by `STREAM.REASON`."""
        return self._memory.counters

    def _reset(self) -> None:
        self._memory.reset()
        self._matches: Matches | None = None

    def _take(self, sample: Sample) -> PoseEstimate | None:
        t_ns = self._memory.add(sample) if isinstance(sample, WifiScan) else None
        heard = None if t_ns is None else self._memory.vector(t_ns)
        if t_ns is None or heard is None:
            return None
        rssi, weights = heard
        if np.isfinite(rssi).sum() < self._config.min_access_points:
            return None
        self._matches = matches = self._map.match(rssi, weights)
        covariance = self._calibration.covariance(matches)
        return PoseEstimate(t_ns, matches.mean, covariance, modes(matches, self._calibration))

    def log_likelihood(self, xy: FloatArray) -> FloatArray:
        """Return the log-likelihood (K,) of the newest scan with an estimate at positions (K, 2), m; 0 before."""
        if self._matches is None:
            return np.zeros(len(xy))
        return log_mixture(self._matches, xy, self._calibration, self._area)


def log_mixture(matches: Matches, xy: FloatArray, calibration: Calibration, area: float) -> FloatArray:
    """Return the log density (K,) at (K, 2) of Gaussians about the matches, over a floor that is even over the area."""
    variance = calibration.kernel(matches)
    squared = ((xy[:, None] - matches.positions[None]) ** 2).sum(axis=2)  # (K, n)
    peaks = np.exp(-0.5 * squared / variance) @ matches.weights / (2 * np.pi * variance)
    return np.asarray(np.log((1 - calibration.lost) * peaks + calibration.lost / area))


def modes(matches: Matches, calibration: Calibration) -> tuple[Mode, ...]:
    """Gather matches about the heaviest ones, heaviest first; weights add up to 1."""
    variance = calibration.kernel(matches)
    reach = 2.0 * math.sqrt(variance)
    rest = np.arange(len(matches.weights))
    found: list[tuple[float, FloatArray, FloatArray]] = []
    while len(rest) and len(found) < _MODES:
        seed = rest[np.argmax(matches.weights[rest])]
        near = np.linalg.norm(matches.positions[rest] - matches.positions[seed], axis=1) <= reach
        weight = matches.weights[rest[near]]
        part = Matches(matches.positions[rest[near]], weight / weight.sum())
        found.append((float(weight.sum()), part.mean, part.spread + variance * np.eye(2)))
        rest = rest[~near]
    found.sort(key=lambda mode: -mode[0])
    total = sum(weight for weight, _, _ in found)
    return tuple(Mode(weight / total, mean, covariance) for weight, mean, covariance in found)


def build_map(config: WifiKnnConfig, rssi: Levels, positions: FloatArray) -> RadioMap:
    """Return the map of fingerprints (N, A), dBm, at positions (N, 2), m; nothing in the config is left to choose."""
    if config.kind == "horus":
        return HorusMap(rssi, positions, config.horus)
    return KnnMap(rssi, positions, config.knn)


def load(card: ModelCard, tensors: Tensors, hop: int) -> WifiKnn:
    """Build the Localizer from a model folder's content; scans come when they come, so `hop` changes nothing."""
    config = WifiKnnConfig.from_mapping(card.settings, "model.json")
    with reading_tensors(card):
        access_points = AccessPoints.from_tensors(tensors)
        rssi, positions = tensors["rssi"].astype(np.float32), tensors["positions"].astype(np.float64)
        if rssi.shape != (len(positions), len(access_points)) or not rssi.size:
            raise ValueError(f"{rssi.shape} levels, {len(positions)} positions, {len(access_points)} access points")
        if not config.chosen:
            raise ValueError(f"the settings of {config.kind} are not all chosen")
        calibration = Calibration.from_tensor(tensors["calibration"])
    return WifiKnn(config, access_points, build_map(config, rssi, positions), calibration, positions)
