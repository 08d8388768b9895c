"""Sizes of MMLoc+'s network and what it looks at: what training, torch and ONNX Runtime have in common."""

from __future__ import annotations

import dataclasses
from typing import Any

from mail_localization.config import Settings, group, setting
from mail_localization.errors import ConfigError
from mail_localization.matching.follower import FollowSettings
from mail_localization.models.artifact import Tensors, weights_of
from mail_localization.models.heatmap import HeatmapSettings
from mail_localization.preprocess.modalities import ModalitySettings
from mail_localization.preprocess.wifi import REPRESENTATIONS

NETWORK = "network."
"""What the names of the network's tensors begin with in a model folder."""


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


def model_config(settings: dict[str, Any], hop: int = 0) -> MmlocModelConfig:
    """Read the model's part of a card's settings."""
    known = {field.name for field in dataclasses.fields(MmlocModelConfig)}  # type: ignore[arg-type]
    own = {name: value for name, value in settings.items() if name in known}
    if hop:
        own["window"] = {**own.get("window", {}), "hop": hop}
    return MmlocModelConfig.from_mapping(own, "model.json")


def network_tensors(tensors: Tensors) -> Tensors:
    """Return the tensors of the network alone, by its own names."""
    weights = weights_of(tensors).items()
    return {name.removeprefix(NETWORK): array for name, array in weights if name.startswith(NETWORK)}
