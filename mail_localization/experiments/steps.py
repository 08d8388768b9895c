"""The steps a comparison is made of: train, evaluate, measure the time of an estimate."""

from __future__ import annotations

import dataclasses
import io
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mail_localization.data.association import Association, Estimates, associate
from mail_localization.data.recording import Recording
from mail_localization.data.reference import Reference
from mail_localization.errors import EvaluationError, MailLocalizationError
from mail_localization.evaluation.metrics import Accuracy, accuracy, latency_figures
from mail_localization.evaluation.replay import drive
from mail_localization.experiments.config import merged
from mail_localization.experiments.tasks import Context, Store
from mail_localization.files import replace_file
from mail_localization.localizer import START_STDDEV, Localizer, Smoother, Startable, load_localizer, told_where
from mail_localization.methods import METHODS
from mail_localization.models.artifact import load_model
from mail_localization.training.options import TrainOptions
from mail_localization.types import FloatArray, Sample

MODEL, ERRORS = "model", "errors.npz"
LATENCY_ESTIMATES, LATENCY_WALL = 200, 10.0
"""Measuring ends with the recording in which so many estimates are given, or so many seconds are spent."""


def train(
    context: Context, method: str, settings: dict[str, Any], like: list[str], training: list[str],
    validation: list[str], seed: int, max_minutes: float, lstm1: str = "",
) -> dict[str, Any]:  # fmt: skip
    """Train a method and return its error on validation recordings.

    Args:
        context: where the files are.
        method: registry name.
        settings: of the method; laid over those of the best of `like`, where there are any.
        like: task folders of trials.
        training: recordings to train on.
        validation: recordings for validation; none: the method chooses.
        seed: of the training.
        max_minutes: longest training.
        lstm1: task folder of a pretraining; none: there is none.
    """
    if like:
        settings = merged(best_trial(context, like)["settings"], settings)
    made = METHODS[method]
    options = TrainOptions(
        seed=seed, max_minutes=max_minutes, validation=tuple(context.recordings(validation)),
        cache=context.cache, progress=False,
    )  # fmt: skip
    if lstm1:
        options = dataclasses.replace(options, lstm1=pretrained(context, lstm1))
    # A particle filter keeps the seed of its particles among its settings.
    own_seed = {"seed": seed} if "seed" in made.config().to_mapping() else {}
    config = made.config.from_mapping(settings | own_seed, "settings")
    made.train(config, context.recordings(training), context.folder / MODEL, options)
    card, _ = load_model(context.folder / MODEL)
    return {"settings": settings, "seed": seed, "metrics": card.metrics}


def pretrain(
    context: Context, settings: dict[str, Any], recordings: list[str], seed: int, max_minutes: float
) -> dict[str, Any]:
    """Pretrain LSTM1 of mmloc_plus on recordings of any sites."""
    from mail_localization.training import pretrain as pretraining

    config = pretraining.PretrainConfig.from_mapping(settings, "pretrain: settings")
    options = TrainOptions(seed=seed, max_minutes=max_minutes, cache=context.cache, progress=False)
    pretraining.pretrain(config, context.recordings(recordings), context.folder / MODEL, options)
    card, _ = load_model(context.folder / MODEL)
    return {"settings": settings, "metrics": card.metrics}


def pretrained(context: Context, folder: str) -> Path:
    """Return the model folder of a pretraining; EvaluationError where it failed."""
    store = Store(context.runs)
    if store.result(folder) is None:
        raise EvaluationError(f"not pretrained: {store.error(folder) or 'not tried'}")
    return context.runs / folder / MODEL


def evaluate(
    context: Context, candidates: list[str], recordings: list[str], start: bool = False, speed: float = 1.0
) -> dict[str, Any]:
    """Judge the best of several trained models on recordings, and keep the error at every instant.

    Args:
        context: where the files are.
        candidates: task folders of trials; the one with the least mean error on validation recordings is judged.
        recordings: for test.
        start: tell the method where each recording begins.
        speed: how much faster the recordings are made by scaling their stamps.
    """
    best = best_trial(context, candidates)
    localizer = load_localizer(context.runs / best["folder"] / MODEL)
    judged, notes = [], []
    for name in recordings:
        try:
            judged.append(_judge(localizer, context.root / name, name, start, speed))
        except MailLocalizationError as err:
            notes.append(f"left out: {err}")
    if not judged:
        raise EvaluationError(f"no test recording could be judged: {notes[0]}")
    _write_errors(context.folder / ERRORS, judged)
    return {
        "chosen": best["folder"],
        "trial": best["trial"],
        "settings": best["settings"],
        "validation_mean_m": best["metrics"]["held_out"]["mean_m"],
        "online": _figures(judged, "online"),
        "smoothed": _figures(judged, "smoothed") if isinstance(localizer, Smoother) else None,
        "told_start": start and isinstance(localizer, Startable),
        "refused": dict(localizer.counters),
        "notes": notes,
        "per_recording": {one.name: _figures([one], "online") for one in judged},
    }


