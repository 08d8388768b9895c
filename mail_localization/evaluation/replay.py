"""Replay of recordings through a Localizer, offline or through the live node.

Either way the estimates carry the recording's stamps, so everything after this module is the same.
"""

from __future__ import annotations

import dataclasses
import itertools
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from mail_localization.data.association import Association, Estimates, associate
from mail_localization.data.recording import Recording, RecordingInfo, Topics
from mail_localization.data.reference import Reference
from mail_localization.errors import MailLocalizationError, MissingRosError
from mail_localization.evaluation.joining import joined, samples_with_odometry, since_heading
from mail_localization.files import file_stamps
from mail_localization.localizer import START_STDDEV, Localizer, Smoother, Startable, load_localizer, told_where
from mail_localization.types import PoseEstimate, Sample
from mail_localization.workers import HERE, Spread, each

LATENCY_ESTIMATES = 200
"""Estimates whose latency is measured; enough for a 99th percentile."""
LATENCY_WALL = 20.0
"""Longest time spent on measuring latency, s."""


@dataclass(frozen=True)
class Task:
    """One model to replay on one recording."""

    model: str
    """Unique name of the model."""
    folder: Path
    recording: str
    """Unique name of the recording."""
    path: Path
    topics: Topics = Topics()
    hop: int = 0
    """Samples between two estimates; 0 takes the model's own."""
    smooth: bool = False
    """Let a method that can look back from the recording's end."""
    start: bool = False
    """Tell a method that can use it where the recording begins."""
    odometry: str = ""
    """How estimates are joined with odometry, of joining.WAYS; empty: not at all."""
    backend: str = "auto"
    """What computes a network, of backend.BACKENDS."""


@dataclass(frozen=True, eq=False)
class Replay:
    """What one model said on one recording."""

    task: Task
    info: RecordingInfo
    duration: float
    """Length of the recording, s."""
    wall: float
    """Time the replay took, s."""
    estimates: Estimates
    association: Association
    latency_ms: tuple[float, ...] = ()
    notes: tuple[str, ...] = ()
    """What a reader of the figures must know."""


@dataclass(frozen=True)
class Skipped:
    """A recording that could not be replayed, and why."""

    task: Task
    reason: str


def replay_offline(tasks: Sequence[Task], spread: Spread = HERE) -> Iterator[Replay | Skipped]:
    """Replay all tasks, yielding each as it is done.

    Raises:
        ClusterError: the cluster cannot be used, or is gone.
    """
    # A worker may have another working directory.
    absolute = [dataclasses.replace(task, folder=task.folder.resolve(), path=task.path.resolve()) for task in tasks]
    for index, answer in each(_replay_or_skip, absolute, spread):
        outcome = answer.value or Skipped(tasks[index], f"{tasks[index].path}: {answer.error}")
        yield dataclasses.replace(outcome, task=tasks[index])


def replay_live(tasks: list[Task], rate: float) -> Iterator[Replay | Skipped]:
    """Play every recording over DDS to the real node, one after the other, and collect its poses.

    Raises:
        MissingRosError: there is no ROS 2 here.
    """
    try:
        from mail_localization.ros import live
    except ImportError as err:
        raise MissingRosError("--live") from err
    for task in tasks:
        try:
            recording = Recording(task.path, task.topics)
            reference = recording.reference()
            started = time.perf_counter()
            result = live.replay_live(
                task.folder, task.path, task.topics, rate, task.hop, bool(task.odometry), task.backend
            )
            wall = time.perf_counter() - started
            replay = _replay(task, recording, reference, result.estimates, wall)
            notes = [*replay.notes, *result.problems]
            if not result.estimates:
                notes.append("the live node gave no estimate")
            yield dataclasses.replace(replay, latency_ms=tuple(result.latency_ms), notes=tuple(notes))
        except MailLocalizationError as err:
            yield Skipped(task, str(err))


def measure_latency(task: Task) -> list[float]:
    """Return how long each `add` took that gave an estimate, ms, in the first part of a recording."""
    localizer = shared_localizer(task.folder, task.hop, task.backend)
    localizer.reset()
    latency_ms: list[float] = []
    deadline = time.monotonic() + LATENCY_WALL
    for sample in Recording(task.path, task.topics).samples(localizer.inputs):
        started = time.perf_counter()
        estimate = localizer.add(sample)
        if estimate is not None:
            latency_ms.append((time.perf_counter() - started) * 1e3)
        if len(latency_ms) > LATENCY_ESTIMATES or time.monotonic() > deadline:
            break
    # The first call loads and warms the inference engine, which the node does before it subscribes.
    return latency_ms[1:]


