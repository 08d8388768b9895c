from __future__ import annotations

import math

import numpy as np
import pytest

from mail_localization.matching.polylines import Polyline, PolylineMap, cells, polyline


def straight(length: int = 5, start: float = 0.0) -> Polyline:
    """Cells of 1 m along x, the field numbered by cell."""
    x = start + np.arange(1.0, length + 1)
    return Polyline(np.stack([x, np.zeros(length)], axis=1), np.repeat(x[:, None], 3, axis=1))


def test_cells_are_means_over_distance() -> None:
    """A field that grows by 1 per metre: its mean over a cell is that of the cell's middle."""
    arc = np.array([0.0, 0.7, 1.0, 2.0, 2.6, 4.0])
    assert cells(arc, arc[:, None], np.array([0.0, 1.0, 2.0, 4.0]))[:, 0] == pytest.approx([0.5, 1.5, 3.0])


def test_standing_still_counts_once() -> None:
    arc = np.array([0.0, 1.0, 1.0, 1.0, 1.0, 2.0])
    values = np.array([0.0, 0.0, 50.0, -50.0, 4.0, 4.0])[:, None]
    assert cells(arc, values, np.array([0.0, 1.0, 2.0]))[:, 0] == pytest.approx([0.0, 4.0])


def test_field_beyond_the_last_row_is_the_last_row() -> None:
    arc, values = np.array([0.2, 0.9]), np.array([[50.0], [50.0]])
    assert cells(arc, values, np.array([0.0, 0.5, 1.0]))[:, 0] == pytest.approx([50.0, 50.0])


def test_path_is_cut_by_distance_not_by_time() -> None:
    positions = np.array([[0.0, 0.0], [0.1, 0.0], [0.2, 0.0], [2.0, 0.0], [2.0, 1.0]])
    line = polyline(positions, np.ones((5, 3)), 1.0)
    assert line.positions == pytest.approx(np.array([[1.0, 0.0], [2.0, 0.0], [2.0, 1.0]]))


def test_path_shorter_than_a_cell_is_empty() -> None:
    assert len(polyline(np.zeros((4, 2)), np.ones((4, 3)), 1.0)) == 0


def test_path_walked_backwards_ends_where_it_began() -> None:
    back = straight().reversed()
    assert back.positions[:, 0].tolist() == [4.0, 3.0, 2.0, 1.0, 0.0]
    assert back.features[:, 0].tolist() == [5.0, 4.0, 3.0, 2.0, 1.0]
    assert np.abs(back.courses(1.0)) == pytest.approx(np.full(5, math.pi))


def test_window_never_spans_two_paths() -> None:
    paths = PolylineMap.joined([straight(5), straight(3, start=50.0)], 1.0)
    ends = paths.window_ends(3, 1)
    assert ends.tolist() == [2, 3, 4, 7]
    assert paths.windows(ends, 3)[-1, :, 0].tolist() == [51.0, 52.0, 53.0]
    assert paths.window_ends(3, 2).tolist() == [2, 4, 7]


def test_map_both_ways_holds_every_path_twice() -> None:
    paths = PolylineMap.joined([straight(5), straight(3)], 1.0).both_ways()
    assert paths.starts.tolist() == [0, 5, 8, 13]
    assert paths.courses == pytest.approx([0.0] * 8 + [math.pi] * 8)


def test_map_survives_its_tensors() -> None:
    paths = PolylineMap.joined([straight(5), straight(1), straight(3)], 1.0)
    again = PolylineMap.from_tensors(paths.to_tensors(), 1.0)
    assert again.starts.tolist() == [0, 5]
    assert again.positions.tolist() == paths.positions.tolist()


@pytest.mark.parametrize("change", [{"starts": np.array([0, 9])}, {"courses": np.zeros(2)}, {"starts": np.array([1])}])
def test_damaged_tensors_are_refused(change: dict[str, np.ndarray]) -> None:
    tensors = PolylineMap.joined([straight(5)], 1.0).to_tensors()
    with pytest.raises(ValueError, match=r"map of|paths start"):
        PolylineMap.from_tensors({**tensors, **change}, 1.0)
