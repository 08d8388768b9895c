from __future__ import annotations

import math

import numpy as np
import pytest
from surveys import START_NS

from mail_localization.motion.bridging import BridgedWay, bridged
from mail_localization.motion.tracker import Motion, MotionCalibration
from mail_localization.types import FloatArray

SECOND_NS = 1_000_000_000
CALIBRATION = MotionCalibration(heading_offset=0.5, heading_offset_std=0.15)
KINDS = pytest.mark.parametrize("absolute", [True, False], ids=["absolute", "relative"])


def walk(
    seed: int, *, scale: float = 1.0, turned: float = 0.0, steps: int = 240, absolute: bool = True
) -> tuple[list[Motion], FloatArray]:
    """Return two steps a second as they are reckoned, and the true places (n, 2) at their ends, m.

    Args:
        seed: of the turns.
        scale: true length over that reckoned.
        turned: true course less that reckoned with the calibration, rad.
        steps: their number.
        absolute: whether the headings are; if not, they have an offset that nobody knows.
    """
    rng = np.random.default_rng(seed)
    courses = np.repeat(rng.uniform(-math.pi, math.pi, 1 + steps // 20), 20)[:steps]
    offset = CALIBRATION.heading_offset if absolute else 2.5
    motions = [
        Motion(START_NS + k * SECOND_NS // 2, 0.6, 0.05, float(course - turned - offset), absolute, 0.01)
        for k, course in enumerate(courses)
    ]
    return motions, np.cumsum(0.6 * scale * np.stack([np.cos(courses), np.sin(courses)], axis=1), axis=0)


def bridge(motions: list[Motion], places: FloatArray, known: list[int]) -> tuple[BridgedWay, FloatArray, FloatArray]:
    """Return the way through the places after some of the steps, its errors and its deviations after each step, m."""
    stamps = np.array([motion.t_ns for motion in motions], dtype=np.int64)
    way = bridged(motions, CALIBRATION, stamps[known], places[known])
    positions, stddev = way.at(stamps)
    return way, np.linalg.norm(positions - places, axis=1), stddev


START, END = list(range(0, 30, 2)), list(range(210, 240, 2))


@KINDS
def test_what_does_not_close_is_spread_along_the_way(absolute: bool) -> None:
    motions, places = walk(0, scale=1.1, turned=0.15, absolute=absolute)
    _, errors, _ = bridge(motions, places, START + END)
    reckoned = places[29] + np.cumsum(
        [[0.6 * math.cos(m.heading + 0.5), 0.6 * math.sin(m.heading + 0.5)] for m in motions[30:]], axis=0
    )
    assert np.linalg.norm(reckoned - places[30:], axis=1).max() > 5.0, "the way as it is reckoned does not close"
    assert errors.max() < 1.0


@KINDS
def test_the_way_goes_on_before_and_after_what_is_known(absolute: bool) -> None:
    motions, places = walk(1, scale=1.1, turned=0.15, absolute=absolute)
    _, errors, stddev = bridge(motions, places, list(range(90, 150, 2)))
    assert errors.max() < 4.0
    assert stddev[0] > stddev[45] > stddev[89] > 0.0
    assert stddev[-1] > stddev[195] > stddev[150]


@KINDS
def test_the_middle_of_a_gap_is_least_sure(absolute: bool) -> None:
    # Straight on: where a way comes back to a known place, it is surer there.
    motions = [Motion(START_NS + k * SECOND_NS // 2, 0.6, 0.05, 0.0, absolute, 0.01) for k in range(240)]
    places = np.stack([0.6 * np.cos(0.5) * np.arange(240), 0.6 * np.sin(0.5) * np.arange(240)], axis=1)
    _, errors, stddev = bridge(motions, places, START + END)
    gap = stddev[30:210]
    assert 60 <= int(gap.argmax()) <= 120
    assert (np.diff(gap[: gap.argmax()]) > 0).all() and (np.diff(gap[gap.argmax() :]) < 0).all()
    _, _, open_ended = bridge(motions, places, START)
    assert open_ended[-1] > 2 * gap.max()
    assert errors.max() < 0.1


def test_stated_deviations_are_those_of_the_errors() -> None:
    # Walks whose scale and direction drift, and which wander, as much as a step of 0.6 m may.
    squares = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        motions, _ = walk(seed)
        drift = 0.05 * math.sqrt(0.6) * (rng.normal(size=240) + 1j * rng.normal(size=240)) / math.sqrt(2)
        factor = 1 + 0.15 * (rng.normal() + 1j * rng.normal()) / math.sqrt(2) + np.cumsum(drift)
        wander = 0.2 * math.sqrt(0.6) * (rng.normal(size=240) + 1j * rng.normal(size=240)) / math.sqrt(2)
        way = np.cumsum(factor * 0.6 * np.exp(1j * np.array([m.heading + 0.5 for m in motions])) + wander)
        _, errors, stddev = bridge(motions, np.stack([way.real, way.imag], axis=1), START)
        squares.append((errors[60:] ** 2 / stddev[60:] ** 2).mean())
    assert 0.6 < np.mean(squares) < 1.4


def test_who_stands_stays() -> None:
    stamps = START_NS + SECOND_NS * np.arange(3, dtype=np.int64)
    way = bridged([], CALIBRATION, stamps, np.full((3, 2), 7.0))
    positions, stddev = way.at(START_NS + SECOND_NS * np.arange(-5, 20, dtype=np.int64))
    assert positions == pytest.approx(np.full((25, 2), 7.0))
    assert stddev.max() < 2.0


def test_a_pause_is_no_slow_step() -> None:
    motions = [Motion(START_NS + k * SECOND_NS, 1.0, 0.05, -0.5, True) for k in (*range(10), *range(70, 80))]
    known = START_NS + SECOND_NS * np.arange(10, dtype=np.int64)
    way = bridged(motions, CALIBRATION, known, np.stack([np.arange(1.0, 11.0), np.zeros(10)], axis=1))
    positions, _ = way.at(START_NS + SECOND_NS * np.array([20, 68, 79], dtype=np.int64))
    assert positions[0] == pytest.approx(positions[1])
    assert positions[2] == pytest.approx([20.0, 0.0], abs=0.5)


def test_without_a_direction_nothing_far_is_sure() -> None:
    motions, places = walk(3, absolute=False)
    _, _, stddev = bridge(motions, places, [0])
    assert stddev[0] < 2.0
    assert stddev[60:].min() > 5.0


@pytest.mark.parametrize("seed", range(10))
@KINDS
def test_turning_and_shifting_the_map_turns_and_shifts_the_way(seed: int, absolute: bool) -> None:
    motions, places = walk(seed, absolute=absolute)
    angle, shift = 1.0, np.array([300.0, -20.0])
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    stamps = np.array([motion.t_ns for motion in motions], dtype=np.int64)
    known = stamps[START + END]
    way = bridged(motions, CALIBRATION, known, places[START + END])
    there = MotionCalibration(heading_offset=CALIBRATION.heading_offset + angle, heading_offset_std=0.15)
    moved = bridged(motions, there, known, places[START + END] @ turn.T + shift)
    assert moved.position == pytest.approx(way.position @ turn.T + shift, abs=0.02)
    assert moved.stddev == pytest.approx(way.stddev, abs=1e-3)


def test_a_clock_set_back_does_not_break_the_way() -> None:
    motions, places = walk(4)
    back = [Motion(m.t_ns - 50 * SECOND_NS, m.distance, 0.05, m.heading, True) for m in motions[120:]]
    known = START + list(range(90, 118, 2))
    stamps = np.array([motion.t_ns for motion in motions], dtype=np.int64)
    way = bridged([*motions[:120], *back], CALIBRATION, stamps[known], places[known])
    positions, _ = way.at(stamps[:118])
    assert np.linalg.norm(positions - places[:118], axis=1).max() < 1.0
    assert np.isfinite(way.position).all() and np.isfinite(way.stddev).all()
