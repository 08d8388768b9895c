"""results.json: every figure of a comparison, gathered from the folders of its tasks."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mail_localization.experiments.config import CompareConfig
from mail_localization.experiments.plan import Plan
from mail_localization.experiments.sites import Site
from mail_localization.experiments.steps import MODEL, read_errors
from mail_localization.experiments.tasks import Store
from mail_localization.types import FloatArray

SCHEMA_VERSION = 1
CLAIM = 0.64
"""MAIL's claim: its mean error is at most this share of that of the best of the systems compared with."""
WAYS = {"online": "", "smoothed": " (smoothed offline)"}
SPEED_EDGES = (0.9, 1.2)
"""Slow is below the first, fast above the second, m/s."""
STANDING = 0.2
"""Below this speed nobody walks, m/s."""
SPEED_LAG = 5
"""Seconds over which a walking speed is taken from the reference."""

Figures = dict[str, Any]


@dataclass(frozen=True)
class Gathering:
    """Where the figures come from."""

    config: CompareConfig
    sites: dict[str, Site]
    plan: Plan
    store: Store

    def label(self, method: str) -> str:
        """Return a method's name in tables."""
        return self.config.methods[method].label or method

    def evaluations(self, site: str, method: str) -> dict[int, str]:
        """Return seed -> folder of the evaluations that ended well."""
        found = {seed: folder for (s, m, seed), folder in self.plan.evaluations.items() if (s, m) == (site, method)}
        return {seed: folder for seed, folder in found.items() if self.store.result(folder) is not None}

    def results(self, folders: Sequence[str]) -> list[Figures]:
        """Return the results that are there."""
        return [result for folder in folders if (result := self.store.result(folder)) is not None]


def gather(g: Gathering) -> Figures:
    """Return results.json but for its provenance."""
    return {
        "schema_version": SCHEMA_VERSION,
        "seeds": list(g.config.seeds),
        "sites": {name: _site(g, site) for name, site in g.sites.items()},
        "latency": _latency(g),
        "sweeps": {name: _sweep(g, name) for name in g.config.sweeps},
        "transfers": {name: _transfer(g, name) for name in g.config.transfers},
        "training_loss": _losses(g),
        "attention": _by_pair(g, g.plan.attention),
        "speeds": _speeds(g),
        "anomalies": {name: found for name, folder in g.plan.anomalies.items() for found in g.results([folder])},
    }


def pooled_errors(g: Gathering, site: str, method: str, way: str) -> FloatArray:
    """Return the errors of all seeds together, one per instant with an estimate: (n,) m."""
    found = [read_errors(g.store.runs / folder) for folder in g.evaluations(site, method).values()]
    parts = [errors.error(way) for errors in found if way in errors.estimates]
    joined = np.concatenate([np.empty(0), *parts])
    return np.asarray(joined[np.isfinite(joined)])


def averaged(figures: Sequence[Figures]) -> Figures:
    """Return the mean of every number over seeds; None where one is missing."""
    if isinstance(figures[0], dict):
        return {key: averaged([entry[key] for entry in figures]) for key in figures[0]}
    if any(value is None for value in figures):
        return None
    return float(np.mean(figures))


def _site(g: Gathering, site: Site) -> Figures:
    rows = [row for method in g.config.methods for row in _rows(g, site.name, method)]
    parts = ("training", "validation", "test")
    return {
        "label": site.label,
        "protocol": site.protocol,
        "streams": sorted(site.streams),
        "recordings": {part: [source.name for source in getattr(site, part)] for part in parts},
        "left_out": {g.label(m): why for (s, m), why in g.plan.left_out.items() if s == site.name},
        "rows": rows,
        "claim": _claim(rows),
    }


