from __future__ import annotations

import numpy as np
import pytest

from mail_localization.preprocess.access_points import survey_access_points
from mail_localization.preprocess.consensus import agreement, centres
from mail_localization.preprocess.wifi import WifiSettings

PLACES = np.stack([np.arange(0.0, 201.0, 2.0), np.zeros(101)], axis=1)
BOXES = np.arange(0.0, 201.0, 20.0)


def levels_at(x: float) -> np.ndarray:
    """(11,) levels of boxes every 20 m, 1.5 dB less per metre, unheard beyond 35 m."""
    distance = np.abs(BOXES - x)
    return np.where(distance <= 35.0, -40.0 - 1.5 * distance, np.nan)


def test_centres_lie_where_access_points_are_loud() -> None:
    centre, spread, reach = centres(np.array([levels_at(x) for x in PLACES[:, 0]]), PLACES)
    assert centre[5] == pytest.approx([100.0, 0.0], abs=0.1)
    assert 15.0 < spread[5] < 25.0
    assert reach[5].tolist() == sorted(reach[5], reverse=True)
    assert reach[5, 0] == pytest.approx(34.0, abs=0.1)


def test_access_point_that_moved_is_distrusted() -> None:
    """A hotspot surveyed at 200 m is carried along at 50 m."""
    centre, _, reach = centres(np.array([levels_at(x) for x in PLACES[:, 0]]), PLACES)
    near, hotspot = [1, 2, 3, 4], 10
    rows = [0, *near, hotspot]
    loud = np.array([-85.0, *levels_at(50.0)[near], -65.0])
    weights = agreement(centre[rows], reach[rows], loud)
    assert weights[-1] < 0.2
    assert (weights[:-1] == 1.0).all()


def test_sound_access_points_keep_their_weight() -> None:
    rssi = np.array([levels_at(x) for x in PLACES[:, 0]])
    centre, _, reach = centres(rssi, PLACES)
    for row in rssi:
        heard = np.isfinite(row)
        assert (agreement(centre[heard], reach[heard], row[heard]) == 1.0).all()


def test_few_or_split_votes_condemn_nobody() -> None:
    centre = np.array([[0.0, 0.0]] * 3 + [[500.0, 0.0]] * 3)
    reach, rssi = np.full((6, 5), 10.0), np.full(6, -60.0)
    assert (agreement(centre, reach, rssi) == 1.0).all()
    assert (agreement(centre[2:5], reach[2:5], rssi[2:5]) == 1.0).all()


def test_contradiction_can_be_ignored() -> None:
    scans = [{f"box {k}": level for k, level in enumerate(levels_at(x)) if np.isfinite(level)} for x in PLACES[:, 0]]
    torn = {f"box {k}": float(levels_at(50.0)[k]) for k in (1, 2, 3, 4)} | {"box 0": -85.0, "box 10": -65.0}
    for wary in (True, False):
        known = survey_access_points(scans, PLACES, WifiSettings(down_weight_contradicting=wary))
        weights = known.weights(known.vector(torn))
        assert bool(weights[known.names.index("box 10")] < 0.2) is wary
