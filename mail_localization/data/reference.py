"""Surveyed positions along a trace, and the position between them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mail_localization.errors import RecordingError
from mail_localization.types import FloatArray, ReferencePose

TimeArray = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Reference:
    """Reference positions of one trace in `map`."""

    t_ns: TimeArray
    """(K,) strictly ascending."""
    position: FloatArray
    """(K, 2) x, y, m."""

    @classmethod
    def from_poses(cls, poses: Iterable[ReferencePose], where: Path | str = "reference") -> Reference:
        """Sort poses by time and keep the last of those at one instant; at least two are needed."""
        by_time = {pose.t_ns: (pose.x, pose.y) for pose in poses if np.isfinite((pose.x, pose.y)).all()}
        if len(by_time) < 2:
            raise RecordingError(
                f"{where}: {len(by_time)} reference positions, at least 2 are needed; "
                "label the recording with `mail_localization survey`"
            )
        times = sorted(by_time)
        return cls(np.array(times, dtype=np.int64), np.array([by_time[t] for t in times], dtype=np.float64))

    @property
    def start_ns(self) -> int:
        """Stamp of the first reference."""
        return int(self.t_ns[0])

    @property
    def end_ns(self) -> int:
        """Stamp of the last reference."""
        return int(self.t_ns[-1])

    @property
    def places(self) -> FloatArray:
        """(n, 2) the places on the way, one per half metre or so, m."""
        instants = np.arange(self.start_ns, self.end_ns + 1, 250_000_000, dtype=np.int64)
        return distinct_places(self.at(instants))

    def between(self, start_ns: int, end_ns: int) -> Reference:
        """Return the part of the references from an instant to another; its ends are interpolated."""
        ends = max(start_ns, self.start_ns), min(end_ns, self.end_ns)
        inside = self.t_ns[(self.t_ns > ends[0]) & (self.t_ns < ends[1])]
        kept = np.array([ends[0], *inside.tolist(), ends[1]], dtype=np.int64)
        return Reference(kept, self.at(kept))

    def at(self, t_ns: TimeArray) -> FloatArray:
        """Interpolate linearly in time (MAIL section 3): (n,) -> (n, 2), NaN outside the references."""
        instants = np.asarray(t_ns, dtype=np.int64)
        # Seconds from the first reference: nanoseconds since the epoch do not fit a float64 exactly.
        x = (instants - self.start_ns) * 1e-9
        xp = (self.t_ns - self.start_ns) * 1e-9
        columns = [np.interp(x, xp, column, left=np.nan, right=np.nan) for column in self.position.T]
        return np.stack(columns, axis=-1)


def distinct_places(positions: FloatArray) -> FloatArray:
    """Return the distinct places (m, 2) among positions (n, 2), rounded to half a metre; NaN rows are left out."""
    known = positions[np.isfinite(positions).all(axis=1)]
    return np.unique(np.round(known * 2) / 2, axis=0)
