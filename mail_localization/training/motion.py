"""What a survey teaches of its carriers: step length, direction of the attitude against the map, usual speed."""

from __future__ import annotations

import dataclasses
import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mail_localization.data.modal_traces import Stretches
from mail_localization.data.recording import Recording, Topics
from mail_localization.data.reference import Reference
from mail_localization.errors import TrainingError
from mail_localization.motion.tracker import Motion, MotionCalibration, MotionSettings, MotionTracker
from mail_localization.training.hard_iron import hard_iron
from mail_localization.types import FloatArray

CHUNK = 10.0
"""Way over which lengths are compared, m: shorter ones are blurred by marks that are metres apart."""
MIN_STEPS = 8
"""A recording with fewer says nothing of step lengths."""
_SPREAD = 0.35
"""Spread of the step length between recordings above which the swings were no steps (of a robot, say)."""
_COMPASS_RAD = 0.7
"""Spread of (course - heading) above which a magnetometer does not point anywhere, rad."""
_RAD_FLOOR = math.radians(3.0)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class _Walk:
    """The pieces of way of one recording that have a reference."""

    path: Path
    reference: Reference
    motions: list[Motion]

    @property
    def t_ns(self) -> npt.NDArray[np.int64]:
        return np.array([motion.t_ns for motion in self.motions], dtype=np.int64)

    @property
    def distances(self) -> FloatArray:
        return np.array([motion.distance for motion in self.motions])


def calibrate_motion(
    recordings: list[Path], settings: MotionSettings, topics: Topics, parts: Mapping[Path, Stretches] | None = None
) -> tuple[MotionSettings, MotionCalibration]:
    """Return the settings with the source resolved, and what the recordings' references teach of motion.

    With `parts`, only those stretches of the recordings teach, and no magnetometer is calibrated with them.

    K of the step length is the median of (length of the reference) / (sum of swings^(1/4)) over the recordings.
    The heading offset is the circular mean of (course of the reference - heading) where headings are absolute.

    Raises:
        TrainingError: the source asked for by name is in too few of the recordings.
        RecordingError: a recording cannot be read, or has no reference.
    """
    source, teachers = _source(recordings, settings, topics)
    resolved = _with_source(settings, source)
    raw = dataclasses.replace(MotionCalibration(), weinberg_k=1.0)
    if source != "none":
        walked = [walk for path in teachers for walk in _cut(_walk(path, resolved, raw, topics), parts)]
        walks = [walk for walk in walked if len(walk.motions) >= MIN_STEPS]
        found = _calibrated(walks, source)
        if found is not None and source != "odometry" and parts is None:
            resolved, found = _with_compass(found, walks, resolved, raw, topics)
        if found is not None:
            return resolved, dataclasses.replace(found, **_speed([walk.reference for walk in walks]))
        if settings.source != "auto":
            raise TrainingError(
                f"{', '.join(map(str, recordings))}: motion.source is {settings.source}, but what was found does not "
                "follow the reference positions; set motion.source to none, or leave it at auto"
            )
        kind = "odometry does" if source == "odometry" else "steps found do"
        _log.warning("the %s not follow the reference positions: motion.source is none", kind)
    whole = [_Walk(path, Recording(path, topics).reference(), []) for path in recordings]
    references = [walk.reference for one in whole for walk in _cut(one, parts)]
    return _with_source(settings, "none"), MotionCalibration(**_speed(references))


