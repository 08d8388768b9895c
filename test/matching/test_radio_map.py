from __future__ import annotations

import numpy as np
import pytest

from mail_localization.matching.radio_map import (
    DISTANCES,
    HorusMap,
    HorusSettings,
    KnnMap,
    KnnSettings,
    scale,
    strongest,
)

NONE = np.nan
RSSI = np.array([[-50.0, -70.0, NONE], [-60.0, -60.0, NONE], [-70.0, -50.0, -80.0]], dtype=np.float32)
POSITIONS = np.array([[0.0, 0.0], [5.0, 0.0], [10.0, 0.0]])
ALL = np.ones(3)


def knn(k: int = 1, distance: str = "euclidean", representation: str = "positive", gain: str = "keep") -> KnnSettings:
    return KnnSettings(k=k, distance=distance, representation=representation, device_gain=gain)


@pytest.mark.parametrize("distance", DISTANCES)
def test_distances_are_those_of_whole_vectors(distance: str) -> None:
    settings = knn(distance=distance)
    query = np.array([-55.0, NONE, -85.0])
    a, b = scale(query[None], settings)[0], scale(RSSI, settings)
    expected = {
        "euclidean": np.linalg.norm(a - b, axis=1),
        "manhattan": np.abs(a - b).sum(axis=1),
        "cosine": 1 - b @ a / np.linalg.norm(a) / np.linalg.norm(b, axis=1),
        "sorensen": np.abs(a - b).sum(axis=1) / (a + b).sum(axis=1),
    }[distance]
    assert KnnMap(RSSI, POSITIONS, settings).distances(query, ALL) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("distance", DISTANCES)
def test_access_point_without_trust_counts_as_unheard_by_both(distance: str) -> None:
    settings = knn(distance=distance)
    query = np.array([-55.0, -90.0, -85.0])
    distrusted = KnnMap(RSSI, POSITIONS, settings).distances(query, np.array([1.0, 0.0, 1.0]))
    kept = [0, 2]
    without = KnnMap(RSSI[:, kept], POSITIONS, settings).distances(query[kept], ALL[kept])
    assert distrusted == pytest.approx(without, abs=1e-6)


def test_equal_fingerprint_takes_all_the_weight() -> None:
    matches = KnnMap(RSSI, POSITIONS, knn(k=3)).match(RSSI[1].astype(float), ALL)
    assert matches.mean == pytest.approx([5.0, 0.0], abs=1e-3)
    assert matches.weights.sum() == pytest.approx(1.0)
    assert matches.weights[0] == max(matches.weights)


def test_place_between_two_fingerprints_is_their_mean() -> None:
    matches = KnnMap(RSSI[:2], POSITIONS[:2], knn(k=2)).match(np.array([-55.0, -65.0, NONE]), ALL)
    assert matches.mean == pytest.approx([2.5, 0.0])
    assert matches.spread == pytest.approx(np.diag([6.25, 0.0]))


def test_k_above_the_survey_takes_all_of_it() -> None:
    assert len(KnnMap(RSSI, POSITIONS, knn(k=50)).match(RSSI[0].astype(float), ALL).weights) == 3


def test_removed_gain_makes_phones_alike() -> None:
    settings = knn(gain="remove")
    weaker = RSSI - 15.0
    assert scale(weaker, settings) == pytest.approx(scale(RSSI, settings), abs=1e-5)
    assert strongest(RSSI) == pytest.approx([-60.0, -60.0, -200.0 / 3])
    assert np.isfinite(strongest(np.full((1, 3), NONE))).all()


def test_horus_finds_the_place_and_removes_gain() -> None:
    settings = HorusSettings(kernel=2.0, temper=1.0, gain_stddev_db=20.0)
    radio_map = HorusMap(RSSI, POSITIONS, settings)
    for gain in (0.0, -12.0):
        matches = radio_map.match(RSSI[2] + gain, ALL)
        assert matches.mean == pytest.approx([10.0, 0.0], abs=0.5)
    assert (np.diff(matches.weights) <= 0).all()


def test_horus_distrusts_an_access_point() -> None:
    """Two say the left end, one says the right end."""
    rssi = np.array([[-50.0, -50.0, -90.0], [-90.0, -90.0, -50.0]], dtype=np.float32)
    radio_map = HorusMap(rssi, POSITIONS[[0, 2]], HorusSettings(kernel=2.0, temper=1.0))
    torn = np.array([-50.0, -90.0, -50.0])
    assert radio_map.match(torn, np.array([1.0, 0.0, 0.0])).mean[0] == pytest.approx(0.0, abs=1.0)
    assert radio_map.match(torn, np.array([0.0, 1.0, 1.0])).mean[0] == pytest.approx(10.0, abs=1.0)
