from __future__ import annotations

import math

import numpy as np
import pytest

from mail_localization.motion.alignment import Placement, align
from mail_localization.motion.planar import rotation

WAYS = np.array([[0, 0], [4, 0], [8, 0], [8, 4], [8, 8], [4, 8]], dtype=float)
ORIGIN = np.array([10.0, 5.0])


@pytest.mark.parametrize("turn", [0.0, 1.0, -2.5])
def test_finds_turn_and_origin(turn: float) -> None:
    found = align(WAYS, ORIGIN + WAYS @ rotation(turn).T)
    assert math.remainder(found.turn - turn, 2 * math.pi) == pytest.approx(0.0, abs=0.01)
    assert found.origin == pytest.approx(ORIGIN, abs=0.1)


def test_a_gross_mismatch_does_not_matter() -> None:
    positions = ORIGIN + WAYS @ rotation(1.0).T
    positions[2] += 50.0
    found = align(WAYS, positions)
    assert found.turn == pytest.approx(1.0, abs=0.02)
    assert found.origin == pytest.approx(ORIGIN, abs=0.5)


def test_a_known_origin_is_kept_and_a_known_turn_too() -> None:
    positions = ORIGIN + WAYS @ rotation(1.0).T + (0.3, 0.0)
    assert align(WAYS, positions, origin=ORIGIN).origin.tolist() == ORIGIN.tolist()
    known = align(WAYS, positions, turn=1.0)
    assert known.turn == 1.0
    assert known.turn_std == 0.0
    assert known.origin == pytest.approx(ORIGIN + np.array([0.3, 0.0]))


def test_the_position_is_least_certain_across_a_long_way() -> None:
    position, covariance = Placement(ORIGIN, 0.5, math.pi / 2, 0.1).place(np.array([20.0, 0.0]))
    assert position == pytest.approx(ORIGIN + np.array([0.0, 20.0]))
    # Across: 20 m times 0.1 rad.
    assert covariance == pytest.approx(np.diag([0.25 + 4.0, 0.25]))
