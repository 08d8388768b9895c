"""What `compare` is told: sites with their splits, methods with their trials, seeds and experiments.

One YAML file; a key that is unknown anywhere in it is refused with the file, the place and the nearest known key.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from mail_localization.config import Settings, nearest, setting
from mail_localization.config import group as part
from mail_localization.data.recording import SENSORS
from mail_localization.errors import ConfigError

Named = TypeVar("Named", bound=Settings)


TRANSFERABLE = "mmloc_plus"
"""The method that a transfer is made with."""


def _mapping(doc: str) -> Any:
    """Declare a field that holds names and values, empty by default."""
    return dataclasses.field(default_factory=dict, metadata={"doc": doc})


class SiteConfig(Settings):
    """One site and how its recordings are split; a pattern matches the end of a path, as `run_06` or `b/*_05`."""

    label: str = setting("", "name in tables and figures; empty: the site's key")
    protocol: str = setting(
        "repeated routes", "repeated routes: the last round is the test; other phone; new traces; say it so that a "
        "reader knows how hard the split is",
    )  # fmt: skip
    recordings: tuple[str, ...] = setting((), "folders or globs under --bags")
    floor: str = setting("", "keep only recordings of this floor; empty: all")
    test: tuple[str, ...] = setting((), "patterns of the test recordings")
    validation: tuple[str, ...] = setting((), "patterns of the recordings that choose between trials")
    every: int = setting(0, "each so many-th recording is for test, the one before for validation; 0: not", minimum=0)
    validation_every: int = setting(0, "each so many-th recording that is left is for validation; 0: not", minimum=0)
    test_device: str = setting("", "recordings of this device are for test")
    train_device: str = setting("", "of the rest, only recordings of this device are kept; empty: all")
    overrides: dict[str, Any] = _mapping("method or group of methods -> settings that replace theirs at this site")

    def check(self) -> None:
        """Refuse a site without recordings, or with other than one way to choose the test."""
        if not self.recordings:
            raise ConfigError("recordings: empty; give folders or globs under --bags")
        ways = [name for name in ("test", "every", "test_device") if getattr(self, name)]
        if len(ways) != 1:
            found = " and ".join(ways) or "none of them"
            raise ConfigError(f"the test is chosen by one of test, every and test_device, found {found}")
        if self.every == 1:
            raise ConfigError("every: 1 leaves nothing to train on; give 3 or more")


class PretrainConfig(Settings):
    """LSTM1 of mmloc_plus made first, from the training recordings of several sites."""

    sites: tuple[str, ...] = setting((), "sites; empty: no pretraining")
    settings: dict[str, Any] = _mapping("settings of the command pretrain")
    max_minutes: float = setting(0.0, "longest pretraining, min; 0: that of the file", minimum=0.0)


class MethodConfig(Settings):
    """One column of the comparison: a method, its settings, and the trials it is tuned with."""

    method: str = setting("", "name of the method, as `train --method` takes it")
    label: str = setting("", "name in tables and figures; empty: the method's key")
    role: str = setting(
        "other", "ours: MAIL or MMLoc+ of the papers; competitor: a system they are compared with; floor: 1-NN",
        choices=("ours", "competitor", "floor", "other"),
    )  # fmt: skip
    group: str = setting("", "name under which a site overrides the settings of several methods at once")
    needs: tuple[str, ...] = setting(("mag",), "streams without which it is left out at a site", choices=())
    base: dict[str, Any] = _mapping("settings of every trial")
    trials: tuple[object, ...] = setting((), "settings laid over base; the trial best on validation recordings is kept")
    like: str = setting("", "take the kept trial of this method and lay base over it (an ablation)")
    pretrain: PretrainConfig = part(PretrainConfig)
    start: bool = setting(False, "give it the first reference position of a test recording, as dead reckoning needs")
    seeds: int = setting(0, "use the first so many seeds only; 0: all", minimum=0)
    max_minutes: float = setting(0.0, "longest training, min; 0: that of the file", minimum=0.0)

    def check(self) -> None:
        """Refuse contradictions, and trials that are no settings."""
        if self.like and self.trials:
            raise ConfigError("like and trials: a method has trials of its own or takes the kept one of another")
        if wrong := [trial for trial in self.trials if not isinstance(trial, Mapping)]:
            raise ConfigError(f"trials: {wrong[0]!r} is no mapping of settings")
        if unknown := [stream for stream in self.needs if stream not in SENSORS]:
            raise ConfigError(f"needs: unknown stream {unknown[0]!r}{nearest(unknown[0], SENSORS)}")


class SweepConfig(Settings):
    """One setting varied, everything else as in the kept trial."""

    title: str = setting("", "title of the figure")
    axis: str = setting("", "label of the axis of variants")
    sites: tuple[str, ...] = setting((), "sites; empty: all")
    methods: tuple[str, ...] = setting((), "methods whose settings are varied")
    variants: dict[str, Any] = _mapping("value on the axis -> settings laid over the kept trial")
    seeds: int = setting(1, "use the first so many seeds; 0: all", minimum=0)
    max_minutes: float = setting(0.0, "longest training, min; 0: the method's", minimum=0.0)


class TransferConfig(Settings):
    """A method adapted to a site with ever more of its survey, from a pretrained LSTM1 and from scratch."""

    title: str = setting("", "title of the figure")
    method: str = setting("", "method whose kept trial gives the settings; it has a pretraining")
    target: str = setting("", "site that the method is adapted to")
    sources: tuple[str, ...] = setting((), "sites of the pretraining, without the target")
    shares: tuple[float, ...] = setting(
        (0.01, 0.05, 0.1, 0.25, 0.5, 1.0), "shares of the target's survey", minimum=0.001, maximum=1.0
    )
    settings: dict[str, Any] = _mapping("settings laid over the kept trial, for both ways")
    seeds: int = setting(0, "use the first so many seeds; 0: all", minimum=0)
    max_minutes: float = setting(0.0, "longest training, min; 0: the method's", minimum=0.0)


class PlaceConfig(Settings):
    """Where an analysis is made."""

    sites: tuple[str, ...] = setting((), "sites; empty: none")
    methods: tuple[str, ...] = setting((), "methods")


class SpeedConfig(PlaceConfig):
    """Walking speeds (MAIL figure 16): the test recordings with their stamps scaled."""

    factors: dict[str, Any] = _mapping("name -> how much faster than recorded, e.g. slow: 0.75")

    def check(self) -> None:
        """Refuse factors that are no positive numbers."""
        for name, factor in self.factors.items():
            if isinstance(factor, bool) or not isinstance(factor, (int, float)) or not 0 < factor < 100:
                raise ConfigError(f"factors: {name}: {factor!r} is no positive number")


class AnomalyConfig(Settings):
    """Share of windows with local anomalies per scale (MAIL table 2)."""

    sites: tuple[str, ...] = setting((), "sites; empty: none")
    window: float = setting(10.0, "length of a window, s", minimum=0.1)
    scales: tuple[float, ...] = setting((1.0, 2.0, 3.0, 4.0, 5.0, 10.0), "lengths of the sub-sequences, s", minimum=0.1)
    threshold: float = setting(10.0, "range of |B| in a sub-sequence from which it is anomalous, microtesla", minimum=0)


class ExperimentsConfig(Settings):
    """The papers' experiments beside the comparison of methods."""

    sweeps: dict[str, Any] = _mapping("name -> sweep of a setting (MAIL figures 9 and 10, say)")
    transfers: dict[str, Any] = _mapping("name -> transfer of mmloc_plus to another site")
    training_loss: PlaceConfig = part(PlaceConfig)
    attention: PlaceConfig = part(PlaceConfig)
    speeds: SpeedConfig = part(SpeedConfig)
    anomalies: AnomalyConfig = part(AnomalyConfig)
    latency: PlaceConfig = part(PlaceConfig)


