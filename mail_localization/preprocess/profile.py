"""What the input looked like in the survey, and how far the live input is like it.

Each feature of a sample (`FEATURES`) has a band: the survey's quantiles 0.5 and 99.5 %. Unlikeness of a minute is the
share of its samples outside the band. What is usual is measured by leaving one recording out: each of its minutes
against the band of all others. A minute further out than 99 % of those is unlike the survey.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mail_localization.errors import ModelError
from mail_localization.preprocess.excerpt import Excerpt
from mail_localization.preprocess.turning import field_turns
from mail_localization.types import FloatArray

MINUTE = 60.0
"""Length of the excerpts compared, s."""
TURNS = 120.0
"""Length of the excerpts that tell a device's own field, s: a minute may hold too few turns."""
FEATURES = {
    "field": "field strength (microtesla)",
    "vertical": "field along gravity (microtesla)",
    "horizontal": "field across gravity (microtesla)",
    "change": "change of the field strength (microtesla/s)",
    "shaking": "shaking (m/s^2)",
    "turning": "turning (rad/s)",
}
_BAND = (0.005, 0.995)
_USUAL = 0.99
_LEAST_USUAL = 0.2
"""Twelve seconds of a minute outside are nothing: beside a lift or a parked car, or the phone taken from the pocket."""
_LEAST_HARD_IRON = 5e-6
"""Difference of a device's own field that the estimate cannot tell from nothing, tesla."""
_LEAST_HEARD = 0.02
"""An access point heard in a smaller share of a recording's scans than this is no help in telling buildings apart."""


@dataclass(frozen=True)
class Band:
    """The survey's range of one feature, and how often its recordings leave the range of the others."""

    low: float
    high: float
    usual: float
    """Share of a minute outside that is still usual."""

    @property
    def middle(self) -> float:
        """Middle of the range."""
        return (self.low + self.high) / 2.0

    def outside(self, values: FloatArray) -> float:
        """Return the share of values (n,) outside the range."""
        return float(np.mean((values < self.low) | (values > self.high)))


