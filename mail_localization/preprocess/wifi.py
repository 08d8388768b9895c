"""Wi-Fi as it comes: cached results, unknown, moved and doubled access points, on the way to a vector of levels."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mail_localization.config import Settings, setting
from mail_localization.preprocess.consensus import BANDS_DBM, agreement
from mail_localization.preprocess.stamps import StampGate, Step
from mail_localization.types import FloatArray, WifiReading, WifiScan

REPRESENTATIONS = ("positive", "exponential", "powed")
"""Positive, exponential and powed levels of Torres-Sospedra et al. 2015."""
LOWEST_DBM = -105.0
"""Level that counts as nothing: no phone reports a weaker beacon."""

_LATE_NS = 10_000_000_000
"""A scan older than the newest by more than this means that the clock was set back, once a second one confirms it."""
_GAP_NS = 3600_000_000_000
"""A jump ahead by more than this needs a second scan to be believed."""

Levels = dict[str, float]
"""Address of an access point -> level, dBm."""


class WifiSettings(Settings):
    """Which Wi-Fi results are used."""

    max_age: float = setting(
        6.0, "a result received longer ago than this is missing, s; phones repeat results minutes old", minimum=0.1,
        maximum=600.0,
    )  # fmt: skip
    min_rssi_dbm: float = setting(-100.0, "weaker results are missing, dBm", minimum=-120.0, maximum=-20.0)
    cached_readings: int = setting(
        5, "a scan of at least so many results, all just as in the scan before, is that scan again; 0 = never",
        minimum=0,
    )  # fmt: skip
    min_fingerprints: int = setting(3, "an access point heard in fewer of the survey's scans is left out", minimum=1)
    drop_randomised: bool = setting(
        False,
        "leave out locally administered addresses, as phones have; many buildings use them for networks of their own",
    )
    merge_twins: bool = setting(
        True, "merge addresses of one box (virtual networks, 2.4 and 5 GHz radios) whose levels go together"
    )
    twin_stddev_db: float = setting(
        4.0, "largest standard deviation of the difference between twins' levels, dB", minimum=0.0
    )
    max_spread: float = setting(
        0.0, "an access point whose own fingerprints lie further apart than this (rms from their centre) has moved "
        "and is left out, m; 0 = none is", minimum=0.0,
    )  # fmt: skip
    down_weight_contradicting: bool = setting(
        True, "trust an access point less when it is heard where the others say it cannot be"
    )

    @property
    def max_age_ns(self) -> int:
        """Largest age of a result, ns."""
        return round(self.max_age * 1e9)


@dataclass(frozen=True, eq=False)
class AccessPoints:
    """What a survey knows of its access points: A columns of a vector of levels, for M addresses (twins share one)."""

    addresses: tuple[str, ...]
    """(M,)"""
    columns: npt.NDArray[np.int64]
    """(M,) column of each address, 0..A-1."""
    offsets: FloatArray
    """(M,) level of an address above that of its column, dB: 0 but for twins."""
    location: FloatArray
    """(A, 2) centre of the places where each was heard, weighted by level, m."""
    spread: FloatArray
    """(A,) root mean square distance of those places from it, m."""
    reach: FloatArray
    """(A, bands) how far from the centre each was heard at least so loud, m."""
    consensus: bool = True
    """Whether `weights` asks for contradictions at all."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "_index", {name: number for number, name in enumerate(self.addresses)})

    def __len__(self) -> int:
        return len(self.spread)

    @property
    def names(self) -> list[str]:
        """One address for each column, as a model card lists them."""
        first = {int(column): name for name, column in zip(self.addresses[::-1], self.columns[::-1], strict=True)}
        return [first[column] for column in range(len(self))]

    def knows_any(self, levels: Mapping[str, float]) -> bool:
        """Tell whether any of the addresses heard is known."""
        return not levels.keys().isdisjoint(self.__dict__["_index"])

    def vector(self, levels: Mapping[str, float]) -> FloatArray:
        """Return the levels (A,) of known access points, dBm; NaN where unheard; twins are averaged."""
        index: dict[str, int] = self.__dict__["_index"]
        known = [(index[name], level) for name, level in levels.items() if name in index]
        total, count = np.zeros(len(self)), np.zeros(len(self))
        if known:
            rows = np.array([row for row, _ in known])
            level = np.array([level for _, level in known]) - self.offsets[rows]
            np.add.at(total, self.columns[rows], level)
            np.add.at(count, self.columns[rows], 1.0)
        return np.where(count > 0, total / np.maximum(count, 1.0), np.nan)

    def weights(self, rssi: FloatArray) -> FloatArray:
        """Return how far each access point heard (A,) agrees with the others on where that is: 0 to 1 (A,)."""
        weights = np.isfinite(rssi).astype(np.float64)
        heard = np.flatnonzero(weights)
        if self.consensus:
            weights[heard] = agreement(self.location[heard], self.reach[heard], rssi[heard])
        return weights

    def tensors(self, prefix: str = "wifi.") -> dict[str, npt.NDArray[np.generic]]:
        """Return the arrays of a model's weights file; the addresses go there as text of fixed length."""
        text = np.array([name.encode() for name in self.addresses], dtype=np.bytes_)
        width = max(text.dtype.itemsize, 1)
        return {
            f"{prefix}addresses": np.frombuffer(text.astype(f"S{width}").tobytes(), np.uint8).reshape(-1, width),
            f"{prefix}columns": self.columns,
            f"{prefix}offsets": self.offsets,
            f"{prefix}location": self.location,
            f"{prefix}spread": self.spread,
            f"{prefix}reach": self.reach,
            f"{prefix}consensus": np.array([self.consensus], dtype=np.uint8),
        }

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, npt.NDArray[np.generic]], prefix: str = "wifi.") -> AccessPoints:
        """Read what `tensors` wrote; KeyError or ValueError where it does not fit."""
        addresses = tuple(bytes(row).rstrip(b"\0").decode() for row in tensors[f"{prefix}addresses"])
        columns = tensors[f"{prefix}columns"].astype(np.int64)
        offsets, location, spread, reach = (
            tensors[f"{prefix}{name}"].astype(np.float64) for name in ("offsets", "location", "spread", "reach")
        )
        shapes = (columns.shape, offsets.shape, location.shape, reach.shape)
        count, width = (len(addresses),), len(spread)
        if shapes != (count, count, (width, 2), (width, len(BANDS_DBM))):
            raise ValueError(f"{len(addresses)} access points, arrays of shapes {shapes}")
        if sorted(set(columns.tolist())) != list(range(len(spread))):
            raise ValueError("the access points' columns are not numbered one after the other")
        return cls(addresses, columns, offsets, location, spread, reach, bool(tensors[f"{prefix}consensus"][0]))