class _File(Settings):
    """The file as a whole; what stands under sites, methods and sweeps is read by name."""

    seeds: tuple[int, ...] = setting((0,), "seeds of every training; the first one chooses between trials", minimum=0)
    max_minutes: float = setting(5.0, "longest training, min", minimum=0.001)
    sites: dict[str, Any] = _mapping("name -> site")
    methods: dict[str, Any] = _mapping("name -> method")
    experiments: ExperimentsConfig = part(ExperimentsConfig)


@dataclass(frozen=True)
class CompareConfig:
    """The whole comparison."""

    path: Path
    """File it was read from, which opens every error message."""
    seeds: tuple[int, ...]
    max_minutes: float
    sites: dict[str, SiteConfig]
    methods: dict[str, MethodConfig]
    sweeps: dict[str, SweepConfig]
    transfers: dict[str, TransferConfig]
    experiments: ExperimentsConfig

    @classmethod
    def from_yaml(cls, path: Path) -> CompareConfig:
        """Read and check the file.

        Raises:
            ConfigError: it cannot be read, a key is unknown, a value is wrong, or a name leads nowhere.
        """
        file = _File.from_yaml(path)
        config = cls(
            path, file.seeds, file.max_minutes,
            _named(SiteConfig, file.sites, f"{path}: sites"),
            _named(MethodConfig, file.methods, f"{path}: methods"),
            _named(SweepConfig, file.experiments.sweeps, f"{path}: experiments: sweeps"),
            _named(TransferConfig, file.experiments.transfers, f"{path}: experiments: transfers"),
            file.experiments,
        )  # fmt: skip
        _check_names(config)
        return config

    def seeds_of(self, limit: int) -> tuple[int, ...]:
        """Return the first `limit` seeds; 0 means all."""
        return self.seeds[: limit or None]