def shared_localizer(folder: Path, hop: int, backend: str) -> Localizer:
    """Load a model once per process, and again when it changes; reset it before each recording.

    Raises:
        ModelError: the folder cannot be used.
    """
    return _loaded(folder, hop, backend, file_stamps(folder) if folder.is_dir() else ())


@lru_cache(maxsize=8)
def _loaded(folder: Path, hop: int, backend: str, _: object) -> Localizer:
    return load_localizer(folder, hop, backend)


def drive(localizer: Localizer, samples: Iterable[Sample], smooth: bool = False) -> list[PoseEstimate]:
    """Return a Localizer's estimates on one recording, from a fresh state."""
    localizer.reset()
    return list(
        localizer.smooth(samples) if smooth and isinstance(localizer, Smoother) else localizer.localize(samples)
    )


def unique_names(paths: Iterable[Path]) -> list[str]:
    """Name each path by its folder or file; where two agree, put the parents' names or a number to it."""
    resolved = [path.resolve() for path in paths]
    names = [path.name if path.is_dir() else path.stem for path in resolved]
    if len(set(names)) < len(names):
        twice = {name for name in names if names.count(name) > 1}
        pairs = zip(resolved, names, strict=True)
        names = [f"{path.parent.name}_{name}" if name in twice else name for path, name in pairs]
    taken: set[str] = set()
    for index, name in enumerate(names):
        numbered = (f"{name}-{number}" for number in itertools.count(2))
        names[index] = name if name not in taken else next(n for n in numbered if n not in taken)
        taken.add(names[index])
    return names


def _replay_or_skip(task: Task) -> Replay | Skipped:
    try:
        with Recording.opened(task.path, task.topics) as recording:
            return _replayed(task, recording)
    except MailLocalizationError as err:
        return Skipped(task, str(err))


def _replayed(task: Task, recording: Recording) -> Replay:
    # Read first: without a reference there is nothing to compare with, and the replay would be in vain.
    reference = recording.reference()
    localizer = joined(shared_localizer(task.folder, task.hop, task.backend), task.odometry)
    refused = localizer.counters.copy()
    started = time.perf_counter()
    samples, notes = recording.samples(localizer.inputs), list[str]()
    if task.odometry:
        samples, notes = samples_with_odometry(recording, reference, localizer.inputs)
    if task.start:
        samples = told_where(localizer, samples, reference.start_ns, reference.position[0], START_STDDEV)
    poses = drive(localizer, samples, task.smooth)
    wall = time.perf_counter() - started
    replay = _replay(task, recording, reference, poses, wall)
    refused = localizer.counters - refused
    notes += [f"{count} samples refused ({reason})" for reason, count in sorted(refused.items())]
    notes += _advantages(task, localizer)
    if task.odometry:
        notes += since_heading(poses, replay.association)
    if not poses:
        notes.insert(0, _why_nothing(recording, localizer.inputs))
    return dataclasses.replace(replay, notes=(*replay.notes, *notes))


def _replay(task: Task, recording: Recording, reference: Reference, poses: list[PoseEstimate], wall: float) -> Replay:
    estimates = Estimates.from_poses(poses)
    notes = [f"{count} x {what}" for what, count in sorted(recording.problems.items())]
    if len(estimates) < len(poses):
        notes.append(f"{len(poses) - len(estimates)} estimates were not finite and are left out")
    association = associate(reference, estimates)
    return Replay(task, recording.info, recording.duration, wall, estimates, association, notes=tuple(notes))


def _advantages(task: Task, localizer: Localizer) -> list[str]:
    """Say what a live target would not have had."""
    notes = []
    if task.smooth and isinstance(localizer, Smoother):
        notes.append("smoothed offline: each estimate also uses what was recorded after it")
    if task.start and isinstance(localizer, Startable):
        notes.append("told the first reference position")
    return notes


def _why_nothing(recording: Recording, inputs: frozenset[str]) -> str:
    """Say in words why a recording gave no estimate."""
    missing = [name for name in sorted(inputs) if not recording.counts.get(getattr(recording.topics, name))]
    if missing:
        topics = ", ".join(getattr(recording.topics, name) for name in missing)
        return f"no estimate: the model needs {topics}, which the recording lacks"
    length = f"{recording.duration:.1f} s"
    return f"no estimate: the recording ({length}) is shorter than the model's window, or its sensors have gaps"
