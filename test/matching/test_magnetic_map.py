from __future__ import annotations

import math

import numpy as np
import pytest

from mail_localization.matching.magnetic_map import MagneticMap, MapSettings, SurveyRows, build_map, thin


def corridor(heading: float = 0.0, offset: float = 0.0, length: float = 10.0) -> SurveyRows:
    """Rows along x whose field is 2 microtesla per metre in the first channel, and constant in the others."""
    x = np.arange(0.0, length, 0.1)
    fields = np.stack([2.0 * x + offset, np.full_like(x, 20.0), np.full_like(x, 40.0)], axis=1)
    return SurveyRows(np.stack([x, np.zeros_like(x)], axis=1), np.full_like(x, heading), fields)


def at(field_map: MagneticMap, x: float, y: float = 0.0, heading: float = 0.0) -> tuple[np.ndarray, np.ndarray, float]:
    field = field_map.lookup(np.array([x]), np.array([y]), np.array([heading]))
    return field.mean[0], field.variance[0], float(field.coverage[0])


def test_the_map_gives_back_the_survey() -> None:
    mean, variance, coverage = at(build_map(corridor(), MapSettings()), 5.13)
    assert mean == pytest.approx([10.26, 20.0, 40.0], abs=0.1)
    assert coverage == pytest.approx(1.0)
    assert variance[1] == pytest.approx(1.5**2, rel=0.01)


def test_values_between_cells_are_interpolated() -> None:
    field_map = build_map(corridor(), MapSettings())
    values = [at(field_map, x)[0][0] for x in np.arange(4.0, 4.5, 0.05)]
    assert np.diff(values) == pytest.approx(0.1, abs=0.03)


def test_variance_grows_beside_the_way() -> None:
    field_map = build_map(corridor(), MapSettings())
    assert at(field_map, 5.0, y=1.2)[1][0] > at(field_map, 5.0)[1][0] + 2.0


def test_off_the_map_the_whole_survey_speaks() -> None:
    field_map = build_map(corridor(), MapSettings())
    for place in ((5.0, 9.0), (-1e6, 0.0), (1e6, 1e6)):
        mean, variance, coverage = at(field_map, *place)
        assert coverage == 0.0
        assert mean[0] == pytest.approx(9.9)
        assert variance[0] > 30.0


def test_directions_are_told_apart() -> None:
    both = SurveyRows(*(np.concatenate(pair) for pair in zip(
        (corridor().positions, corridor().headings, corridor().fields),
        (corridor().positions, corridor(math.pi).headings, corridor(offset=30.0).fields), strict=True)))  # fmt: skip
    field_map = build_map(both, MapSettings(directions=8))
    assert at(field_map, 5.0, heading=0.1)[0][0] == pytest.approx(10.0, abs=0.2)
    assert at(field_map, 5.0, heading=-math.pi)[0][0] == pytest.approx(40.0, abs=0.2)
    one = build_map(both, MapSettings(directions=1))
    assert at(one, 5.0, heading=0.1)[0][0] == pytest.approx(25.0, abs=0.2)


def test_a_direction_never_walked_says_little() -> None:
    mean, variance, coverage = at(build_map(corridor(), MapSettings(directions=8)), 5.0, heading=math.pi)
    assert mean[0] == pytest.approx(10.0, abs=0.2)
    assert coverage == 0.0
    assert variance[0] > 30.0


def test_drawn_places_lie_on_the_survey_and_head_as_it_did() -> None:
    places, headings = build_map(corridor(), MapSettings(reach=0.5, directions=8)).draw(500, np.random.default_rng(0))
    assert np.abs(places[:, 1]).max() < 0.8
    assert places[:, 0].min() < 1.0
    assert places[:, 0].max() > 9.0
    assert np.abs(np.angle(np.exp(1j * headings))).max() < math.radians(68)


def test_the_map_survives_the_model_folder() -> None:
    field_map = build_map(corridor(), MapSettings())
    again = MagneticMap.from_tensors(field_map.to_tensors())
    assert at(again, 3.3)[0] == pytest.approx(at(field_map, 3.3)[0])
    tensors = field_map.to_tensors()
    with pytest.raises(ValueError, match="values"):
        MagneticMap.from_tensors({**tensors, "map_values": tensors["map_values"][:3]})


def test_rows_are_thinned_by_way_not_by_time() -> None:
    standing = np.zeros((100, 2))
    walking = np.stack([np.linspace(0.0, 1.0, 51), np.zeros(51)], axis=1)
    rows = thin(np.concatenate([standing, walking]), np.ones((151, 3)), spacing=0.1)
    assert len(rows.positions) in (10, 11)
    assert rows.headings == pytest.approx(0.0)
