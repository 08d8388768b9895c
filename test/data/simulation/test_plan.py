from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from mail_localization.data.simulation.noise import generator
from mail_localization.data.simulation.plan import PlanSettings, build_plan
from mail_localization.data.simulation.site import SiteSettings, build_site, write_map
from mail_localization.errors import ConfigError


def test_crossing_counts_the_walls_between_two_points() -> None:
    plan = build_plan(PlanSettings(), generator(0, "plan"))
    two_walls = dataclasses.replace(plan, walls=np.array([[1.0, 0.0, 1.0, 2.0], [2.0, 0.0, 2.0, 2.0]]))
    start = np.array([[0.0, 1.0], [0.0, 1.0], [0.0, 3.0]])
    end = np.array([[1.5, 1.0], [3.0, 1.0], [3.0, 3.0]])
    assert two_walls.crossings(start, end).tolist() == [[True, False], [True, True], [False, False]]


@pytest.mark.parametrize("seed", range(5))
def test_route_goes_through_doors_only(seed: int) -> None:
    plan = build_plan(PlanSettings(), generator(seed, "plan"))
    assert not plan.crossings(plan.route[:-1], plan.route[1:]).any()


def test_floor_too_small_for_a_core_is_refused() -> None:
    with pytest.raises(ConfigError, match="core"):
        PlanSettings(depth=18.0, room_depth=8.0)


def test_map_shows_walls_where_they_are(tmp_path) -> None:
    plan = build_site(SiteSettings(), seed=0).plan
    write_map(plan, tmp_path)
    header, size, _, pixels = (tmp_path / "map.pgm").read_bytes().split(b"\n", 3)
    columns, rows = map(int, size.split())
    image = np.frombuffer(pixels, dtype=np.uint8).reshape(rows, columns)

    def at(x: float, y: float) -> int:
        return int(image[rows - 1 - int((y + 1.0) / 0.05), int((x + 1.0) / 0.05)])

    assert header == b"P5"
    assert at(-0.5, -0.5) == 205  # outside
    assert at(0.0, 3.0) == 0  # outer wall
    assert at(3.0, 5.5) == 0  # wall between a southern room and the western one
    assert at(*plan.doors[0]) == 254
    assert all(at(x, y) == 254 for x, y in plan.route)
