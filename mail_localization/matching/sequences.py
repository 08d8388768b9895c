"""The sequences of a way looked up among those of the survey's paths."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from mail_localization.config import Settings, setting
from mail_localization.errors import ConfigError
from mail_localization.matching.dtw import SequenceSearch
from mail_localization.matching.polylines import Cells, PolylineMap
from mail_localization.matching.walk import Way
from mail_localization.types import FloatArray


class SequenceSettings(Settings):
    """The magnetic sequences and how two are compared; the paper names none of these numbers."""

    spacing: float = setting(0.25, "length of a cell over which the field is averaged, m", minimum=0.02, maximum=5.0)
    longest: float = setting(5.0, "way that a sequence covers, m", minimum=0.5, maximum=200.0)
    shortest: float = setting(3.0, "way after which the first, shorter sequences are matched, m", minimum=0.2)
    growth: float = setting(1.0, "growth of a sequence between those two, m", minimum=0.05)
    survey_hop: int = setting(2, "cells between the ends of the survey's sequences", minimum=1)
    band: float = setting(0.12, "largest warp as a share of the sequence: steps misjudged by that much",
                          minimum=0.0, maximum=1.0)  # fmt: skip
    scales: tuple[float, ...] = setting(
        (0.87, 1.0, 1.15),
        "lengths of the walker's steps to try, as multiples of the survey's",
        minimum=0.3,
        maximum=3.0,
    )
    offset_weight: float = setting(
        0.3, "weight of a difference between the sequences' means: 0 for another phone's hard iron, 1 as measured",
        minimum=0.0, maximum=1.0,
    )  # fmt: skip
    interval: float = setting(0.6, "way between two searches, m", minimum=0.0, maximum=10.0)

    def check(self) -> None:
        """Refuse sequences of less than two cells, and shorter ones that are longer."""
        if self.shortest > self.longest:
            raise ConfigError(f"shortest {self.shortest} is above longest {self.longest}")
        if not self.scales:
            raise ConfigError("scales: expected at least one, for example [1.0]")
        if self.shortest < 2 * self.spacing:
            raise ConfigError(f"shortest {self.shortest} is below two cells of spacing {self.spacing}")

    def length(self, walked: float) -> int:
        """Return the cells of the sequence that can be matched after `walked` metres; 0 before `shortest`."""
        if walked < self.shortest - 1e-9:
            return 0
        grown = self.shortest + self.growth * math.floor((walked - self.shortest) / self.growth + 1e-9)
        return max(2, round(min(grown, self.longest) / self.spacing))


@dataclass(frozen=True, eq=False)
class Found:
    """Matches as places of the map."""

    cost: FloatArray
    """(M,) ascending, in units of the usual cost of a right match."""
    positions: FloatArray
    """(M, 2) m."""
    courses: FloatArray
    """(M,) direction of travel, rad."""
    scales: FloatArray
    """(M,) length of the walker's steps, as a multiple of the survey's."""
    other: int
    """Number of windows that did not match."""


class MagneticMatcher:
    """Sequences of any length looked up in the survey's."""

    def __init__(self, paths: PolylineMap, settings: SequenceSettings, usual_cost: float) -> None:
        self.paths = paths
        self.settings = settings
        self.usual_cost = usual_cost
        """Mean squared difference per cell of sequences of one place, microtesla squared."""
        self._searches: dict[int, tuple[Cells, SequenceSearch | None]] = {}

    def sequences(self, way: Way, at: float, backwards: bool = False) -> list[FloatArray]:
        """Return the sequences (n, C) that end at a distance on the way, one per scale; none while it is too short.

        Backwards, the sequence is what comes after, the farthest first.
        """
        s = self.settings
        walked = way.end - at if backwards else at - way.start
        length = s.length(walked * min(s.scales))
        if not length:
            return []
        steps = s.spacing * np.arange(length + 1.0)
        if backwards:
            return [way.cells(at + steps / scale)[::-1] for scale in s.scales]
        return [way.cells(at - steps[::-1] / scale) for scale in s.scales]

    def find(self, sequences: list[FloatArray], ratio: float, most: int) -> Found | None:
        """Return the best matches of one sequence per scale; None where the survey has no path of that length."""
        ends, search = self._prepared(len(sequences[0]))
        if search is None:
            return None
        matches = [search.search(sequence, self.usual_cost, ratio, most) for sequence in sequences]
        cost = np.concatenate([match.cost for match in matches])
        index = np.concatenate([match.index for match in matches])
        scales = np.repeat(self.settings.scales, [len(match.index) for match in matches])
        best = np.argsort(cost, kind="stable")[:most]
        best = best[cost[best] <= ratio * max(self.usual_cost, cost[best[0]])]
        cells = ends[index[best]]
        usual = max(self.usual_cost, float(cost[best[0]]))
        other = len(ends) - len(np.unique(cells))
        return Found(cost[best] / usual, self.paths.positions[cells], self.paths.courses[cells], scales[best], other)

    def _prepared(self, length: int) -> tuple[Cells, SequenceSearch | None]:
        if length not in self._searches:
            ends = self.paths.window_ends(length, self.settings.survey_hop)
            band = round(self.settings.band * length)
            windows = self.paths.windows(ends, length)
            search = SequenceSearch(windows, band, self.settings.offset_weight) if len(ends) else None
            self._searches[length] = ends, search
        return self._searches[length]
