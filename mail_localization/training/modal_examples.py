"""Windows of several modalities as the training loop takes them, with what may go wrong with them in the field."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from mail_localization.config import Settings, group, setting
from mail_localization.preprocess.magnetic import MICROTESLA
from mail_localization.preprocess.modal_batch import ModalBatch, ModalColumns, ModalFrontEnd, NetworkInputs
from mail_localization.training.fill_in import FillInSettings
from mail_localization.training.loop import TrainingSettings
from mail_localization.types import FloatArray

Indices = npt.NDArray[np.int64]


class ModalAugmentation(Settings):
    """What is changed at random in a training window of several modalities."""

    noise: float = setting(0.3, "standard deviation of noise on every magnetic reading, microtesla", minimum=0.0)
    offset: float = setting(
        2.0, "standard deviation of an offset of each axis, constant in a window (hard iron), microtesla", minimum=0.0
    )
    rssi_offset: float = setting(3.0, "standard deviation of a device's offset on all levels, dB", minimum=0.0)
    rssi_noise: float = setting(3.0, "standard deviation of noise on each level, dB", minimum=0.0)
    unheard: float = setting(0.15, "share of access points that are not heard", minimum=0.0, maximum=0.99)
    without_imu: float = setting(0.1, "share of windows without inertial sensors", minimum=0.0, maximum=0.99)
    without_mag: float = setting(0.15, "share of windows without magnetometer", minimum=0.0, maximum=0.99)
    without_wifi: float = setting(0.3, "share of windows without Wi-Fi", minimum=0.0, maximum=0.99)


class ModalTrainingSettings(TrainingSettings):
    """How the network is trained: a few minutes at most."""

    batch: int = setting(128, "windows in a batch", minimum=1)
    learning_rate: float = setting(0.002, "initial learning rate of Adam", minimum=1e-8, maximum=10.0)
    epochs: int = setting(150, "most passes over the training windows", minimum=1)
    max_minutes: float = setting(5.0, "wall time after which training stops with the best model", minimum=0.01)
    hop: int = setting(5, "samples between the ends of training windows", minimum=1)
    patience: int = setting(8, "epochs without a better validation error before a decay", minimum=1)
    stop_after: int = setting(3, "decays without a better validation error after which training stops", minimum=1)
    weight_decay: float = setting(0.001, "weight decay, decoupled from the gradient (AdamW)", minimum=0.0)
    augmentation: ModalAugmentation = group(ModalAugmentation)  # type: ignore[assignment]
    fill_in: FillInSettings = group(FillInSettings)


@dataclass(frozen=True, eq=False)
class ModalExamples:
    """Labelled instants for the training loop."""

    columns: ModalColumns
    positions: FloatArray
    """(n, 2) reference, m."""
    front_end: ModalFrontEnd
    augmentation: ModalAugmentation

    def __len__(self) -> int:
        return len(self.positions)

    def plain(self, which: Indices) -> NetworkInputs:
        """Return the network's inputs for some instants, the same numbers as a Localizer sees."""
        return self.front_end.inputs(self.columns.take(which))

    def augmented(self, which: Indices, rng: np.random.Generator) -> NetworkInputs:
        """Return the network's inputs for some instants as another device or another day gives them."""
        batch = self.columns.take(which)
        return self.front_end.inputs(
            replace(batch, mag=self._magnetic(batch, rng), rssi=self._levels(batch, rng), mask=self._mask(batch, rng))
        )

    def _magnetic(self, batch: ModalBatch, rng: np.random.Generator) -> FloatArray:
        mag = batch.mag
        if mag.shape[1]:
            field = mag[..., :3]  # a copy already: batches are taken by index
            if self.augmentation.noise > 0:
                field += rng.normal(0, self.augmentation.noise / MICROTESLA, field.shape)
            if self.augmentation.offset > 0:
                field += rng.normal(0, self.augmentation.offset / MICROTESLA, (len(mag), 1, 3))
        return mag

    def _levels(self, batch: ModalBatch, rng: np.random.Generator) -> npt.NDArray[np.float32]:
        settings, rssi = self.augmentation, batch.rssi
        if rssi.shape[1]:
            rssi += rng.normal(0, settings.rssi_offset, (len(rssi), 1)).astype(np.float32)
            rssi += settings.rssi_noise * rng.standard_normal(rssi.shape, dtype=np.float32)
            rssi[rng.random(rssi.shape, dtype=np.float32) < settings.unheard] = np.nan
        return rssi

    def _mask(self, batch: ModalBatch, rng: np.random.Generator) -> npt.NDArray[np.float32]:
        settings = self.augmentation
        shares = np.array([settings.without_imu, settings.without_mag, settings.without_wifi])
        mask = batch.mask * (rng.random(batch.mask.shape) >= shares)
        # What tells the place must not all go.
        blind = ~mask[:, 1:].any(axis=1)
        mask[blind] = batch.mask[blind]
        return mask.astype(np.float32)
