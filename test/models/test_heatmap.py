from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from mail_localization.models.heatmap import Heatmap, HeatmapSettings, surveyed_cells  # noqa: E402
from mail_localization.models.heatmap_head import HeatmapHead  # noqa: E402

CENTRES = np.array([[0.0, 0.0], [1.0, 0.0], [20.0, 0.0], [21.0, 0.0]])


def head(**settings: object) -> HeatmapHead:
    made = HeatmapHead(HeatmapSettings.from_mapping(settings), 3, 4)
    made.set_cells(CENTRES)
    return made


def test_cells_are_the_surveyed_places_only() -> None:
    positions = np.array([[0.1, 0.1], [0.3, 0.1], [5.5, 0.5]])
    np.testing.assert_allclose(surveyed_cells(positions, 1.0), [[0.2, 0.1], [5.5, 0.5]])


def test_estimate_is_the_heaviest_peak_and_no_blend_of_aliases() -> None:
    weights = torch.tensor([[0.3, 0.3, 0.1, 0.3]])
    mean, weight, rest = head().peak(weights.log())
    assert mean.tolist() == [[pytest.approx(0.5), 0.0]]
    assert float(weight) == pytest.approx(0.6)
    assert rest.tolist() == [[0.0, 0.0, pytest.approx(0.1), pytest.approx(0.3)]]


def test_modes_come_heaviest_first_with_their_shares() -> None:
    heatmap = Heatmap(HeatmapSettings(cell=1.0), CENTRES)
    [(modes, spread)] = heatmap.peaks(np.array([[0.1, 0.1, 0.2, 0.6]], np.float32))
    assert [round(mode.weight, 6) for mode in modes] == [0.8, 0.2]
    np.testing.assert_allclose(modes[0].mean, [20.75, 0.0], rtol=1e-6)
    np.testing.assert_allclose(modes[1].mean, [0.5, 0.0], rtol=1e-5)
    # 0.2 of the weight lies 20 m off.
    assert spread[0, 0] == pytest.approx(0.2 * 20.25**2, rel=0.01)
    assert all(np.linalg.eigvalsh(mode.covariance).min() > 0 for mode in modes)


def test_peaks_equal_the_networks_own() -> None:
    rng = np.random.default_rng(0)
    centres = np.unique(rng.integers(0, 15, (120, 2)), axis=0) + rng.uniform(-0.3, 0.3, (1, 2))
    settings = HeatmapSettings()
    trained = HeatmapHead(settings, 3, len(centres))
    trained.set_cells(centres)
    logits = rng.normal(scale=3.0, size=(20, len(centres))).astype(np.float32)
    maps = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    found = Heatmap(settings, centres).peaks(maps)
    mean, weight, _ = trained.peak(torch.from_numpy(logits))
    np.testing.assert_allclose([modes[0].mean for modes, _ in found], mean.detach().numpy(), atol=1e-4)
    np.testing.assert_allclose([modes[0].weight for modes, _ in found], weight.detach().numpy(), atol=1e-5)
    assert all(sum(mode.weight for mode in modes) <= 1 + 1e-5 for modes, _ in found)


def test_loss_is_least_at_the_right_cells() -> None:
    made, at = head(spread=0.5), torch.tensor([[0.0, 0.0]])
    right, wrong = torch.tensor([[9.0, 7.0, 0.0, 0.0]]), torch.tensor([[0.0, 0.0, 9.0, 7.0]])
    assert made.cross_entropy(right, at) < 0.5 < made.cross_entropy(wrong, at)