def merged(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested settings with each later layer laid over the earlier ones."""
    result: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            below = result.get(key)
            both = isinstance(below, Mapping) and isinstance(value, Mapping)
            result[key] = merged(below, value) if both else value  # type: ignore[arg-type]
    return result


def _named(kind: type[Named], entries: Mapping[str, Any], where: str) -> dict[str, Named]:
    named = {}
    for key, entry in entries.items():
        name = str(key)
        if not re.fullmatch(r"[A-Za-z0-9_.+-]+", name):
            raise ConfigError(f"{where}: {name!r}: a name becomes that of a folder; use letters, digits, _ . + and -")
        named[name] = kind.from_mapping(entry or {}, f"{where}: {name}")
    return named


def _check_names(config: CompareConfig) -> None:
    """Raise ConfigError for a reference to a site, method or group that is not there."""
    where = f"{config.path}: "
    for key, found in (("seeds", config.seeds), ("sites", config.sites), ("methods", config.methods)):
        if not found:
            raise ConfigError(f"{where}{key}: none; at least one is needed")
    if len(set(config.seeds)) < len(config.seeds):
        raise ConfigError(f"{where}seeds: {list(config.seeds)} has one twice")
    groups = {method.group for method in config.methods.values()} - {""} | set(config.methods)
    for name, site in config.sites.items():
        _require(site.overrides, groups, f"{where}sites: {name}: overrides", "method or group")
    for name, method in config.methods.items():
        _require(method.pretrain.sites, config.sites, f"{where}methods: {name}: pretrain: sites", "site")
        if method.like:
            _require([method.like], config.methods, f"{where}methods: {name}: like", "method")
            if config.methods[method.like].like:
                raise ConfigError(
                    f"{where}methods: {name}: like: {method.like!r} is like another itself; name that one"
                )
    for name, transfer in config.transfers.items():
        place = f"{where}experiments: transfers: {name}"
        _require([transfer.method], config.methods, f"{place}: method", "method")
        _require([transfer.target], config.sites, f"{place}: target", "site")
        _require(transfer.sources, config.sites, f"{place}: sources", "site")
        if (kind := config.methods[transfer.method].method) != TRANSFERABLE:
            raise ConfigError(f"{place}: method: {transfer.method!r} is a {kind}; only {TRANSFERABLE} is pretrained")
        if not transfer.sources or transfer.target in transfer.sources:
            raise ConfigError(f"{place}: sources: {list(transfer.sources)}; name sites other than the target")
    parts = {f"sweeps: {name}": sweep for name, sweep in config.sweeps.items()} | {
        name: getattr(config.experiments, name)
        for name in ("training_loss", "attention", "speeds", "anomalies", "latency")
    }
    for name, experiment in parts.items():
        _require(experiment.sites, config.sites, f"{where}experiments: {name}: sites", "site")
        _require(getattr(experiment, "methods", ()), config.methods, f"{where}experiments: {name}: methods", "method")


def _require(names: Any, known: Any, where: str, kind: str) -> None:
    for name in names:
        if name not in known:
            raise ConfigError(f"{where}: unknown {kind} {name!r}{nearest(str(name), known)}")
