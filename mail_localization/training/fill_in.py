"""Labels for the parts of recordings that have none: reckoned from the target's motion, tied to the labels around."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mail_localization.config import Settings, setting
from mail_localization.data.modal_traces import ModalTrace, Stretches, inside
from mail_localization.data.recording import Recording, Topics
from mail_localization.data.reference import Reference, TimeArray
from mail_localization.errors import TrainingError
from mail_localization.motion.bridging import BridgedWay, bridged
from mail_localization.motion.tracker import Motion, MotionCalibration, MotionSettings
from mail_localization.training.motion import calibrate_motion, motions_of
from mail_localization.types import FloatArray

_EACH_NS = 1_000_000_000


class FillInSettings(Settings):
    """How a thin survey is filled in."""

    use: bool = setting(
        False, "where references are far apart, train on positions reckoned from steps or odometry, too, tied to the "
        "references before and after",
    )  # fmt: skip
    longest: float = setting(
        30.0, "time between two references up to which the way is taken for straight, s", minimum=0.1
    )
    max_stddev: float = setting(
        20.0, "least certain position that is trained on, m: a label off by metres is better than a place with none",
        minimum=0.1,
    )  # fmt: skip


def thin_parts(references: Mapping[Path, Reference], settings: FillInSettings) -> dict[Path, Stretches] | None:
    """Return the parts of recordings in which references follow each other closely; None where they do throughout."""
    parts = {path: _close(reference, settings.longest) for path, reference in references.items()}
    return parts if any(len(stretches) > 1 for stretches in parts.values()) else None


def filled_in(
    traces: Sequence[ModalTrace], parts: Mapping[Path, Stretches], motion: MotionSettings, settings: FillInSettings,
    topics: Topics,
) -> list[ModalTrace]:  # fmt: skip
    """Return traces labelled in their parts as the references say, and elsewhere as reckoned, where that is sure.

    Raises:
        TrainingError: nothing in the recordings tells motion.
    """
    paths = [trace.path for trace in traces]
    moves, calibration = calibrate_motion(paths, motion, topics, parts)
    if moves.source == "none":
        raise TrainingError(
            f"{', '.join(map(str, paths))}: training.fill_in.use is on, but neither steps nor odometry that follow the "
            "reference positions were found; record IMU or odometry with the survey, or set it to false"
        )
    made = []
    for trace in traces:
        stretches = parts[trace.path]
        with Recording.opened(trace.path, topics) as recording:
            motions = motions_of(recording, moves, calibration)
        way = _way(trace, stretches, motions, calibration)
        made.append(trace.relabelled(_Labels(trace.reference, stretches, way, settings.max_stddev)))
    return made


def _close(reference: Reference, longest: float) -> Stretches:
    """Return the parts of a recording in which references follow each other within a time, s."""
    breaks = np.flatnonzero(np.diff(reference.t_ns) > longest * 1e9)
    firsts, lasts = np.concatenate([[0], breaks + 1]), np.concatenate([breaks, [-1]])
    return list(zip(reference.t_ns[firsts].tolist(), (reference.t_ns[lasts] + 1).tolist(), strict=True))


def _way(
    trace: ModalTrace, stretches: Stretches, motions: Sequence[Motion], calibration: MotionCalibration
) -> BridgedWay:
    known_ns = np.concatenate([np.arange(start, end, _EACH_NS, dtype=np.int64) for start, end in stretches])
    return bridged(motions, calibration, known_ns, trace.reference.at(known_ns))


@dataclass(frozen=True, eq=False)
class _Labels:
    """Positions at any instants of a recording."""

    reference: Reference
    stretches: Stretches
    way: BridgedWay
    max_stddev: float

    def __call__(self, t_ns: TimeArray) -> FloatArray:
        """Return positions (n, 2), m; NaN where none is known well enough."""
        positions, stddev = self.way.at(t_ns)
        positions[stddev > self.max_stddev] = np.nan
        told = inside(t_ns, self.stretches)
        positions[told] = self.reference.at(t_ns[told])
        return positions
