"""MMLoc+: inertial, magnetic and Wi-Fi features in one network (after MM-Loc, Wei et al.; sizes are its authors')."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from mail_localization.models.artifact import ModelCard, Tensors, reading_tensors
from mail_localization.models.heatmap import Heatmap
from mail_localization.models.heatmap_head import HeatmapHead
from mail_localization.models.lstm1 import CHANNELS, LastState
from mail_localization.models.mmloc_localizer import MmlocPredictor
from mail_localization.models.mmloc_settings import MmlocSettings, model_config, network_tensors
from mail_localization.models.regressor import PositionRegressor, state
from mail_localization.preprocess.modalities import MODALITIES
from mail_localization.types import FloatArray


class MmlocPlus(PositionRegressor):
    """Map one instant's modalities to positions (B, 2), m; a modality that is missing has mask 0 and any values.

    Only the first layer of the Wi-Fi DNN depends on the site's access points.
    """

    def __init__(self, settings: MmlocSettings, modalities: Sequence[str], access_points: int, cells: int) -> None:
        super().__init__()
        self.settings, self.modalities = settings, [name for name in MODALITIES if name in modalities]
        widths = []
        if "imu" in modalities:
            self.lstm1 = LastState(CHANNELS, settings.inertial_hidden, settings.inertial_step)
            widths.append(settings.inertial_hidden)
        if "mag" in modalities:
            self.lstm2 = LastState(3, settings.magnetic_hidden, settings.magnetic_step)
            widths.append(settings.magnetic_hidden)
        if "wifi" in modalities:
            sizes = (access_points, *settings.wifi_hidden)
            self.dnn = nn.Sequential(
                *itertools.chain(*((nn.Linear(a, b), nn.ReLU()) for a, b in itertools.pairwise(sizes)))
            )
            widths.append(sizes[-1])
        self.fusion = nn.Sequential(
            nn.Dropout(settings.dropout), nn.Linear(sum(widths) + len(MODALITIES), settings.fusion_hidden), nn.ReLU()
        )
        self.head: nn.Module
        if settings.head == "heatmap":
            self.head = HeatmapHead(settings.heatmap, settings.fusion_hidden, cells)
        else:
            self.head = nn.Linear(settings.fusion_hidden, 2)

    def forward(self, imu: Tensor, mag: Tensor, wifi: Tensor, mask: Tensor) -> Tensor:
        """Return positions in metres.

        Args:
            imu: inertial windows (B, N, 6), or the features (B, H) that LSTM1 has made of them.
            mag: magnetic features (B, N, 3).
            wifi: representation of the levels times their weights (B, A).
            mask: (B, 3) 1 where a modality is there, in the order of MODALITIES.
        """
        hidden = self.features(imu, mag, wifi, mask)
        if isinstance(self.head, HeatmapHead):
            return self.head.peak(self.head(hidden))[0]
        return self.metres(self.head(hidden))

    def features(self, imu: Tensor, mag: Tensor, wifi: Tensor, mask: Tensor) -> Tensor:
        """Return the joined features behind the fusion layer (B, F)."""
        parts = []
        if "imu" in self.modalities:
            parts.append((self.lstm1(imu) if imu.ndim == 3 else imu) * mask[:, 0:1])
        if "mag" in self.modalities:
            parts.append(self.lstm2(mag) * mask[:, 1:2])
        if "wifi" in self.modalities:
            parts.append(self.dnn(wifi) * mask[:, 2:3])
        joined: Tensor = self.fusion(torch.cat([*parts, mask], dim=1))
        return joined

    def training_loss(self, inputs: tuple[Tensor, ...], positions: Tensor, kind: str = "mse") -> Tensor:
        """Return the loss on a batch with positions (B, 2), m; a heat map is trained by cross-entropy."""
        if isinstance(self.head, HeatmapHead):
            return self.head.cross_entropy(self.head(self.features(*inputs)), positions)
        return super().training_loss(inputs, positions, kind)


class TorchMmloc:
    """A trained MmlocPlus as the network of an MmlocPredictor."""

    def __init__(self, model: MmlocPlus) -> None:
        self._model = model.eval().requires_grad_(False)

    def __call__(self, *inputs: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return positions (B, 2), m, or a heat map's logits (B, M), for inputs as MmlocPlus takes them."""
        with torch.inference_mode():
            hidden = self._model.features(*(torch.from_numpy(array) for array in inputs))
            outputs = self._model.head(hidden)
            if not isinstance(self._model.head, HeatmapHead):
                outputs = self._model.metres(outputs)
        made: npt.NDArray[np.float32] = outputs.numpy()
        return made


def predictor_of(model: MmlocPlus, covariances: FloatArray) -> MmlocPredictor:
    """Return a predictor over a network, with the covariances (8, 2, 2) for each set of modalities, m^2."""
    heatmap = None
    if isinstance(model.head, HeatmapHead):
        heatmap = Heatmap(model.settings.heatmap, model.head.centres.double().cpu().numpy())
    return MmlocPredictor(TorchMmloc(model), heatmap, covariances)


def load_network(card: ModelCard, tensors: Tensors) -> TorchMmloc:
    """Return the network of a loaded model folder."""
    with reading_tensors(card):
        config, weights = model_config(card.settings), network_tensors(tensors)
        columns = weights["dnn.0.weight"].shape[1] if "wifi" in config.modalities else 0
        cells = len(weights["head.centres"]) if config.network.head == "heatmap" else 0
        model = MmlocPlus(config.network, config.modalities, columns, cells)
        model.load_state_dict(state(weights))
    return TorchMmloc(model)
