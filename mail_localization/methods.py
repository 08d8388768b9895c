"""The methods that `train` can make, by name; each is imported when it is asked for."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from mail_localization.config import Settings
from mail_localization.errors import importing

if TYPE_CHECKING:
    from mail_localization.training.options import TrainOptions


@dataclass(frozen=True)
class Method:
    """One method: its configuration and how it is made from recordings."""

    help: str
    module: str
    """Module that offers the class CONFIG and `train(config, recordings, out, options)`."""

    @property
    def config(self) -> type[Settings]:
        """The method's Settings class."""
        kind: type[Settings] = self._load().CONFIG
        return kind

    def train(self, config: Settings, recordings: list[Path], out: Path, options: TrainOptions) -> None:
        """Train on recordings and write the model folder `out`, with its network exported.

        It also says what the survey's input looked like.
        """
        self._load().train(config, recordings, out, options)
        importlib.import_module("mail_localization.training.profile").add_profile(out, recordings, options)
        importlib.import_module("mail_localization.training.export").export_trained(out, recordings, options)

    def _load(self) -> ModuleType:
        with importing("training"):
            return importlib.import_module(self.module)


METHODS: dict[str, Method] = {
    "mail": Method("multi-scale attention-guided GRU network (Niu et al. 2020)", "mail_localization.training.mail"),
    "jang": Method("plain recurrent network (Jang et al. 2017)", "mail_localization.training.jang"),
    "mmloc_plus": Method(
        "inertial, magnetic and Wi-Fi features in one network, LSTM1 pretrained (MMLoc+)",
        "mail_localization.training.mmloc",
    ),
    "magnetic_nn": Method("nearest magnetic sequence of the survey", "mail_localization.training.magnetic_nn"),
    "wifi_knn": Method("nearest Wi-Fi fingerprints, or Horus' likelihood", "mail_localization.training.wifi_knn"),
    "pdr": Method("dead reckoning by steps or wheels from a starting pose", "mail_localization.training.pdr"),
    "magicol": Method(
        "particle filter on magnetic sequences matched by DTW (Magicol)", "mail_localization.training.magicol"
    ),
    "maloc": Method("particle filter on the magnetic map (MaLoc)", "mail_localization.training.maloc"),
}
