from __future__ import annotations

import time

import numpy as np
import pytest
from dtaidistance import dtw_ndim

from mail_localization.matching.dtw import SequenceSearch
from mail_localization.types import FloatArray

BAND = 3


def walks(count: int, length: int = 24, seed: int = 0) -> FloatArray:
    return np.random.default_rng(seed).normal(size=(count, length, 3)).cumsum(axis=1)


def brute_force(windows: FloatArray, query: FloatArray, offset_weight: float) -> FloatArray:
    costs = []
    for window in windows:
        means = query.mean(axis=0), window.mean(axis=0)
        warped = dtw_ndim.distance_fast(query - means[0], window - means[1], window=BAND + 1) ** 2
        costs.append(warped / len(query) + offset_weight * ((means[0] - means[1]) ** 2).sum())
    return np.array(costs)


@pytest.mark.parametrize("offset_weight", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("ratio", [1.5, 4.0])
def test_search_finds_what_the_full_search_finds(offset_weight: float, ratio: float) -> None:
    windows = walks(400)
    query = windows[123] + np.random.default_rng(1).normal(scale=0.4, size=windows[123].shape)
    costs = brute_force(windows, query, offset_weight)
    wanted = np.flatnonzero(costs <= ratio * max(2.0, costs.min()))
    found = SequenceSearch(windows, BAND, offset_weight).search(query, 2.0, ratio, 400)
    assert sorted(found.index.tolist()) == wanted.tolist()
    assert found.cost == pytest.approx(costs[found.index])
    assert (np.diff(found.cost) >= 0).all()
    assert found.index[0] == 123


def test_only_the_best_matches_are_kept() -> None:
    windows = walks(50)
    found = SequenceSearch(windows, BAND, 0.0).search(windows[7], 1e6, 2.0, 5)
    assert len(found.index) == 5
    assert found.index[0] == 7
    assert found.cost[0] == pytest.approx(0.0, abs=1e-12)


def test_hard_iron_costs_nothing_without_offset_weight() -> None:
    windows = walks(20)
    query = windows[3] + np.array([30.0, -20.0, 5.0])
    assert SequenceSearch(windows, BAND, 0.0).search(query, 0.01, 2.0, 1).index.tolist() == [3]
    cost = SequenceSearch(windows, BAND, 0.5).search(query, 1e6, 2.0, 20).cost.max()
    assert cost > 0.5 * 30.0**2


def test_misjudged_steps_are_warped_away() -> None:
    """A sine walked 8 % faster than it was surveyed: far off sample by sample, near after warping."""
    way = np.linspace(0.0, 6.0, 40)
    surveyed, walked = (10 * np.stack([np.sin(k * way), np.cos(k * way), 0 * way], axis=1) for k in (1.0, 1.08))
    stiff, loose = (SequenceSearch(surveyed[None], band, 0.0).search(walked, 1e9, 2.0, 1).cost[0] for band in (0, 5))
    assert loose < 0.3 * stiff


def test_a_thousand_windows_take_a_few_milliseconds() -> None:
    windows = walks(1000, length=32)
    search = SequenceSearch(windows, 4, 0.3)
    search.search(windows[0], 1.0, 6.0, 64)
    elapsed = []
    for k in range(20):
        started = time.perf_counter()
        search.search(windows[k] + 0.3, 1.0, 6.0, 64)
        elapsed.append(time.perf_counter() - started)
    # 1 to 2 ms; the best of 20 on a busy machine.
    assert min(elapsed) < 0.005