KEPT = 4096
"""Results kept at most: a radio hears hundreds of access points, hostile scans hold any number of addresses."""


class WifiMemory:
    """Keep the newest result of every access point, and forget it when it is too old.

    `counters` tells of refused scans: `wifi.duplicate`, `.out_of_order`, `.isolated`, `.cached` (the scan before once
    more), `.stale` (no result is fresh), `.clock_set_back`; of results: `.non_finite`.
    """

    def __init__(self, settings: WifiSettings, access_points: AccessPoints | None = None) -> None:
        self.settings = settings
        self.access_points = access_points
        self.counters: Counter[str] = Counter()
        self._gate: StampGate[WifiScan] = StampGate(_GAP_NS, _LATE_NS)
        self.reset()

    def reset(self) -> None:
        """Forget all scans; the counters stay."""
        self._gate.reset()
        self._forget()

    def add(self, scan: WifiScan) -> int | None:
        """Take a scan in and return its stamp, ns; None where it is refused or brings nothing fresh."""
        admitted = self._gate.admit(scan.t_ns, scan)
        if self._gate.verdict:
            self.counters[f"wifi.{self._gate.verdict}"] += 1
        stamp = None
        for step, t_ns, item in admitted:
            if step is Step.BACK:
                self.counters["wifi.clock_set_back"] += 1
                self._forget()
            stamp = t_ns if self._take(t_ns, item) else None
        return stamp

    def heard(self, t_ns: int) -> Levels:
        """Return the fresh levels at an instant not before the newest scan, dBm by address."""
        oldest = t_ns - self.settings.max_age_ns
        return {name: level for name, (received, level) in self._newest.items() if received >= oldest}

    def age(self, t_ns: int) -> float:
        """Return the mean age of the fresh results at an instant, s; NaN where there are none."""
        oldest = t_ns - self.settings.max_age_ns
        ages = [t_ns - received for received, _ in self._newest.values() if received >= oldest]
        return sum(ages) / len(ages) * 1e-9 if ages else math.nan

    def vector(self, t_ns: int) -> tuple[FloatArray, FloatArray] | None:
        """Return levels (A,), dBm, NaN where unheard, and weights (A,) 0 to 1; None where nothing known is fresh."""
        if self.access_points is None:
            raise ValueError("a WifiMemory without access points has no vectors")
        rssi = self.access_points.vector(self.heard(t_ns))
        if not np.isfinite(rssi).any():
            return None
        return rssi, self.access_points.weights(rssi)

    def _forget(self) -> None:
        self._newest: dict[str, tuple[int, float]] = {}
        self._last: Levels = {}

    def _take(self, t_ns: int, scan: WifiScan) -> bool:
        readings = list(self._usable(scan.readings))
        levels = {reading.bssid: reading.rssi_dbm for reading in readings}
        repeated = bool(0 < self.settings.cached_readings <= len(levels)) and levels == self._last
        self._last = levels
        if repeated:
            self.counters["wifi.cached"] += 1
            return False
        fresh = False
        for reading in readings:
            if reading.age > self.settings.max_age:
                continue
            fresh = True
            received = t_ns - round(max(reading.age, 0.0) * 1e9)
            if received >= self._newest.get(reading.bssid, (received, 0.0))[0]:
                self._newest[reading.bssid] = (received, reading.rssi_dbm)
        if readings and not fresh:
            self.counters["wifi.stale"] += 1
        if len(self._newest) > KEPT:
            self._newest = dict(sorted(self._newest.items(), key=lambda item: item[1][0])[-KEPT // 2 :])
        return fresh

    def _usable(self, readings: Iterable[WifiReading]) -> Iterable[WifiReading]:
        for reading in readings:
            if not (math.isfinite(reading.rssi_dbm) and math.isfinite(reading.age)):
                self.counters["wifi.non_finite"] += 1
            # Drivers report 0 or a positive level where they have none.
            elif self.settings.min_rssi_dbm <= reading.rssi_dbm < 0 and not (
                self.settings.drop_randomised and locally_administered(reading.bssid)
            ):
                yield reading


def locally_administered(bssid: str) -> bool:
    """Tell whether an address was not given by a manufacturer (IEEE 802 local bit); False where it is no address."""
    try:
        return bool(int(bssid[:2], 16) & 2)
    except ValueError:
        return False


def representation(rssi: npt.NDArray[np.floating], kind: str) -> npt.NDArray[np.float32]:
    """Turn levels (..., A) in dBm into positive numbers, 0 where unheard (NaN), 1 at 0 dBm.

    Positive, exponential (alpha = 24) and powed (beta = e) of Torres-Sospedra et al. 2015, section 3.
    """
    positive = np.clip(np.nan_to_num(np.asarray(rssi, dtype=np.float32), nan=LOWEST_DBM) - LOWEST_DBM, 0.0, None)
    unit = positive / -LOWEST_DBM
    if kind == "positive":
        return np.asarray(unit, dtype=np.float32)
    if kind == "exponential":
        return np.asarray(np.expm1(positive / 24.0) / np.expm1(-LOWEST_DBM / 24.0), dtype=np.float32)
    if kind == "powed":
        return np.asarray(unit**np.e, dtype=np.float32)
    raise ValueError(f"unknown representation {kind!r}")
