"""One evaluation from model folders and bags to the finished output folder."""

from __future__ import annotations

import itertools
import platform
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from tqdm import tqdm

from mail_localization.data.recording import Topics, find_recordings
from mail_localization.errors import EvaluationError
from mail_localization.evaluation import outputs, plots
from mail_localization.evaluation.floorplan import FloorPlan
from mail_localization.evaluation.kept import KeptReplays
from mail_localization.evaluation.replay import (
    Replay,
    Skipped,
    Task,
    measure_latency,
    replay_live,
    replay_offline,
    shared_localizer,
    unique_names,
)
from mail_localization.evaluation.report import Pictures, report_html
from mail_localization.evaluation.results import Evaluation, ModelResult, pooled_accuracy
from mail_localization.models.artifact import ModelCard, load_model
from mail_localization.workers import HERE, Spread

PICTURED = 24
"""Recordings drawn in the report; of more than that the worst are drawn, and all are in the tables."""


@dataclass(frozen=True)
class Options:
    """How to evaluate."""

    topics: Topics = Topics()
    hop: int = 0
    """Samples between two estimates; 0 takes the model's own."""
    smooth: bool = False
    """Let the methods that can look back from a recording's end, offline."""
    start: bool = False
    """Tell the methods that can use it where a recording begins, offline."""
    odometry: str = ""
    """How estimates are joined with odometry, of joining.WAYS; empty: not at all."""
    backend: str = "auto"
    """What computes a network, of backend.BACKENDS."""
    spread: Spread = HERE
    """Where recordings are replayed, offline."""
    kept: Path | None = None
    """Folder of finished replays, offline: those that are there are not made again."""
    live_rate: float | None = None
    """Playback rate through the live node; None for offline replay."""
    command: str = ""
    """What the user typed, for the report."""
    progress: bool = True
    """Draw a progress bar on the standard error stream."""


def evaluate(models: list[Path], bags: list[Path], options: Options) -> Evaluation:
    """Replay every recording through every model and judge the estimates.

    Raises:
        ModelError: a model folder cannot be used.
        RecordingError: no bag is found.
        EvaluationError: no recording could be evaluated.
    """
    cards = dict(zip(unique_names(models), (load_model(folder)[0] for folder in models), strict=True))
    if options.live_rate is None:
        for folder in models:
            # Weights that do not fit end it here, not once per recording.
            shared_localizer(folder, options.hop, options.backend)
    paths = find_recordings(bags)
    tasks = [
        Task(
            model, folder, recording, path, options.topics, options.hop, options.smooth, options.start,
            options.odometry, options.backend,
        )
        for (model, folder), (recording, path) in itertools.product(
            zip(cards, models, strict=True), zip(unique_names(paths), paths, strict=True)
        )
    ]  # fmt: skip
    finished = _finished(tasks, options)
    done = list(_with_progress(_replays(tasks, finished, options), len(tasks), options))
    skipped = tuple(outcome for outcome in done if isinstance(outcome, Skipped))
    replays = {outcome.task: outcome for outcome in done if isinstance(outcome, Replay)}
    if not replays:
        raise EvaluationError(f"no recording could be evaluated: {skipped[0].reason}")
    results = []
    for name, folder in zip(cards, models, strict=True):
        mine = tuple(replays[task] for task in tasks if task.model == name and task in replays)
        results.append(_model_result(name, folder, cards[name], mine, options))
    return Evaluation(tuple(results), skipped, options.live_rate, _provenance(options), len(finished))


def write_outputs(evaluation: Evaluation, out: Path, plan: FloorPlan | None, progress: bool = True) -> Path:
    """Write every file of an evaluation under `out`; return the report's path."""
    outputs.write_figures(evaluation, out)
    pictures = _draw(evaluation, out, plan, progress)
    outputs.write_atomic(out / "report.html", report_html(evaluation, pictures))
    return out / "report.html"


