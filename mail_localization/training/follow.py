"""Whether, and how far, the estimates of single instants are to be followed along the way walked."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from mail_localization.data.recording import Recording, Topics
from mail_localization.matching.follower import Follower, FollowSettings, Scores
from mail_localization.models.mmloc_localizer import Instant, MmlocLocalizer, Motions
from mail_localization.motion.tracker import MotionCalibration
from mail_localization.types import FloatArray

TRUSTS = (0.05, 0.1, 0.2, 0.4, 1.0)
"""Powers of the scores that are tried."""


@dataclass(frozen=True, eq=False)
class NetworkWalk:
    """A held-out recording as the network sees it."""

    instants: list[tuple[Motions, Instant]]
    """The motions from the instant before, and what the network says there."""
    positions: FloatArray
    """(n, 2) the reference at each instant, m; NaN where there is none."""

    @classmethod
    def read(cls, localizer: MmlocLocalizer, path: Path, topics: Topics) -> Self:
        """Replay a recording; the localizer must tell motions."""
        localizer.reset()
        with Recording.opened(path, topics) as recording:
            made = list(localizer.instants(recording.samples(localizer.inputs)))
            reference = recording.reference()
        stamps = np.array([t_ns for t_ns, _, _ in made], dtype=np.int64)
        return cls([(motions, instant) for _, motions, instant in made], reference.at(stamps))

    def errors(self, estimates: Sequence[FloatArray]) -> FloatArray:
        """Return estimate less reference (m, 2) where there is one, m."""
        offsets = np.reshape(estimates, (-1, 2)) - self.positions
        return np.asarray(offsets[np.isfinite(offsets).all(axis=1)])


def best_follow(
    walks: Sequence[NetworkWalk], scores: Callable[[Instant], Scores], settings: FollowSettings,
    calibration: MotionCalibration,
) -> tuple[FollowSettings, FloatArray]:  # fmt: skip
    """Return the settings with nothing left open, and the errors (n, 2) they have on held-out recordings, m.

    Args:
        walks: recordings that the network was not trained on.
        scores: what an instant says of places.
        settings: `use` may be auto, `trust` 0.
        calibration: of the motion.
    """
    tried = [changed(settings, use="on", trust=trust) for trust in ((settings.trust,) if settings.trust else TRUSTS)]
    found = [(one, _errors(walks, scores, one, calibration)) for one in tried]
    if settings.use == "auto":
        alone = [walk.errors([instant.position for _, instant in walk.instants]) for walk in walks]
        found.append((changed(settings, use="off"), np.concatenate([np.empty((0, 2)), *alone])))
    return min(found, key=lambda pair: float(np.hypot(*pair[1].T).mean()) if len(pair[1]) else np.inf)


def changed(settings: FollowSettings, **values: object) -> FollowSettings:
    """Return settings with other values."""
    return dataclasses.replace(settings, **values)  # type: ignore[type-var]


def _errors(
    walks: Sequence[NetworkWalk], scores: Callable[[Instant], Scores], settings: FollowSettings,
    calibration: MotionCalibration,
) -> FloatArray:  # fmt: skip
    follower = Follower(settings, calibration)
    errors = [np.empty((0, 2))]
    for walk in walks:
        follower.reset()
        clouds = [(follower.follow(motions, scores(instant)), instant) for motions, instant in walk.instants]
        errors.append(walk.errors([c.modes[0].mean if c is not None else instant.position for c, instant in clouds]))
    return np.concatenate(errors)
