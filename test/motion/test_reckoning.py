from __future__ import annotations

import math

import numpy as np
import pytest

from mail_localization.motion.reckoning import Reckoning
from mail_localization.motion.tracker import Motion


def _piece(heading: float, known: bool = True, turn_std: float = 0.05, distance: float = 1.0) -> Motion:
    return Motion(0, distance, 0.1, heading, known, turn_std)


def _reckoning(drift: float = 0.1) -> Reckoning:
    return Reckoning(heading_offset=math.pi / 2, settle=10.0, drift=drift)


def _at(reckoning: Reckoning) -> tuple[list[float], list[list[float]]]:
    found = reckoning.position()
    assert found is not None
    return found[0].round(6).tolist(), found[1].round(6).tolist()


def test_nothing_is_known_before_the_start() -> None:
    reckoning = _reckoning()
    reckoning.move(_piece(0.0))
    assert reckoning.position() is None


def test_absolute_headings_are_turned_by_the_surveys_offset() -> None:
    reckoning = _reckoning()
    reckoning.begin(np.array([1.0, 2.0]), 0.25 * np.eye(2))
    for _ in range(5):
        reckoning.move(_piece(0.0))
    # 5 m with a drift of 0.1 m per metre add 0.25 m^2.
    assert _at(reckoning) == ([1.0, 7.0], [[0.5, 0.0], [0.0, 0.5]])
    assert reckoning.settled


def test_a_course_told_gives_relative_headings_a_direction() -> None:
    reckoning = _reckoning()
    reckoning.begin(np.zeros(2), course=0.0)
    reckoning.move(_piece(2.0, known=False))
    reckoning.move(_piece(2.0 + math.pi / 2, known=False))
    assert _at(reckoning)[0] == [1.0, 1.0]


def test_without_any_direction_the_position_spreads() -> None:
    reckoning = _reckoning()
    reckoning.begin(np.zeros(2), np.eye(2))
    for _ in range(4):
        reckoning.move(_piece(2.0, known=False))
    # Somewhere on a circle of 4 m: 8 m^2 on each axis.
    assert _at(reckoning) == ([0.0, 0.0], [[9.0, 0.0], [0.0, 9.0]])


@pytest.mark.parametrize("told_start", [True, False])
def test_positions_on_the_way_reveal_the_direction(told_start: bool) -> None:
    reckoning = _reckoning(drift=0.0)
    if told_start:
        reckoning.begin(np.zeros(2), 0.01 * np.eye(2))
    for k in range(12):
        reckoning.move(_piece(0.7 if k < 6 else 0.7 + math.pi / 2, known=False))
        x, y = min(k + 1, 6), max(k - 5, 0)
        reckoning.tell(np.array([x, y], dtype=float), np.eye(2))
    assert reckoning.settled
    reckoning.move(_piece(0.7, known=False, distance=5.0))
    assert _at(reckoning)[0] == pytest.approx([11.0, 6.0], abs=0.3)


def test_positions_of_a_standing_target_are_averaged() -> None:
    reckoning = _reckoning()
    for x in (1.0, 1.2, 30.0):
        reckoning.tell(np.array([x, 0.0]), np.eye(2))
    reckoning.move(_piece(0.0))
    assert _at(reckoning)[0] == pytest.approx([1.2, 1.0])


def test_a_lost_direction_is_looked_for_from_where_the_way_was() -> None:
    reckoning = _reckoning()
    reckoning.begin(np.zeros(2), course=0.0)
    reckoning.move(_piece(2.0, known=False))
    reckoning.move(_piece(0.3, known=False, turn_std=1.5))
    position, covariance = _at(reckoning)
    assert position == [1.0, 0.0]
    assert covariance[0][0] > 1.5
    assert not reckoning.settled


def test_a_way_not_seen_widens_the_covariance() -> None:
    reckoning = _reckoning()
    reckoning.begin(np.zeros(2), np.eye(2))
    reckoning.miss(3.0)
    reckoning.miss(4.0)
    assert _at(reckoning)[1] == [[26.0, 0.0], [0.0, 26.0]]