def latency(context: Context, candidates: list[str], recordings: list[str], start: bool = False) -> dict[str, Any]:
    """Measure how long a method takes for an estimate, sample by sample, with nothing else running."""
    best = best_trial(context, candidates)
    localizer = load_localizer(context.runs / best["folder"] / MODEL)
    taken_ms: list[float] = []
    recorded = spent = 0.0
    for name in recordings:
        # Read first: what takes time here is the method alone.
        with Recording.opened(context.root / name) as recording:
            samples, reference = list(recording.samples(localizer.inputs)), recording.reference()
        localizer.reset()
        for sample in _told(localizer, samples, reference, start):
            started = time.perf_counter()
            estimate = localizer.add(sample)
            seconds = time.perf_counter() - started
            spent += seconds
            if estimate is not None:
                taken_ms.append(seconds * 1e3)
        recorded += recording.duration
        if len(taken_ms) > LATENCY_ESTIMATES or spent > LATENCY_WALL:
            break
    # The first call loads and warms the inference engine, which the node does before it subscribes.
    figures = latency_figures(taken_ms[1:])
    return {"latency_ms": figures, "estimates": len(taken_ms), "cpu_share": spent / recorded if recorded else None}


def best_trial(context: Context, folders: list[str]) -> dict[str, Any]:
    """Return the result of the trial with the least mean error on validation recordings, its folder and number.

    Raises:
        EvaluationError: no trial was trained.
    """
    store = Store(context.runs)
    found = [(number, folder, store.result(folder)) for number, folder in enumerate(folders)]
    trained = [(result["metrics"]["held_out"]["mean_m"], n, folder, result) for n, folder, result in found if result]
    if not trained:
        reason = next((error for folder in folders if (error := store.error(folder))), "not tried")
        raise EvaluationError(f"not trained: {reason}")
    _, number, folder, result = min(trained, key=lambda entry: entry[:2])
    return {**result, "folder": folder, "trial": number}


@dataclass(frozen=True, eq=False)
class _Judged:
    """What a model said on one recording, online and, where it can, smoothed offline."""

    name: str
    pairs: dict[str, Association]
    estimates: dict[str, int]


def _judge(localizer: Localizer, path: Path, name: str, start: bool, speed: float) -> _Judged:
    pairs, counts = {}, {}
    with Recording.opened(path) as recording:
        reference = recording.reference()
        scaled = Reference(_scaled_ns(reference.t_ns, reference.start_ns, speed), reference.position)
        for way in ("online", "smoothed") if isinstance(localizer, Smoother) else ("online",):
            samples = _faster(recording.samples(localizer.inputs), reference.start_ns, speed)
            poses = drive(localizer, _told(localizer, samples, scaled, start), smooth=way == "smoothed")
            estimates = Estimates.from_poses(poses)
            pairs[way], counts[way] = associate(scaled, estimates), len(estimates)
    return _Judged(name, pairs, counts)


def _told(localizer: Localizer, samples: Iterable[Sample], reference: Reference, start: bool) -> Iterable[Sample]:
    """Return the samples; on the way, the localizer is told the first reference, if it is to be."""
    if not start:
        return samples
    return told_where(localizer, samples, reference.start_ns, reference.position[0], START_STDDEV)


def _faster(samples: Iterator[Sample], origin_ns: int, speed: float) -> Iterator[Sample]:
    """Yield samples as if the way had been walked `speed` times as fast: stamps closer, turns faster."""
    if speed == 1.0:
        yield from samples
        return
    for sample in samples:
        changes: dict[str, Any] = {"t_ns": int(_scaled_ns(np.array(sample.t_ns), origin_ns, speed))}
        if hasattr(sample, "angular_velocity"):
            changes["angular_velocity"] = tuple(speed * rate for rate in sample.angular_velocity)
        yield dataclasses.replace(sample, **changes)


def _scaled_ns(t_ns: Any, origin_ns: int, speed: float) -> Any:
    """Return stamps with their distance from the origin divided by the speed, ns."""
    if speed == 1.0:
        return t_ns
    return origin_ns + np.rint((t_ns - origin_ns) / speed).astype(np.int64)


def _figures(judged: list[_Judged], way: str) -> dict[str, Any]:
    figures: Accuracy = accuracy([one.pairs[way] for one in judged], sum(one.estimates[way] for one in judged))
    return dataclasses.asdict(figures)


def _write_errors(path: Path, judged: list[_Judged]) -> None:
    """Write one row per reference instant: recording, stamp, reference, and estimate of each way (NaN: none)."""
    arrays: dict[str, Any] = {"recordings": np.array([one.name for one in judged])}
    online = [one.pairs["online"] for one in judged]
    arrays["recording"] = np.repeat(np.arange(len(judged)), [len(pairs.t_ns) for pairs in online])
    arrays["t_ns"] = np.concatenate([pairs.t_ns for pairs in online])
    arrays["reference"] = np.concatenate([pairs.reference for pairs in online])
    for way in judged[0].pairs:
        arrays[way] = np.concatenate([one.pairs[way].estimate for one in judged])
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    replace_file(path, buffer.getvalue())


@dataclass(frozen=True, eq=False)
class Errors:
    """What `evaluate` kept: one row per reference instant of all test recordings."""

    recordings: list[str]
    recording: FloatArray
    """(n,) index into recordings."""
    t_ns: FloatArray
    reference: FloatArray
    """(n, 2) m."""
    estimates: dict[str, FloatArray]
    """Way (online, smoothed) -> (n, 2) m, NaN where none was available."""

    def error(self, way: str = "online") -> FloatArray:
        """Return the error at every instant: (n,) m, NaN where there was no estimate."""
        return np.asarray(np.linalg.norm(self.estimates[way] - self.reference, axis=1))


def read_errors(folder: Path) -> Errors:
    """Read what `evaluate` kept in its folder."""
    with np.load(folder / ERRORS, allow_pickle=False) as file:
        ways = {way: file[way] for way in ("online", "smoothed") if way in file.files}
        names = [str(name) for name in file["recordings"]]
        return Errors(names, file["recording"], file["t_ns"], file["reference"], ways)