def _with_compass(
    found: MotionCalibration, walks: list[_Walk], settings: MotionSettings, raw: MotionCalibration, topics: Topics
) -> tuple[MotionSettings, MotionCalibration]:
    """Add the magnetometer to headings that are not absolute, where that makes them follow the references."""
    off = MotionSettings.from_mapping({**settings.to_mapping(), "magnetometer": "off"}, "motion")
    relative = found.heading_offset_std >= math.pi
    paths = [walk.path for walk in walks]
    own = hard_iron(paths, topics) if relative and settings.magnetometer != "off" else None
    if own is not None:
        on = MotionSettings.from_mapping({**settings.to_mapping(), "magnetometer": "on"}, "motion")
        iron = dict(zip(("hard_iron_x", "hard_iron_y", "hard_iron_z"), own, strict=True))
        turned = [_walk(path, on, dataclasses.replace(raw, **iron), topics) for path in paths]
        courses = np.concatenate([_turns(walk) for walk in turned])
        if len(courses) >= MIN_STEPS and _circular_std(courses) < _COMPASS_RAD:
            offset, offset_std = _heading_offset(turned)
            return on, dataclasses.replace(found, heading_offset=offset, heading_offset_std=offset_std, **iron)
    if relative and settings.magnetometer == "on":
        raise TrainingError(
            f"{', '.join(map(str, paths))}: motion.magnetometer is on, but its headings do not follow the reference "
            "positions (hard iron needs walks in several directions); set motion.magnetometer to auto or off"
        )
    return off, found


def _with_source(settings: MotionSettings, source: str) -> MotionSettings:
    return MotionSettings.from_mapping({**settings.to_mapping(), "source": source}, "motion")


def _source(recordings: list[Path], settings: MotionSettings, topics: Topics) -> tuple[str, list[Path]]:
    """Return the source that the recordings allow, and those that teach it.

    Odometry where all have it, steps where walkers are among them, both (auto) where walkers and robots surveyed.
    """
    counts = {path: Recording(path, topics).counts for path in recordings}
    having = {
        source: [path for path in recordings if counts[path].get(topic)]
        for source, topic in (("odometry", topics.odom), ("steps", topics.imu))
    }
    wanted = settings.source
    if wanted in having:
        if not having[wanted]:
            topic = topics.odom if wanted == "odometry" else topics.imu
            raise TrainingError(
                f"{recordings[0]}: no messages on {topic!r}, which motion.source {wanted} needs; record them, remap "
                "the topic, or set motion.source to none"
            )
        return wanted, having[wanted]
    walkers = [path for path in having["steps"] if path not in having["odometry"]]
    if wanted == "none" or not recordings:
        return "none", []
    if len(having["odometry"]) == len(recordings):
        return "odometry", recordings
    # Of many walks, a few may lack the IMU.
    if len(walkers) < 0.8 * (len(recordings) - len(having["odometry"])):
        return "none", []
    return ("auto" if having["odometry"] else "steps"), walkers


def _walk(path: Path, settings: MotionSettings, raw: MotionCalibration, topics: Topics) -> _Walk:
    with Recording.opened(path, topics) as recording:
        reference = recording.reference()
        motions = motions_of(recording, settings, raw)
    return _Walk(path, reference, [m for m in motions if reference.start_ns <= m.t_ns <= reference.end_ns])


def motions_of(recording: Recording, settings: MotionSettings, calibration: MotionCalibration) -> list[Motion]:
    """Return the pieces of way in a recording."""
    tracker = MotionTracker(settings, calibration)
    return [motion for sample in recording.samples(tracker.inputs) for motion in tracker.add(sample)]


def _cut(walk: _Walk, parts: Mapping[Path, Stretches] | None) -> list[_Walk]:
    """Return the stretches of a walk as walks of their own; the whole walk where none are given."""
    if parts is None:
        return [walk]
    return [
        _Walk(walk.path, walk.reference.between(start, end), [m for m in walk.motions if start <= m.t_ns < end])
        for start, end in parts[walk.path]
    ]


def _calibrated(walks: list[_Walk], source: str) -> MotionCalibration | None:
    """Return what the walks teach of lengths and headings; None where the lengths contradict each other."""
    if not walks:
        return None
    lengths = np.array([_length(walk.reference) for walk in walks])
    ratios = lengths / np.array([max(walk.distances.sum(), 1e-9) for walk in walks])
    k = _weighted_median(ratios, lengths)
    spread = float(_weighted_median(np.abs(np.log(np.maximum(ratios, 1e-9) / k)), lengths)) if k > 0 else math.inf
    plausible = 0.7 <= k <= 1.4 if source == "odometry" else 0.15 <= k <= 1.5
    if not plausible or spread > _SPREAD:
        return None
    chunks = np.concatenate([_chunk_ratios(walk, k) for walk in walks])
    step_std = 1.4826 * float(np.median(np.abs(chunks - 1.0))) if len(chunks) else 0.15
    offset, offset_std = _heading_offset(walks)
    return MotionCalibration(
        weinberg_k=MotionCalibration().weinberg_k if source == "odometry" else k,
        heading_offset=offset,
        heading_offset_std=offset_std,
        step_std=min(max(step_std, 0.05), 0.5),
    )