def _rows(g: Gathering, site: str, method: str) -> list[Figures]:
    """Return the row of a method online and, where it has one, that smoothed offline."""
    found = {seed: g.store.result(folder) or {} for seed, folder in g.evaluations(site, method).items()}
    if not found:
        return []
    first = found[min(found, key=list(g.config.seeds).index)]
    rows = []
    for way, suffix in WAYS.items():
        figures = {seed: result[way] for seed, result in found.items() if result.get(way)}
        if not figures:
            continue
        means = [entry["ape_m"]["mean"] for entry in figures.values()]
        rows.append({
            "method": method, "way": way, "label": g.label(method) + suffix, "role": g.config.methods[method].role,
            "told_start": first["told_start"], "trial": first["trial"],
            "trials": len(g.plan.trials[site, method]), "validation_mean_m": first["validation_mean_m"],
            "settings": first["settings"], **averaged(list(figures.values())),
            "spread_m": spread(means), "mean_by_seed_m": {str(seed): e["ape_m"]["mean"] for seed, e in figures.items()},
        })  # fmt: skip
    return rows


def spread(values: Sequence[float | None]) -> float | None:
    """Return the standard deviation over seeds; None for one seed or a missing value."""
    if len(values) < 2 or any(value is None for value in values):
        return None
    return float(np.std(np.array(values, dtype=np.float64), ddof=1))


def _claim(rows: list[Figures]) -> Figures | None:
    """Compare the better of MAIL and MMLoc+ with the best of the competitors."""
    best = {}
    for role in ("ours", "competitor"):
        judged = [r for r in rows if r["role"] == role and r["way"] == "online" and r["ape_m"]["mean"] is not None]
        if not judged:
            return None
        best[role] = min(judged, key=lambda row: float(row["ape_m"]["mean"]))
    ratio = best["ours"]["ape_m"]["mean"] / best["competitor"]["ape_m"]["mean"]
    return {
        "ours": best["ours"]["label"], "competitor": best["competitor"]["label"], "ratio": ratio,
        "holds": ratio <= CLAIM,
    }  # fmt: skip


def _latency(g: Gathering) -> list[Figures]:
    return [
        {"site": site, "method": method, "label": g.label(method), **found}
        for (site, method), folder in g.plan.latency.items()
        for found in g.results([folder])
    ]


def _sweep(g: Gathering, name: str) -> Figures:
    """Return title, axis and, for each site and method, the mean error of each variant over its seeds."""
    config = g.config.sweeps[name]
    lines: dict[tuple[str, str], list[Figures]] = {}
    variants: dict[tuple[str, str, str], list[str]] = {}
    for (sweep, site, method, variant, _), folder in g.plan.sweeps.items():
        if sweep == name:
            variants.setdefault((site, method, variant), []).append(folder)
    for (site, method, variant), folders in variants.items():
        if found := [result["online"] for result in g.results(folders)]:
            point = {"variant": variant, **averaged(found), "spread_m": spread([f["ape_m"]["mean"] for f in found])}
            lines.setdefault((site, method), []).append(point)
    listed = [{"site": s, "method": m, "label": g.label(m), "points": points} for (s, m), points in lines.items()]
    return {"title": config.title or name, "axis": config.axis or name, "lines": listed}


def _transfer(g: Gathering, name: str) -> Figures:
    """Return the error for each share of the survey, from a pretrained LSTM1 and from scratch."""
    config = g.config.transfers[name]
    runs: dict[tuple[str, float], dict[int, Figures]] = {}
    for (transfer, way, share, seed), folder in g.plan.transfers.items():
        if transfer == name and (result := g.store.result(folder)):
            runs.setdefault((way, share), {})[seed] = result["online"]
    points = []
    for (way, share), found in runs.items():
        means = {seed: figures["ape_m"]["mean"] for seed, figures in found.items()}
        point = {"way": way, "share": share, **averaged(list(found.values()))}
        points.append({**point, "spread_m": spread(list(means.values())), "by_seed_m": means})
    gains = [_gain(points, share) for share in config.shares]
    return {
        "title": config.title or name, "target": config.target, "sources": list(config.sources),
        "label": g.label(config.method), "points": points, "gains": [gain for gain in gains if gain],
    }  # fmt: skip


