"""Label a raw bag: landmarks, clicked points or an existing pose topic become its reference positions.

Between two references the position is interpolated linearly in time (MAIL section 3).
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from mail_localization.data import messages
from mail_localization.data.landmarks import read_landmarks, resolve_landmarks
from mail_localization.data.recording import (
    Recording,
    RecordingInfo,
    Topics,
    decoded_messages,
    open_bag,
    write_recording,
)
from mail_localization.errors import RecordingError
from mail_localization.types import ReferencePose

CLICK_TYPES = ("geometry_msgs/msg/PointStamped",)
POSE_TYPES = messages.READ_TYPES["reference"]
EVENT_TYPES = ("std_msgs/msg/String",)
_MAX_SPEED = 5.0
_SLACK_NS = 1_000_000_000
"""A mark may be set this long before the first or after the last sample: drivers start and stop unevenly."""


@dataclass(frozen=True)
class SurveyOptions:
    """Where the reference positions come from: exactly one of landmarks, clicks and poses."""

    landmarks: Path | None = None
    """CSV or YAML file of times or event names and positions."""
    clicks: str = ""
    """Topic of geometry_msgs/PointStamped."""
    poses: str = ""
    """Topic of PoseStamped, PoseWithCovarianceStamped or Odometry."""
    events: str = ""
    """Topic of std_msgs/String whose texts are the landmarks' event names."""
    from_start: bool = False
    """Whether landmark times count from the start of the bag, not from 1970."""
    frame: str = "map"
    """Frame that clicks and poses must be in; the recording calls it `map`."""
    topics: Topics = field(default_factory=Topics)
    device: str = ""
    floor: str = ""
    site: str = ""


@dataclass(frozen=True)
class SurveyResult:
    """What was written."""

    references: int
    messages: int
    warnings: tuple[str, ...]


def survey(bag: Path, out: Path, options: SurveyOptions) -> SurveyResult:
    """Write `out`: the sensor topics of `bag` with reference positions; whole or not at all.

    Raises:
        RecordingError: the bag, the landmarks or a topic cannot be used, or a mark cannot be right.
    """
    if options.landmarks is None and (options.events or options.from_start):
        raise RecordingError("--events and --from-start belong to --landmarks: clicks and poses have their own time")
    recording = Recording(bag, options.topics)
    problems: Counter[str] = Counter()
    poses = _poses(recording, options, problems)
    samples = list(recording.samples())
    problems.update(recording.problems)
    if not samples:
        raise RecordingError(f"{bag}: no sensor data to label; name its topics by --topic")
    times = [sample.t_ns for sample in samples]
    span = (min(times) - _SLACK_NS, max(times) + _SLACK_NS)
    outside = [pose for pose in poses if not span[0] <= pose.t_ns <= span[1]]
    if outside and (not options.poses or len(outside) == len(poses)):
        raise RecordingError(_outside(outside[0], span, recording, options))
    problems["pose outside the time of the sensors, left out"] += len(outside)
    references = _distinct([pose for pose in poses if span[0] <= pose.t_ns <= span[1]], bool(options.poses), problems)
    if len(references) < 2:
        raise RecordingError(f"{bag}: {len(references)} reference position, at least 2 are needed")
    replaced = recording.counts.get(options.topics.reference, 0)
    if replaced and options.poses != options.topics.reference:
        problems[f"earlier message on {options.topics.reference} replaced"] += replaced
    count = write_recording(out, [*samples, *references], _info(recording, options), options.topics)
    warnings = [f"{number} x {kind}" for kind, number in (+problems).items()] + list(_leaps(references))
    return SurveyResult(len(references), count, tuple(warnings))


def _poses(recording: Recording, options: SurveyOptions, problems: Counter[str]) -> list[ReferencePose]:
    if options.landmarks is not None:
        marks = read_landmarks(options.landmarks)
        events = _read_events(recording.path, options.events, problems) if options.events else None
        if events is not None:
            named = {mark.event for mark in marks}
            problems.update(f"event {name!r} without a landmark" for name in events if name not in named)
        return resolve_landmarks(marks, events, recording.start_ns if options.from_start else None)
    topic, types = (options.clicks, CLICK_TYPES) if options.clicks else (options.poses, POSE_TYPES)
    return _read_positions(recording.path, topic, types, options.frame, problems)


def _read_events(bag: Path, topic: str, problems: Counter[str]) -> dict[str, list[int]]:
    """Return event name -> times it was logged, ns."""
    events: dict[str, list[int]] = {}
    for message, logged_ns in _read_topic(bag, topic, EVENT_TYPES, problems):
        events.setdefault(message.data.strip(), []).append(logged_ns)
    return events


