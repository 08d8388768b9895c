"""Which access points contradict the others on where the target is: boxes and hotspots that moved since the survey."""

from __future__ import annotations

import numpy as np

from mail_localization.types import FloatArray

BANDS_DBM = (-200.0, -85.0, -75.0, -65.0, -55.0)
"""Lower ends of the bands of levels for which a survey notes how far away an access point was heard so loud."""

_BAND_WIDTH_DB = 3.0
"""What another body or phone adds to a level."""
_MARGIN = 20.0
"""By how much the centre of the access points heard may miss the target, m; with less, sound ones are condemned."""
_MAJORITY = 0.8
"""Share of the access points heard, by number and by level, that must agree before the rest is distrusted."""
_FEWEST = 5
"""Access points heard, of which fewer cannot outvote one."""


def centres(rssi: FloatArray, positions: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return centre (A, 2), rms distance from it (A,) and reach (A, bands) of access points, m.

    Args:
        rssi: (n, A) levels, dBm, NaN where unheard.
        positions: (n, 2) where they were heard, m.
    """
    heard = np.isfinite(rssi)
    say = np.where(heard, _say(rssi), 0.0)
    centre = say.T @ positions / np.maximum(say.sum(axis=0), 1e-12)[:, None]
    distance = np.linalg.norm(positions[:, None] - centre[None], axis=2)  # (n, A)
    spread = np.sqrt((heard * distance**2).sum(axis=0) / np.maximum(heard.sum(axis=0), 1))
    loud = [heard & (np.nan_to_num(rssi, nan=-np.inf) >= band - _BAND_WIDTH_DB) for band in BANDS_DBM]
    reach = np.stack([np.where(rows, distance, 0.0).max(axis=0, initial=0.0) for rows in loud], axis=1)
    return centre, spread, reach


def agreement(centre: FloatArray, reach: FloatArray, rssi: FloatArray) -> FloatArray:
    """Return how far each access point heard agrees with the others on where that is: weights (n,) 0 to 1.

    The centres are averaged by level; one further from the average than the survey ever heard it so loud loses its say
    (as Geman and McClure 1987 weigh outliers), until nothing changes. Without a large majority none loses it.

    Args:
        centre: (n, 2) of the access points heard, m.
        reach: (n, bands), m.
        rssi: (n,) levels, dBm.
    """
    trusting = np.ones(len(rssi))
    if len(rssi) < _FEWEST:
        return trusting
    say = _say(rssi)
    band = np.searchsorted(BANDS_DBM, rssi, side="right") - 1
    tolerance = reach[np.arange(len(rssi)), np.maximum(band, 0)] + _MARGIN
    place = np.array([_weighted_median(axis, say) for axis in centre.T])
    weights = trusting
    for _ in range(10):
        excess = np.maximum(((centre - place) ** 2).sum(axis=1) / tolerance**2, 1.0)
        weights = excess**-2
        moved, place = place, (say * weights) @ centre / (say @ weights)
        if np.abs(place - moved).max() < 0.01:
            break
    agreeing = weights > 0.5
    if agreeing.mean() < _MAJORITY or say @ agreeing < _MAJORITY * say.sum():
        return trusting
    return np.asarray(weights)


def _say(rssi: FloatArray) -> FloatArray:
    """Return the weight of an access point at a level: half for 6 dB less, twice the distance in the open."""
    return np.asarray(np.exp2((rssi + 100.0) / 6.0))


def _weighted_median(values: FloatArray, weights: FloatArray) -> float:
    order = np.argsort(values)
    running = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(running, 0.5 * running[-1])])
