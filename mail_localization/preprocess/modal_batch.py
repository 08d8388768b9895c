"""From windows of several modalities to the arrays a network takes, live and in training alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mail_localization.preprocess.magnetic import MagneticFeatures
from mail_localization.preprocess.modalities import MODALITIES, ModalitySettings, ModalWindow, inertial_features
from mail_localization.preprocess.wifi import AccessPoints, Levels, representation
from mail_localization.preprocess.window_table import Indices, RowWindows, WindowTable, joined
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


@dataclass(frozen=True, eq=False)
class ModalColumns:
    """What ModalBatches are made of: windows share their rows, and instants the Wi-Fi results they have in common."""

    imu: RowWindows[np.float32] | Float32
    """Inertial features, or (n, H) what a frozen LSTM1 has made of them."""
    mag: RowWindows[np.float64]
    rssi: Float32
    """(L, A) distinct levels."""
    weights: Float32
    """(L, A)"""
    heard: Indices
    """(n,) which of the levels."""
    mask: Float32
    """(n, 3)"""

    def __len__(self) -> int:
        return len(self.mask)

    def take(self, which: Indices) -> ModalBatch:
        """Return some of the instants, as copies."""
        heard = self.heard[which]
        return ModalBatch(self.imu[which], self.mag[which], self.rssi[heard], self.weights[heard], self.mask[which])


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
        mask = np.zeros((n, len(MODALITIES)), dtype=np.float32)
        rssi, weights, mask[:, 2] = self._wifi([window.levels for window in windows])
        for k, window in enumerate(windows):
            if window.imu is not None and np.abs(window.imu).max() < _WILD:
                imu[k], mask[k, 0] = inertial_features(window.imu, self.settings.inertial.frame), 1.0
            if window.mag is not None:
                mag[k], mask[k, 1] = window.mag, 1.0
        return ModalBatch(imu, mag, rssi, weights, mask)

    def columns(self, tables: Sequence[WindowTable]) -> ModalColumns:
        """Return the windows of tables, one after the other: any of them taken are what `batch` makes of them."""
        missing = self.batch([ModalWindow(0, None, None, {})])
        imu = joined([self._inertial(table.imu) for table in tables], missing.imu[0])
        mag = joined([table.mag for table in tables], missing.mag[0])
        levels: list[Levels] = []
        heard = [np.empty(0, dtype=np.int64)]
        for table in tables:
            told, which = np.unique(table.heard, return_inverse=True)
            heard.append(which + len(levels))
            levels += [table.levels[number] for number in told.tolist()]
        rssi, weights, known = self._wifi(levels)
        numbers = np.concatenate(heard)
        mask = np.stack([imu.stops > imu.length, mag.stops > mag.length, known[numbers] > 0], axis=1)
        return ModalColumns(imu, mag, rssi, weights, numbers, mask.astype(np.float32))

    def _inertial(self, windows: RowWindows[np.float64]) -> RowWindows[np.float32]:
        """Return windows of inertial features; those with a wild value are missing."""
        if not windows.length:
            return RowWindows(windows.rows.astype(np.float32), windows.stops, 0)
        wild = (~(np.abs(windows.rows) < _WILD)).any(axis=1)
        stops = np.where(windows.holding(np.asarray(wild)), 0, windows.stops)
        return RowWindows(inertial_features(windows.rows, self.settings.inertial.frame), stops, windows.length)

    def _wifi(self, levels: Sequence[Levels]) -> tuple[Float32, Float32, Float32]:
        """Return levels (n, A), dBm, NaN where unheard, weights (n, A), and 1 where any of them is known (n,)."""
        rssi = np.full((len(levels), self._width), np.nan, dtype=np.float32)
        weights, known = np.zeros_like(rssi), np.zeros(len(levels), dtype=np.float32)
        for k, each in enumerate(levels):
            if self.access_points is not None and self.access_points.knows_any(each):
                vector = self.access_points.vector(each)
                rssi[k], weights[k], known[k] = vector, self.access_points.weights(vector), 1.0
        return rssi, weights, known

    def inputs(self, batch: ModalBatch) -> NetworkInputs:
        """Return inertial windows (n, N, 6), magnetic features (n, N, 3), Wi-Fi (n, A) and masks (n, 3)."""
        has_mag = batch.mag.shape[1] > 0
        mag = self._features(batch.mag) if has_mag else np.zeros((len(batch), 0, 3), dtype=np.float32)
        # An access point that contradicts the others fades towards an unheard one.
        wifi = representation(batch.rssi, self._representation) * batch.weights
        return batch.imu, mag, wifi, batch.mask