@dataclass(frozen=True)
class SurveyProfile:
    """The survey's input in a few numbers; a model folder carries it."""

    bands: dict[str, Band] = field(default_factory=dict)
    hard_irons: list[list[float]] = field(default_factory=list)
    """The devices' own fields in the sensor frame, one for two minutes of survey or so, tesla."""
    hard_iron_usual: float = _LEAST_HARD_IRON
    """Distance of a recording's own field from the nearest of the others that is usual, tesla."""
    rates_hz: dict[str, float] = field(default_factory=dict)
    """Stream -> samples per second, median of the recordings."""
    access_points: list[str] = field(default_factory=list)
    known_share: float = 0.0
    """Mean share of a scan's access points that the rest of the survey knew, in the least usual of its minutes."""

    def to_mapping(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> SurveyProfile:
        """Read what `to_mapping` gave; names of a newer version are left out; ModelError on what is damaged."""
        known = {entry.name for entry in dataclasses.fields(cls)}
        try:
            values = {name: value for name, value in mapping.items() if name in known}
            bands = {name: Band(**band) for name, band in values.pop("bands", {}).items() if name in FEATURES}
            profile = cls(bands=bands, **values)
            numbers = [number for band in bands.values() for number in dataclasses.astuple(band)]
            numbers += [profile.hard_iron_usual, profile.known_share, *profile.rates_hz.values()]
            numbers += np.array(profile.hard_irons, dtype=np.float64).reshape(-1, 3).ravel().tolist()
            if not np.isfinite(np.array(numbers, dtype=np.float64)).all():
                raise ValueError("a number is not finite")
            if not all(isinstance(name, str) for name in profile.access_points):
                raise ValueError("an access point is no text")
        except (AttributeError, TypeError, ValueError, OverflowError) as err:
            raise ModelError(f"model.json: profile is damaged: {err}; train the model again") from err
        return profile

    def unlikeness(self, excerpt: Excerpt) -> dict[str, float]:
        """Return for each feature the share of the excerpt's samples outside the survey's band."""
        values = features(excerpt)
        return {name: band.outside(values[name]) for name, band in self.bands.items() if name in values}

    def hard_iron_distance(self, hard_iron: FloatArray) -> float | None:
        """Return how far a device's own field (3,) is from the survey's nearest, tesla; None where it has none."""
        if not self.hard_irons:
            return None
        return float(np.linalg.norm(np.array(self.hard_irons) - hard_iron, axis=1).min())


def survey_profile(recordings: Sequence[Excerpt], rates_hz: Sequence[Mapping[str, float]]) -> SurveyProfile:
    """Describe a survey by its recordings and the rate of each one's streams.

    A single recording cannot tell what is usual: up to half a minute outside then is.
    """
    found = [(features(recording), recording.seconds) for recording in recordings]
    bands = {name: _band([(one[name], seconds) for one, seconds in found if name in one]) for name in FEATURES}
    own = [[turns.hard_iron for piece in one.pieces(TURNS) if (turns := field_turns(piece)) and turns.trusted]
           for one in recordings]  # fmt: skip
    access_points, known = _access_points(recordings)
    streams = sorted({stream for rates in rates_hz for stream in rates})
    return SurveyProfile(
        {name: band for name, band in bands.items() if band is not None},
        [[float(f"{axis:.3g}") for axis in one] for recording in own for one in recording],
        _usual_distance(own),
        {stream: round(float(np.median([r[stream] for r in rates_hz if stream in r])), 3) for stream in streams},
        access_points,
        known,
    )


def features(excerpt: Excerpt) -> dict[str, FloatArray]:
    """Return the features that the excerpt's streams give, (n,) each; see FEATURES for meanings and units."""
    found: dict[str, FloatArray] = {}
    second = _second(excerpt.imu_ns)
    if second and len(excerpt.imu) > second:
        acceleration, rate = excerpt.imu[:, :3], excerpt.imu[:, 3:]
        strength = np.linalg.norm(acceleration, axis=1)
        mean = _boxcar(strength, second)
        found["shaking"] = np.sqrt(np.maximum(_boxcar(strength**2, second) - mean**2, 0.0))
        found["turning"] = np.sqrt(_boxcar((rate**2).sum(axis=1), second))
    step = _second(excerpt.mag_ns)
    if not step or len(excerpt.mag) <= step:
        return found
    field_ut = excerpt.mag * 1e6
    found["field"] = np.linalg.norm(field_ut, axis=1)
    stride = max(1, step // 5)
    change = (found["field"][stride:] - found["field"][:-stride]) * step / stride
    found["change"] = np.sqrt(_boxcar(change**2, min(step, len(change))))
    if "shaking" in found:
        vertical = (field_ut * _up(excerpt, second)).sum(axis=1)
        found["vertical"] = vertical
        found["horizontal"] = np.sqrt(np.maximum(found["field"] ** 2 - vertical**2, 0.0))
    return found


def _up(excerpt: Excerpt, second: int) -> FloatArray:
    """Return the direction of the acceleration's mean over a second, at the magnetometer's stamps (n, 3)."""
    mean = _boxcar(excerpt.imu[:, :3], second)
    up = mean / np.maximum(np.linalg.norm(mean, axis=1, keepdims=True), 1e-9)
    start = excerpt.imu_ns[0]
    centres = (excerpt.imu_ns[second // 2 : second // 2 + len(up)] - start) * 1e-9
    at = (excerpt.mag_ns - start) * 1e-9
    return np.stack([np.interp(at, centres, axis) for axis in up.T], axis=1)


def _second(stamps: Any) -> int:
    """Return the samples in a second, at least 2; 0 where there are fewer than 3 at all."""
    return max(2, round(1e9 / max(float(np.median(np.diff(stamps))), 1.0))) if len(stamps) > 2 else 0


def _boxcar(values: FloatArray, n: int) -> FloatArray:
    """Return means over n consecutive values, (len - n + 1, ...)."""
    total = np.concatenate([np.zeros((1, *values.shape[1:])), np.cumsum(values, axis=0)])
    return np.asarray((total[n:] - total[:-n]) / n)


def _band(recordings: list[tuple[FloatArray, float]]) -> Band | None:
    """Return a feature's band over recordings' values and lengths (s); None where no recording has it."""
    if not recordings:
        return None
    low, high = np.quantile(np.concatenate([values for values, _ in recordings]), _BAND)
    shares = []
    for number, (values, seconds) in enumerate(recordings if len(recordings) > 1 else []):
        others = np.concatenate([other for other, _ in recordings[:number] + recordings[number + 1 :]])
        below, above = np.quantile(others, _BAND)
        minute = max(1, round(len(values) * min(MINUTE / max(seconds, 1e-3), 1.0)))
        shares.append(_boxcar(((values < below) | (values > above)).astype(np.float64), minute))
    usual = max(float(np.quantile(np.concatenate(shares), _USUAL)), _LEAST_USUAL) if shares else 0.5
    return Band(float(f"{low:.4g}"), float(f"{high:.4g}"), round(min(usual, 0.95), 3))


def _usual_distance(own: list[list[FloatArray]]) -> float:
    distances = [_LEAST_HARD_IRON]
    for number, recording in enumerate(own):
        others = [one for other in own[:number] + own[number + 1 :] for one in other]
        distances += [float(np.linalg.norm(np.array(others) - one, axis=1).min()) for one in recording if others]
    return max(float(np.quantile(distances, 0.95)), _LEAST_HARD_IRON)


def _access_points(recordings: Sequence[Excerpt]) -> tuple[list[str], float]:
    """Return the survey's access points, and the least usual share of them known to the other recordings."""
    heard = [_heard(recording) for recording in recordings]
    shares = []
    for number, recording in enumerate(recordings):
        others = set().union(*heard[:number], *heard[number + 1 :])
        pieces = (known_share(piece, others) for piece in recording.pieces(MINUTE)) if others else ()
        shares += [share for share in pieces if share is not None]
    return sorted(set().union(*heard)), round(float(np.quantile(shares, 1 - _USUAL)), 3) if shares else 0.0


def _heard(recording: Excerpt) -> set[str]:
    counts: dict[str, int] = {}
    for scan in recording.scans:
        for bssid in {reading.bssid for reading in scan.readings}:
            counts[bssid] = counts.get(bssid, 0) + 1
    return {bssid for bssid, count in counts.items() if count >= max(2, _LEAST_HEARD * len(recording.scans))}


def known_share(excerpt: Excerpt, access_points: frozenset[str] | set[str]) -> float | None:
    """Return the mean share of the scans' access points that are known; None without a scan."""
    shares = [
        sum(reading.bssid in access_points for reading in scan.readings) / len(scan.readings)
        for scan in excerpt.scans
        if scan.readings
    ]
    return float(np.mean(shares)) if shares else None