def _gain(points: list[Figures], share: float) -> Figures | None:
    """Compare both ways at one share: the gain counts where it exceeds the spread of both over the seeds.

    Both ways of a seed see the same stretches, so their difference seed by seed is told too.
    """
    both = {point["way"]: point for point in points if point["share"] == share}
    if len(both) < 2 or any(point["ape_m"]["mean"] is None for point in both.values()):
        return None
    gain = both["scratch"]["ape_m"]["mean"] - both["transfer"]["ape_m"]["mean"]
    spreads = [point["spread_m"] for point in both.values()]
    noise = None if any(value is None for value in spreads) else float(np.hypot(*spreads))
    transfer, scratch = (both[way]["by_seed_m"] for way in ("transfer", "scratch"))
    paired = [scratch[seed] - transfer[seed] for seed in sorted(transfer.keys() & scratch.keys())]
    return {
        "share": share, "gain_m": gain, "spread_m": noise, "beyond_spread": noise is not None and gain > noise,
        "paired_m": paired, "paired_spread_m": spread(paired),
    }  # fmt: skip


def _losses(g: Gathering) -> list[Figures]:
    """Return loss and validation error by epoch of the kept trial of the first seed (figure 14)."""
    place = g.config.experiments.training_loss
    curves = []
    for site in place.sites:
        for method in place.methods:
            evaluations = list(g.evaluations(site, method).values())
            for result in g.results(evaluations[:1]):
                columns = _history(g.store.runs / result["chosen"] / MODEL / "history.csv")
                if columns:
                    curves.append({"site": site, "method": method, "label": g.label(method), **columns})
    return curves


def _history(path: Path) -> dict[str, list[float]]:
    if not path.is_file():
        return {}
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return {name: [float(row[name]) for row in rows] for name in ("epoch", "loss", "validation_m")} if rows else {}


def _by_pair(g: Gathering, folders: dict[tuple[str, str], str]) -> list[Figures]:
    return [
        {"site": site, "method": method, "label": g.label(method), **found}
        for (site, method), folder in folders.items()
        for found in g.results([folder])
    ]


def _speeds(g: Gathering) -> Figures:
    """Return the error by walking speed: scaled stamps, and the speeds really walked (figure 16)."""
    scaled = [
        {"site": site, "method": method, "label": g.label(method), "speed": name,
         "factor": g.config.experiments.speeds.factors[name], **found["online"]}
        for (site, method, name), folder in g.plan.speeds.items()
        for found in g.results([folder])
    ]  # fmt: skip
    pairs = dict.fromkeys((site, method) for site, method, _ in g.plan.speeds)
    real = [
        {"site": site, "method": method, "label": g.label(method), **entry}
        for site, method in pairs
        for entry in _real_speeds(g, site, method)
    ]
    return {"scaled": scaled, "real": real}


def _real_speeds(g: Gathering, site: str, method: str) -> list[Figures]:
    """Group the instants of the test by the speed of the reference over the last seconds."""
    names = ("slow", "normal", "fast")
    groups: dict[str, list[FloatArray]] = {name: [] for name in names}
    for folder in g.evaluations(site, method).values():
        errors = read_errors(g.store.runs / folder)
        error, speed = errors.error(), np.full(len(errors.t_ns), np.nan)
        lag = SPEED_LAG
        same = errors.recording[lag:] == errors.recording[:-lag]
        chord = np.linalg.norm(errors.reference[lag:] - errors.reference[:-lag], axis=1)
        seconds = (errors.t_ns[lag:] - errors.t_ns[:-lag]) * 1e-9
        speed[lag:] = np.where(same, chord / np.maximum(seconds, 1e-9), np.nan)
        walking = np.isfinite(error) & (speed > STANDING)
        for name, chosen in zip(names, _thirds(speed), strict=True):
            groups[name].append(error[walking & chosen])
    joined = {name: np.concatenate([np.empty(0), *parts]) for name, parts in groups.items()}
    return [
        {"speed": name, "instants": len(error), "mean_m": float(error.mean()) if len(error) else None}
        for name, error in joined.items()
    ]


def _thirds(speed: FloatArray) -> tuple[Any, Any, Any]:
    slow, fast = SPEED_EDGES
    return speed < slow, (speed >= slow) & (speed <= fast), speed > fast
