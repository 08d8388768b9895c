from __future__ import annotations

import math

import numpy as np
import pytest

from mail_localization.motion.steps import Step, StepDetector, StepSettings, weinberg_length

RATE_HZ = 50.0
G = 9.80665


def _detect(strength: list[float], settings: StepSettings | None = None) -> list[tuple[int, Step]]:
    """Return (row, step) for vertical accelerations."""
    detector = StepDetector(settings or StepSettings(), RATE_HZ)
    rows = [(k, detector.add(k, (0.0, 0.0, value), None)) for k, value in enumerate(strength)]
    return [(k, step) for k, steps in rows for step in steps]


def _bounce(seconds: float, step_hz: float = 2.0, amplitude: float = 2.0, offset: float = G) -> list[float]:
    t = np.arange(0.0, seconds, 1 / RATE_HZ)
    return (offset + amplitude * np.sin(2 * math.pi * step_hz * t)).tolist()


@pytest.mark.parametrize("step_hz", [1.2, 1.6, 2.0, 2.4])
def test_every_bounce_is_one_step(step_hz: float) -> None:
    assert len(_detect(_bounce(20.0, step_hz))) == pytest.approx(20.0 * step_hz, abs=1)


def test_standing_makes_no_steps() -> None:
    noise = np.random.default_rng(0).normal(G, 0.2, 3000)
    assert _detect(noise.tolist()) == []


def test_a_single_knock_is_no_step() -> None:
    assert _detect([G] * 200 + _bounce(0.5) + [G] * 200) == []


def test_first_steps_of_a_walk_are_counted_once_there_are_enough() -> None:
    found = _detect([G] * 100 + _bounce(10.0), StepSettings(confirm=4))
    rows = [row for row, _ in found]
    assert rows.count(rows[0]) == 4
    assert [step.t_ns for _, step in found] == sorted({step.t_ns for _, step in found})


def test_a_double_bounce_is_one_step() -> None:
    t = np.arange(0.0, 20.0, 1 / RATE_HZ)
    double = G + 2.0 * np.sin(2 * math.pi * 1.5 * t) + 1.2 * np.sin(2 * math.pi * 3.0 * t + 1.0)
    assert len(_detect(double.tolist())) == pytest.approx(30, abs=1)


def test_acceleration_without_gravity_gives_the_same_steps() -> None:
    assert len(_detect(_bounce(20.0, offset=0.0))) == pytest.approx(40, abs=2)


def test_swing_is_the_rise_of_the_acceleration() -> None:
    _, step = _detect(_bounce(10.0, step_hz=1.0, amplitude=1.5))[-1]
    assert step.swing == pytest.approx(3.0, rel=0.05)


def test_length_grows_with_the_fourth_root_of_the_swing() -> None:
    assert weinberg_length(16.0, 0.4) == pytest.approx(0.8)
    assert weinberg_length(0.0, 0.4) == 0.0


def test_heading_is_the_mean_during_the_step() -> None:
    detector = StepDetector(StepSettings(confirm=1), RATE_HZ)
    sway = [(math.cos(a), math.sin(a)) for a in 0.5 + 0.2 * np.sin(np.arange(500) * 2 * math.pi / 25)]
    steps = [s for k, (v, h) in enumerate(zip(_bounce(10.0), sway, strict=True)) for s in detector.add(k, (0, 0, v), h)]
    x, y = steps[-1].heading or (0.0, 0.0)
    assert math.atan2(y, x) == pytest.approx(0.5, abs=0.02)
