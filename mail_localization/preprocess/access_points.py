"""What a survey says of its access points: which are kept, which are twins, where each is heard."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mail_localization.preprocess.consensus import centres
from mail_localization.preprocess.wifi import AccessPoints, Levels, WifiSettings
from mail_localization.types import FloatArray

_MIN_TOGETHER = 5
"""Scans in which two addresses must both be heard before they can be twins."""


@dataclass(frozen=True, eq=False)
class _Heard:
    """One address in the survey's scans."""

    scans: npt.NDArray[np.int64]
    """(n,) numbers of the scans."""
    levels: FloatArray
    """(n,) dBm."""


def survey_access_points(scans: Sequence[Levels], positions: FloatArray, settings: WifiSettings) -> AccessPoints:
    """Return the access points of labelled scans; positions (n, 2), m. There may be none."""
    heard = _by_address(scans)
    kept = {name: one for name, one in sorted(heard.items()) if len(one.scans) >= settings.min_fingerprints}
    groups = _twins(kept, settings)
    rssi = np.full((len(scans), len(groups)), np.nan)
    for column, group in enumerate(groups):
        for name, offset in reversed(group):  # the first, which is heard most, has the last word
            rssi[kept[name].scans, column] = kept[name].levels - offset
    location, spread, reach = centres(rssi, positions)
    still = np.flatnonzero((spread <= settings.max_spread) | (settings.max_spread == 0))
    members = [(name, column, offset) for column, group in enumerate(still) for name, offset in groups[group]]
    return AccessPoints(
        tuple(name for name, _, _ in members),
        np.array([column for _, column, _ in members], dtype=np.int64),
        np.array([offset for _, _, offset in members], dtype=np.float64),
        location[still],
        spread[still],
        reach[still],
        settings.down_weight_contradicting,
    )


def twin_key(bssid: str) -> str:
    """Return what the addresses of one box share: all but the first byte, whose local bits vary, and the last digit."""
    return bssid[2:-1]


def _by_address(scans: Sequence[Levels]) -> dict[str, _Heard]:
    rows: dict[str, list[tuple[int, float]]] = defaultdict(list)
    for number, scan in enumerate(scans):
        for name, level in scan.items():
            rows[name].append((number, level))
    table = {name: np.array(entries, dtype=np.float64) for name, entries in rows.items()}
    return {name: _Heard(entries[:, 0].astype(np.int64), entries[:, 1]) for name, entries in table.items()}


def _twins(kept: dict[str, _Heard], settings: WifiSettings) -> list[list[tuple[str, float]]]:
    """Group addresses; each with its level above the group's first, dB."""
    if not settings.merge_twins:
        return [[(name, 0.0)] for name in kept]
    families: dict[str, list[str]] = defaultdict(list)
    for name in kept:
        families[twin_key(name)].append(name)
    return [group for family in families.values() for group in _grouped(family, kept, settings)]


def _grouped(family: list[str], kept: dict[str, _Heard], settings: WifiSettings) -> Iterator[list[tuple[str, float]]]:
    """Split addresses of one pattern into groups whose levels go together: a pattern alone may be chance."""
    rest = sorted(family, key=lambda name: -len(kept[name].scans))
    while rest:
        first, others = rest[0], rest[1:]
        group, rest = [(first, 0.0)], []
        for name in others:
            _, ours, theirs = np.intersect1d(kept[first].scans, kept[name].scans, return_indices=True)
            difference = kept[name].levels[theirs] - kept[first].levels[ours]
            if len(difference) >= _MIN_TOGETHER and difference.std() <= settings.twin_stddev_db:
                group.append((name, float(difference.mean())))
            else:
                rest.append(name)
        yield group
