"""From windows of several modalities to the arrays a network takes, live and in training alike."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mail_localization.preprocess.magnetic import MagneticFeatures
from mail_localization.preprocess.modalities import MODALITIES, ModalitySettings, ModalWindow, inertial_features
from mail_localization.preprocess.wifi import AccessPoints, representation
from mail_localization.types import FloatArray

Float32 = npt.NDArray[np.float32]
NetworkInputs = tuple[Float32, Float32, Float32, Float32]

_WILD = 1e4
"""No IMU measures that much, in m/s^2 or rad/s: a window with such a value counts as missing."""


@dataclass(frozen=True, eq=False)
class ModalBatch:
    """The modalities of n instants before features are made of them; zeros where one is missing."""

    imu: Float32
    """(n, N, 6) inertial features, or (n, H) what a frozen LSTM1 has made of them."""
    mag: FloatArray
    """(n, N + margin, C) raw magnetic rows, tesla (and up)."""
    rssi: Float32
    """(n, A) levels, dBm; NaN where unheard."""
    weights: Float32
    """(n, A) trust in each access point, 0 to 1."""
    mask: Float32
    """(n, 3) 1 where a modality is there, in the order of MODALITIES."""

    def __len__(self) -> int:
        return len(self.mask)

    def take(self, which: npt.NDArray[np.int64]) -> ModalBatch:
        """Return some of the instants."""
        return ModalBatch(*(getattr(self, field.name)[which] for field in dataclasses.fields(self)))


class ModalFrontEnd:
    """Make batches of windows, and a network's inputs of batches."""

    def __init__(self, settings: ModalitySettings, access_points: AccessPoints | None, representation: str) -> None:
        self.settings = settings
        self.access_points = access_points
        self._representation = representation
        self._features = MagneticFeatures(settings.magnetic, settings.window.rate_hz)
        has = settings.modalities
        self._imu_shape = (settings.inertial.length if "imu" in has else 0, 6)
        length = settings.window.length + self._features.margin
        self._mag_shape = (length if "mag" in has else 0, self._features.width)
        self._width = len(access_points) if access_points is not None else 0

    def tells_a_place(self, window: ModalWindow) -> bool:
        """Tell whether the magnetic field or Wi-Fi is known: inertial sensors alone know no place."""
        heard = self.access_points is not None and self.access_points.knows_any(window.levels)
        return window.mag is not None or heard

    def batch(self, windows: Sequence[ModalWindow]) -> ModalBatch:
        """Return windows side by side."""
        n = len(windows)
        imu = np.zeros((n, *self._imu_shape), dtype=np.float32)
        # Up along z where there is none: a missing window must not divide by zero.
        mag = np.zeros((n, *self._mag_shape))
        mag[..., 5:] = 1.0
        rssi = np.full((n, self._width), np.nan, dtype=np.float32)
        weights = np.zeros((n, self._width), dtype=np.float32)
        mask = np.zeros((n, len(MODALITIES)), dtype=np.float32)
        for k, window in enumerate(windows):
            if window.imu is not None and np.abs(window.imu).max() < _WILD:
                imu[k], mask[k, 0] = inertial_features(window.imu, self.settings.inertial.frame), 1.0
            if window.mag is not None:
                mag[k], mask[k, 1] = window.mag, 1.0
            if self.access_points is not None and self.access_points.knows_any(window.levels):
                levels = self.access_points.vector(window.levels)
                rssi[k], weights[k], mask[k, 2] = levels, self.access_points.weights(levels), 1.0
        return ModalBatch(imu, mag, rssi, weights, mask)

    def inputs(self, batch: ModalBatch) -> NetworkInputs:
        """Return inertial windows (n, N, 6), magnetic features (n, N, 3), Wi-Fi (n, A) and masks (n, 3)."""
        has_mag = batch.mag.shape[1] > 0
        mag = self._features(batch.mag) if has_mag else np.zeros((len(batch), 0, 3), dtype=np.float32)
        # An access point that contradicts the others fades towards an unheard one.
        wifi = representation(batch.rssi, self._representation) * batch.weights
        return batch.imu, mag, wifi, batch.mask
