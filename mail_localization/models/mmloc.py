"""MMLoc+: inertial, magnetic and Wi-Fi features in one network (after MM-Loc, Wei et al.; sizes are its authors')."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mail_localization.config import Settings, group, setting
from mail_localization.errors import ConfigError
from mail_localization.matching.follower import FollowSettings
from mail_localization.models.heatmap import HeatmapHead, HeatmapSettings
from mail_localization.models.lstm1 import CHANNELS, LastState
from mail_localization.models.regressor import PositionRegressor
from mail_localization.preprocess.modalities import MODALITIES, ModalitySettings
from mail_localization.preprocess.wifi import REPRESENTATIONS


class MmlocSettings(Settings):
    """Sizes of the network."""

    inertial_hidden: int = setting(128, "units of LSTM1, where none is given (MM-Loc: 128)", minimum=1, maximum=4096)
    magnetic_hidden: int = setting(128, "units of LSTM2 (MM-Loc: 128)", minimum=1, maximum=4096)
    wifi_hidden: tuple[int, ...] = setting((128, 128, 128), "units of the Wi-Fi DNN's layers (MM-Loc)", minimum=1)
    fusion_hidden: int = setting(128, "units of the layer over the joined features (MM-Loc: 128)", minimum=1)
    inertial_step: int = setting(5, "samples that enter LSTM1 together, where none is given (MM-Loc: 1)", minimum=1)
    magnetic_step: int = setting(5, "samples that enter LSTM2 together (MM-Loc: 1)", minimum=1)
    representation: str = setting("positive", "how Wi-Fi levels become numbers", choices=REPRESENTATIONS)
    dropout: float = setting(0.2, "share of the joined features dropped in training", minimum=0.0, maximum=0.9)
    adapt: str = setting(
        "freeze",
        "freeze: a given LSTM1 stays as it is; fine_tune: it is trained on; scratch: its sizes only",
        choices=("freeze", "fine_tune", "scratch"),
    )
    head: str = setting(
        "regression", "regression: x and y (the paper's); heatmap: a probability for each cell of the surveyed places",
        choices=("regression", "heatmap"),
    )  # fmt: skip
    heatmap: HeatmapSettings = group(HeatmapSettings)

    def check(self) -> None:
        """Refuse a Wi-Fi network without layers."""
        if not self.wifi_hidden:
            raise ConfigError("wifi_hidden: [] must be at least one layer")


class MmlocModelConfig(ModalitySettings):
    """The part of method mmloc_plus's configuration that a trained model needs."""

    network: MmlocSettings = group(MmlocSettings)
    follow: FollowSettings = group(FollowSettings)

    def check(self) -> None:
        """Refuse modalities that cannot tell a place, and steps that leave less than two time steps."""
        super().check()
        if not {"mag", "wifi"} & set(self.modalities):
            raise ConfigError(f"modalities: {list(self.modalities)!r} cannot tell a place; add mag or wifi")
        pairs = (("inertial_step", self.inertial.length, "inertial"), ("magnetic_step", self.window.length, "window"))
        for name, length, owner in pairs:
            if (step := getattr(self.network, name)) * 2 > length:
                raise ConfigError(f"network.{name}: {step} is over half of {owner}.length {length}")


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