def _length(reference: Reference) -> float:
    return float(np.linalg.norm(np.diff(reference.position, axis=0), axis=1).sum())


def _chunk_ratios(walk: _Walk, k: float) -> FloatArray:
    """Return the length of the reference over that found, for each CHUNK of the way."""
    way = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(walk.reference.position, axis=0), axis=1))])
    seconds = (walk.reference.t_ns - walk.reference.start_ns) * 1e-9
    bounds = np.interp(np.arange(0.0, way[-1] + 1e-9, CHUNK), way, seconds)
    if len(bounds) < 2:
        return np.empty(0)
    times = (walk.t_ns - walk.reference.start_ns) * 1e-9
    found = np.histogram(times, bounds, weights=walk.distances)[0] * k
    return np.asarray(CHUNK / found[found > 0.1 * CHUNK])


def _heading_offset(walks: list[_Walk]) -> tuple[float, float]:
    """Return the circular mean of course less heading and its spread between recordings, rad; (0, pi) if unknown."""
    means, pieces = [], []
    for walk in walks:
        turns = _turns(walk)
        if len(turns) >= MIN_STEPS:
            means.append(turns.mean())
            pieces.append(turns)
    if not means:
        return 0.0, math.pi
    mean = np.concatenate(pieces).mean()
    # Two recordings say nothing of a spread: then the single courses' own is the better guess.
    directions = np.array([m / abs(m) for m in means]) if len(means) > 2 else np.concatenate(pieces)
    return float(np.angle(mean)), min(max(_circular_std(directions), _RAD_FLOOR), math.pi)


def _circular_std(directions: npt.NDArray[np.complex128]) -> float:
    """Return the circular standard deviation of directions (n,), given as complex numbers, rad."""
    resultant = abs((directions / np.abs(directions)).mean())
    return math.sqrt(-2.0 * math.log(min(max(resultant, 1e-3), 1.0)))


def _turns(walk: _Walk) -> npt.NDArray[np.complex128]:
    """Return exp(i (course - heading)) for the pieces of absolute heading during which the reference moved."""
    absolute = np.array([motion.heading_known for motion in walk.motions])
    headings = np.array([motion.heading for motion in walk.motions])
    ends = walk.t_ns
    before = np.maximum(ends - 1_000_000_000, walk.reference.start_ns)
    way = walk.reference.at(ends) - walk.reference.at(before)
    moved = absolute & (np.hypot(way[:, 0], way[:, 1]) > 0.3)
    course = np.arctan2(way[:, 1], way[:, 0])
    return np.asarray(np.exp(1j * (course - headings))[moved])


def _speed(references: list[Reference]) -> dict[str, float]:
    """Return mean and standard deviation of the references' speed over half seconds, m/s."""
    speeds = []
    for reference in references:
        instants = np.arange(reference.start_ns, reference.end_ns + 1, 500_000_000, dtype=np.int64)
        speeds.append(np.linalg.norm(np.diff(reference.at(instants), axis=0), axis=1) / 0.5)
    joined = np.concatenate(speeds) if speeds else np.empty(0)
    if not len(joined):
        return {}
    mean = float(joined.mean())
    return {"speed_mean": mean, "speed_std": max(float(joined.std()), 0.1 * mean, 0.01)}


def _weighted_median(values: FloatArray, weights: FloatArray) -> float:
    order = np.argsort(values)
    cumulated = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(cumulated, 0.5 * cumulated[-1])])