def _read_positions(
    bag: Path, topic: str, types: Sequence[str], frame: str, problems: Counter[str]
) -> list[ReferencePose]:
    poses = []
    frames: Counter[str] = Counter()
    for message, logged_ns in _read_topic(bag, topic, types, problems):
        frames[message.header.frame_id.lstrip("/")] += 1
        place = _position(message)
        if not all(map(math.isfinite, (place.x, place.y, place.z))):
            problems[f"{topic}: position is not a number"] += 1
            continue
        poses.append(ReferencePose(messages.stamp_ns(message) or logged_ns, place.x, place.y, place.z))
    for other in frames:
        if other != frame:
            raise RecordingError(
                f"{bag}: {topic} is in frame {other!r}, expected {frame!r}; "
                f"transform it, or pass --frame {other or repr('')} if that is your map"
            )
    return poses


def _position(message: Any) -> Any:
    if hasattr(message, "point"):
        return message.point
    pose = message.pose.pose if hasattr(message.pose, "pose") else message.pose
    return pose.position


def _read_topic(bag: Path, topic: str, types: Sequence[str], problems: Counter[str]) -> Iterator[tuple[Any, int]]:
    """Yield the messages of one topic with the time they were logged, ns."""
    with open_bag(bag) as reader:
        found = [c for c in reader.connections if c.topic == topic]
        if not found:
            fitting = ", ".join(sorted({c.topic for c in reader.connections if c.msgtype in types})) or "none"
            raise RecordingError(f"{bag}: no topic {topic!r}; topics of {' or '.join(types)}: {fitting}")
        if found[0].msgtype not in types:
            raise RecordingError(f"{bag}: {topic} is {found[0].msgtype}, expected {' or '.join(types)}")
        for _, logged_ns, message in decoded_messages(reader, found, problems):
            yield message, logged_ns


def _outside(pose: ReferencePose, span: tuple[int, int], recording: Recording, options: SurveyOptions) -> str:
    """Say that a mark lies outside the time of the samples, and what may be the cause."""
    first, last = span[0] + _SLACK_NS, span[1] - _SLACK_NS
    hint = ""
    if options.landmarks is not None and not options.from_start and pose.t_ns <= span[1] - span[0]:
        hint = "; if times count from the start of the bag, add --from-start"
    elif abs(recording.start_ns - first) > _SLACK_NS:
        offset = (first - recording.start_ns) * 1e-9
        hint = f"; the sensors' stamps are {offset:.1f} s off the time of logging: set their clock right"
    return (
        f"{recording.path}: mark ({pose.x:g}, {pose.y:g}) at {pose.t_ns * 1e-9:.3f} s lies outside the sensor data, "
        f"{first * 1e-9:.3f} to {last * 1e-9:.3f} s{hint}"
    )


def _distinct(poses: Sequence[ReferencePose], dense: bool, problems: Counter[str]) -> list[ReferencePose]:
    """Sort by time; of a pose topic the last at an instant counts, two marks at one instant are an error."""
    by_time: dict[int, ReferencePose] = {}
    for pose in poses:
        earlier = by_time.get(pose.t_ns)
        if earlier is not None and not dense:
            raise RecordingError(
                f"two marks at {pose.t_ns * 1e-9:.3f} s: ({earlier.x:g}, {earlier.y:g}) and ({pose.x:g}, {pose.y:g}); "
                "keep one of them"
            )
        if earlier is not None:
            problems["pose with a repeated stamp, the last kept"] += 1
        by_time[pose.t_ns] = pose
    return [by_time[t] for t in sorted(by_time)]


def _leaps(references: Sequence[ReferencePose]) -> Iterator[str]:
    """Yield a warning for the fastest step that nobody walks: swapped coordinates, a wrong time."""
    steps: Mapping[float, tuple[ReferencePose, ReferencePose]] = {
        math.hypot(b.x - a.x, b.y - a.y) / ((b.t_ns - a.t_ns) * 1e-9): (a, b) for a, b in pairwise(references)
    }
    fast = sorted(speed for speed in steps if speed > _MAX_SPEED)
    if fast:
        a, b = steps[fast[-1]]
        yield (
            f"{len(fast)} steps between references are faster than {_MAX_SPEED:g} m/s, the fastest {fast[-1]:.1f} m/s "
            f"from ({a.x:g}, {a.y:g}) to ({b.x:g}, {b.y:g}) at {b.t_ns * 1e-9:.3f} s"
        )


def _info(recording: Recording, options: SurveyOptions) -> RecordingInfo:
    given = {name: value for name in ("device", "floor", "site") if (value := getattr(options, name))}
    how = options.landmarks.name if options.landmarks is not None else options.clicks or options.poses
    extra = {**recording.info.extra, "surveyed_from": recording.name, "surveyed_by": how}
    return dataclasses.replace(recording.info, **given, extra=extra)