def _replays(tasks: list[Task], finished: Sequence[Replay], options: Options) -> Iterator[Replay | Skipped]:
    """Yield what is finished, then the rest as it is made; what that is, is kept."""
    yield from finished
    done = {replay.task for replay in finished}
    tasks = [task for task in tasks if task not in done]
    if options.live_rate is not None:
        yield from replay_live(tasks, options.live_rate)
        return
    for outcome in replay_offline(tasks, options.spread):
        if options.kept and isinstance(outcome, Replay):
            KeptReplays(options.kept).write(outcome)
        yield outcome


def _finished(tasks: list[Task], options: Options) -> list[Replay]:
    """Return the replays that an earlier run has kept."""
    if options.kept is None or options.live_rate is not None:
        return []
    found = map(KeptReplays(options.kept).read, tasks)
    return [replay for replay in found if replay is not None]


def _with_progress(outcomes: Iterator[Replay | Skipped], total: int, options: Options) -> Iterator[Replay | Skipped]:
    yield from tqdm(outcomes, "replaying", total, unit="recording", disable=None if options.progress else True)


def _model_result(
    name: str, folder: Path, card: ModelCard, replays: tuple[Replay, ...], options: Options
) -> ModelResult:
    latency_ms = tuple(itertools.chain.from_iterable(replay.latency_ms for replay in replays))
    judged = next((replay.task for replay in replays if len(replay.estimates)), None)
    if options.live_rate is None and judged is not None:
        # Measured alone, after the parallel replays: they would slow each other down.
        latency_ms = tuple(measure_latency(judged))
    trained_on = tuple(str(entry.get("name", "")) for entry in card.training_recordings)
    return ModelResult(name, card.method, folder, replays, latency_ms, card.settings, trained_on)


def _draw(evaluation: Evaluation, out: Path, plan: FloorPlan | None, progress: bool) -> Pictures:
    """Draw and write all pictures."""
    models, colours = evaluation.models, plots.model_colours(evaluation.models)
    pictures = Pictures(plots.cdf_plot(models), plots.calibration_plot(models), colours)
    outputs.write_atomic(out / "cdf.png", pictures.cdf)
    outputs.write_atomic(out / "calibration.png", pictures.calibration)
    limit = plots.shown_error_limit(models)
    names = _pictured(evaluation)
    for name in tqdm(names, "drawing", unit="recording", disable=None if progress else True):
        replays = [r for model in models for r in model.replays if r.task.recording == name]
        box = plots.shown_box(replays)
        pictures.error[name] = plots.error_plot(replays, [colours[r.task.model] for r in replays])
        outputs.write_atomic(outputs.recording_folder(out, replays[0]) / "error.png", pictures.error[name])
        for replay in replays:
            png = plots.trajectory_plot(replay, limit, box, plan)
            pictures.trajectory[name, replay.task.model] = png
            outputs.write_atomic(outputs.model_folder(out, replay) / "trajectory.png", png)
    return pictures


def _pictured(evaluation: Evaluation) -> list[str]:
    """Return the recordings to draw, in the order they were given; of too many, the worst."""
    worst: dict[str, float] = {}
    for model in evaluation.models:
        for replay in model.replays:
            mean = pooled_accuracy([replay]).ape_m["mean"]
            error = float("inf") if mean is None else mean
            worst[replay.task.recording] = max(error, worst.get(replay.task.recording, 0.0))
    drawn = set(sorted(worst, key=lambda name: -worst[name])[:PICTURED])
    return [name for name in worst if name in drawn]


def _provenance(options: Options) -> dict[str, str]:
    """Say what made the figures, so that somebody else can make them again."""
    versions = {name: _version(name) for name in ("mail_localization", "numpy", "torch", "rosbags")}
    return {
        "command": options.command,
        "date": time.strftime("%Y-%m-%d %H:%M:%S %z"),
        "machine": f"{platform.system()} {platform.release()}, {platform.machine()}",
        "python": platform.python_version(),
        **{name: version for name, version in versions.items() if version},
    }


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""
