"""The whole outcome of one evaluation, and its summary.json."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from mail_localization.evaluation.metrics import Accuracy, accuracy, latency_figures
from mail_localization.evaluation.replay import Replay, Skipped

SCHEMA_VERSION = 1


@dataclass(frozen=True, eq=False)
class ModelResult:
    """One model on all recordings."""

    name: str
    method: str
    folder: Path
    replays: tuple[Replay, ...]
    latency_ms: tuple[float, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)
    trained_on: tuple[str, ...] = ()
    """Names of the recordings the model was trained on."""

    @cached_property
    def accuracy(self) -> Accuracy:
        """All recordings pooled: every reference instant counts the same."""
        return pooled_accuracy(self.replays)

    @property
    def real_time_factor(self) -> float | None:
        """Recorded seconds replayed per second of one process."""
        wall = sum(replay.wall for replay in self.replays)
        return sum(replay.duration for replay in self.replays) / wall if wall > 0 else None

    @property
    def seen(self) -> list[str]:
        """Recordings named like one the model was trained on: their figures may flatter it."""
        trained_on = set(self.trained_on)
        tasks = [replay.task for replay in self.replays]
        return [task.recording for task in tasks if trained_on & {task.recording, task.path.resolve().stem}]


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Several models on several recordings."""

    models: tuple[ModelResult, ...]
    skipped: tuple[Skipped, ...] = ()
    live_rate: float | None = None
    """Playback rate through the live node; None for offline replay."""
    provenance: dict[str, str] = field(default_factory=dict)
    """Command line, versions, machine, time: name -> value."""
    reused: int = 0
    """Replays that an earlier run had finished."""


def sites(replays: Sequence[Replay]) -> dict[tuple[str, str], list[Replay]]:
    """Group replays by site and floor, in the order in which they come."""
    groups: dict[tuple[str, str], list[Replay]] = {}
    for replay in replays:
        groups.setdefault((replay.info.site, replay.info.floor), []).append(replay)
    return groups


def pooled_accuracy(replays: Sequence[Replay]) -> Accuracy:
    """Compute the figures over the instants of all replays."""
    return accuracy([r.association for r in replays], sum(len(r.estimates) for r in replays))


def summary(evaluation: Evaluation) -> dict[str, Any]:
    """Return summary.json: schema version 1, every figure a number or None."""
    return {
        "schema_version": SCHEMA_VERSION,
        "models": {model.name: _model_summary(model) for model in evaluation.models},
        "live": evaluation.live_rate is not None,
        "skipped": [
            {"model": s.task.model, "recording": s.task.recording, "reason": s.reason} for s in evaluation.skipped
        ],
        "provenance": evaluation.provenance,
    }


def _model_summary(model: ModelResult) -> dict[str, Any]:
    return {
        "method": model.method,
        "recordings": len(model.replays),
        **dataclasses.asdict(model.accuracy),
        "latency_ms": latency_figures(model.latency_ms),
        "real_time_factor": model.real_time_factor,
        "trained_on_same_name": model.seen,
        "per_site": [
            {"site": site, "floor": floor, "recordings": len(replays), **dataclasses.asdict(pooled_accuracy(replays))}
            for (site, floor), replays in sites(model.replays).items()
        ],
        "per_recording": [_recording_summary(replay) for replay in model.replays],
    }


def _recording_summary(replay: Replay) -> dict[str, Any]:
    figures = dataclasses.asdict(pooled_accuracy([replay]))
    where = {"recording": replay.task.recording, "path": str(replay.task.path), "duration": replay.duration}
    return where | figures | {"notes": list(replay.notes)}
