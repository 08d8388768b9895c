"""The graph of tasks that a comparison consists of, and where each figure will be found."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any

from mail_localization.config import nearest
from mail_localization.errors import ConfigError
from mail_localization.experiments.config import (
    CompareConfig,
    MethodConfig,
    PretrainConfig,
    SweepConfig,
    TransferConfig,
    merged,
)
from mail_localization.experiments.sites import Site, Source
from mail_localization.experiments.tasks import Task
from mail_localization.methods import METHODS

STEPS = "mail_localization.experiments.steps"
ANALYSES = "mail_localization.experiments.analyses"
ADAPT = "mail_localization.experiments.transfer:adapt"
WAYS = ("transfer", "scratch")

Pair = tuple[str, str]
"""(site, method)"""


@dataclass
class Plan:
    """All tasks, and the folders of those whose results are reported."""

    tasks: dict[str, Task] = field(default_factory=dict)
    left_out: dict[Pair, str] = field(default_factory=dict)
    """Why a method is not tried at a site."""
    trials: dict[Pair, list[str]] = field(default_factory=dict)
    """Folders of the trainings that the first seed chooses from."""
    evaluations: dict[tuple[str, str, int], str] = field(default_factory=dict)
    """(site, method, seed) -> folder."""
    sweeps: dict[tuple[str, str, str, str, int], str] = field(default_factory=dict)
    """(sweep, site, method, variant, seed) -> folder."""
    transfers: dict[tuple[str, str, float, int], str] = field(default_factory=dict)
    """(transfer, way, share, seed) -> folder."""
    speeds: dict[tuple[str, str, str], str] = field(default_factory=dict)
    """(site, method, name of the speed) -> folder."""
    latency: dict[Pair, str] = field(default_factory=dict)
    attention: dict[Pair, str] = field(default_factory=dict)
    anomalies: dict[str, str] = field(default_factory=dict)

    def add(self, task: Task) -> str:
        """Take a task in, once, and return its folder."""
        return self.tasks.setdefault(task.folder, task).folder


def make_plan(config: CompareConfig, sites: dict[str, Site]) -> Plan:
    """Return all tasks of a comparison.

    Raises:
        ConfigError: a method is unknown, or its settings are wrong at some site.
    """
    return _Planner(config, sites).plan()


class _Planner:
    """Builds a plan, part by part."""

    def __init__(self, config: CompareConfig, sites: dict[str, Site]) -> None:
        self._config, self._sites, self._plan = config, sites, Plan()

    def plan(self) -> Plan:
        for name, method in self._config.methods.items():
            if method.method not in METHODS:
                where = f"{self._config.path}: methods: {name}: method"
                raise ConfigError(f"{where}: unknown method {method.method!r}{nearest(method.method, METHODS)}")
        for site in self._sites.values():
            for name, method in self._config.methods.items():
                missing = [stream for stream in method.needs if stream not in site.streams]
                if missing:
                    self._plan.left_out[site.name, name] = f"the site has no {' and no '.join(missing)}"
                else:
                    self._compare(site, name, method)
        for name, sweep in self._config.sweeps.items():
            self._sweep(name, sweep)
        for name, transfer in self._config.transfers.items():
            self._transfer(name, transfer)
        self._analyses()
        return self._plan

    def _compare(self, site: Site, name: str, method: MethodConfig) -> None:
        """Add trainings and evaluations of one method at one site, for every seed."""
        first, *others = self._config.seeds_of(method.seeds)
        like, layers = self._layers(site, name, method)
        for settings in layers:
            self._check(settings, like, site, name, method)
        trials = [
            self._train(site, name, method, settings, like, first, f"trial{number}")
            for number, settings in enumerate(layers)
        ]
        self._plan.trials[site.name, name] = trials
        self._plan.evaluations[site.name, name, first] = self._evaluate(site, name, method, trials)
        for seed in others:
            if len(layers) == 1:
                again = self._train(site, name, method, layers[0], like, seed, "again")
            else:
                again = self._train(site, name, method, {}, tuple(trials), seed, "again")
            self._plan.evaluations[site.name, name, seed] = self._evaluate(site, name, method, [again])

    def _layers(self, site: Site, name: str, method: MethodConfig) -> tuple[tuple[str, ...], list[dict[str, Any]]]:
        """Return the trials to take the best of, and the settings of each training to make."""
        overrides = self._config.sites[site.name].overrides
        site_layers = [overrides.get(key) or {} for key in (method.group, name) if key]
        if not method.like:
            trials: list[Any] = list(method.trials) or [{}]
            return (), [merged(method.base, trial, *site_layers) for trial in trials]
        other = self._config.methods[method.like]
        if (site.name, method.like) not in self._plan.trials:
            self._compare(site, method.like, other)
        return tuple(self._plan.trials[site.name, method.like]), [merged(method.base, *site_layers)]

    def _sweep(self, name: str, sweep: SweepConfig) -> None:
        """Add one training and evaluation for every variant of a setting."""
        for site in [self._sites[key] for key in sweep.sites or self._sites]:
            for key in sweep.methods:
                if (site.name, key) not in self._plan.trials:
                    continue
                method, trials = self._config.methods[key], tuple(self._plan.trials[site.name, key])
                for variant, settings in sweep.variants.items():
                    label = f"{name}-{variant}".replace("/", "_").replace(" ", "_")
                    self._check(settings or {}, trials, site, key, method, f"sweeps: {name}: {variant}")
                    for seed in self._config.seeds_of(sweep.seeds):
                        minutes = sweep.max_minutes
                        trained = self._train(site, key, method, settings or {}, trials, seed, label, minutes)
                        judged = self._evaluate(site, key, method, [trained], label)
                        self._plan.sweeps[name, site.name, key, str(variant), seed] = judged

    def _analyses(self) -> None:
        """Add what is done with the kept trial of the first seed."""
        experiments = self._config.experiments
        for site, name in self._pairs(experiments.speeds):
            for label, factor in experiments.speeds.factors.items():
                # At the speed recorded it is the evaluation that is there already.
                title = "test" if factor == 1 else f"speed-{label}"
                trials, method = self._plan.trials[site, name], self._config.methods[name]
                judged = self._evaluate(self._sites[site], name, method, trials, title, float(factor))
                self._plan.speeds[site, name, label] = judged
        for site, name in self._pairs(experiments.latency, everywhere=True):
            start = self._config.methods[name].start
            self._plan.latency[site, name] = self._measure("latency", STEPS, site, name, start=start)
        for site, name in self._pairs(experiments.attention):
            self._plan.attention[site, name] = self._measure("attention", ANALYSES, site, name)
        self._anomalies()

    def _pairs(self, place: Any, everywhere: bool = False) -> list[Pair]:
        """Return the (site, method) pairs of an analysis that are compared at all; no method named means all."""
        methods = place.methods or (self._config.methods if everywhere else ())
        return [(site, name) for site in place.sites for name in methods if (site, name) in self._plan.trials]

    def _measure(self, step: str, module: str, site: str, name: str, **arguments: Any) -> str:
        trials, test = self._plan.trials[site, name], self._sites[site].test
        arguments |= {"candidates": trials, "recordings": _names(test)}
        alone = step == "latency"
        return self._plan.add(
            Task(f"{site}-{name}-{step}", f"{module}:{step}", arguments, _inputs(test), tuple(trials), alone=alone)
        )

    def _anomalies(self) -> None:
        anomalies = self._config.experiments.anomalies
        for name in anomalies.sites:
            site = self._sites[name]
            sources = (*site.training, *site.validation, *site.test)
            arguments = {
                "recordings": _names(sources), "window": anomalies.window, "scales": list(anomalies.scales),
                "threshold": anomalies.threshold,
            }  # fmt: skip
            task = Task(f"{name}-anomalies", f"{ANALYSES}:anomalies", arguments, _inputs(sources), minutes=0.3)
            self._plan.anomalies[name] = self._plan.add(task)

    def _train(
        self, site: Site, name: str, method: MethodConfig, settings: dict[str, Any], like: tuple[str, ...], seed: int,
        label: str, max_minutes: float = 0.0,
    ) -> str:  # fmt: skip
        minutes = max_minutes or method.max_minutes or self._config.max_minutes
        arguments: dict[str, Any] = {
            "method": method.method, "settings": settings, "like": list(like), "seed": seed, "max_minutes": minutes,
            "training": _names(site.training), "validation": _names(site.validation),
        }  # fmt: skip
        needs = like
        if method.pretrain.sites:
            arguments["lstm1"] = self._pretrain(site, name, method.pretrain, method.pretrain.sites)
            needs = (*like, arguments["lstm1"])
        inputs = _inputs((*site.training, *site.validation))
        title = f"{site.name}-{name}-{label}-seed{seed}"
        return self._plan.add(Task(title, f"{STEPS}:train", arguments, inputs, needs, minutes))

    def _pretrain(self, site: Site, name: str, pretrain: PretrainConfig, sites: tuple[str, ...]) -> str:
        """Add a pretraining on `sites` for use at a site, of whose test and validation recordings it sees none."""
        unseen = {source.name for source in (*site.test, *site.validation)}
        sources = {
            source.name: source
            for key in sites
            for source in self._sites[key].training
            if source.name not in unseen and "imu" in source.streams
        }
        chosen = tuple(sources[key] for key in sorted(sources))
        minutes = pretrain.max_minutes or self._config.max_minutes
        arguments = {
            "settings": pretrain.settings, "recordings": _names(chosen), "seed": self._config.seeds[0],
            "max_minutes": minutes,
        }  # fmt: skip
        title = f"{name}-pretraining"
        return self._plan.add(Task(title, f"{STEPS}:pretrain", arguments, _inputs(chosen), minutes=minutes))

    def _transfer(self, name: str, transfer: TransferConfig) -> None:
        """Add the adaptation to each share of a survey, from a pretrained LSTM1 and from scratch."""
        site, method = self._sites[transfer.target], self._config.methods[transfer.method]
        if (site.name, transfer.method) not in self._plan.trials:
            return
        trials = self._plan.trials[site.name, transfer.method]
        self._check(transfer.settings, tuple(trials), site, name, method, f"experiments: transfers: {name}: settings")
        lstm1 = self._pretrain(site, name, method.pretrain, transfer.sources)
        minutes = transfer.max_minutes or method.max_minutes or self._config.max_minutes
        inputs = _inputs((*site.training, *site.validation))
        for way, share, seed in itertools.product(WAYS, transfer.shares, self._config.seeds_of(transfer.seeds)):
            arguments = {
                "like": trials, "settings": transfer.settings, "lstm1": lstm1 if way == WAYS[0] else "", "share": share,
                "training": _names(site.training), "validation": _names(site.validation), "seed": seed,
                "max_minutes": minutes,
            }  # fmt: skip
            needs = (*trials, lstm1) if way == WAYS[0] else tuple(trials)
            title = f"{name}-{way}-{share:g}"
            trained = self._plan.add(Task(f"{title}-seed{seed}", ADAPT, arguments, inputs, needs, minutes))
            judged = self._evaluate(site, transfer.method, method, [trained], title)
            self._plan.transfers[name, way, share, seed] = judged

    def _evaluate(
        self, site: Site, name: str, method: MethodConfig, trials: list[str], label: str = "test", speed: float = 1.0
    ) -> str:
        arguments = {"candidates": trials, "recordings": _names(site.test), "start": method.start, "speed": speed}
        title = f"{site.name}-{name}-{label}-evaluation"
        return self._plan.add(
            Task(title, f"{STEPS}:evaluate", arguments, _inputs(site.test), tuple(trials), minutes=0.5)
        )

    def _check(
        self, settings: dict[str, Any], like: tuple[str, ...], site: Site, name: str, method: MethodConfig,
        where: str = "",
    ) -> None:  # fmt: skip
        """Raise ConfigError now, not after hours, for settings that the method does not take."""
        place = f"{self._config.path}: {where or f'methods: {name}'} (at site {site.name})"
        below = [self._plan.tasks[folder].arguments["settings"] for folder in like] or [{}]
        for layer in below:
            METHODS[method.method].config.from_mapping(merged(layer, settings), place)


def _names(sources: tuple[Source, ...]) -> list[str]:
    return [source.name for source in sources]


def _inputs(sources: tuple[Source, ...]) -> dict[str, str]:
    return {source.name: source.fingerprint for source in sources}
