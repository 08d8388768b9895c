from __future__ import annotations

import numpy as np
import pytest

from mail_localization.matching.magnetic_likelihood import LikelihoodSettings, OffsetLikelihood
from mail_localization.matching.magnetic_map import MapSettings, SurveyRows, build_map


def likelihood(**settings: float) -> OffsetLikelihood:
    """A corridor along x, 20 m, whose field turns in the plane: the magnitude is 50 microtesla but at x = 5."""
    x = np.arange(0.0, 20.0, 0.1)
    bump = 20.0 * np.exp(-((x - 5.0) ** 2))
    fields = np.stack([30.0 * np.cos(x), 30.0 * np.sin(x), 40.0 + bump, np.hypot(30.0, 40.0 + bump)], axis=1)
    rows = SurveyRows(np.stack([x, np.zeros_like(x)], axis=1), np.zeros_like(x), fields)
    return OffsetLikelihood(build_map(rows, MapSettings(directions=1)), LikelihoodSettings(**settings))


def reading(x: float, offset: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> np.ndarray:
    field = np.array([30.0 * np.cos(x), 30.0 * np.sin(x), 40.0 + 20.0 * np.exp(-((x - 5.0) ** 2))]) + offset
    return np.array([*field, np.linalg.norm(field)])


def walk(matcher: OffsetLikelihood, starts: np.ndarray, offset: tuple[float, float, float]) -> np.ndarray:
    """Return the log-likelihoods of particles that begin at `starts` and walk 6 m while the device does from 8 m."""
    states = matcher.states(len(starts))
    total = np.zeros(len(starts))
    for way in np.arange(0.0, 6.0, 0.5):
        total += matcher.update(
            states, starts + way, np.zeros(len(starts)), np.zeros(len(starts)), reading(8.0 + way, offset)
        )
    return total


def test_the_true_place_is_likeliest() -> None:
    starts = np.linspace(0.5, 13.5, 27)
    assert starts[walk(likelihood(), starts, (0.0, 0.0, 0.0)).argmax()] == pytest.approx(8.0)


def test_a_constant_offset_of_the_device_does_no_harm() -> None:
    starts = np.linspace(0.5, 13.5, 27)
    offset = (15.0, -20.0, 12.0)
    assert starts[walk(likelihood(offset=20.0), starts, offset).argmax()] == pytest.approx(8.0)


def test_the_offset_is_learnt_on_the_way() -> None:
    matcher = likelihood(offset=20.0)
    states = matcher.states(1)
    for way in np.arange(0.0, 8.0, 0.5):
        matcher.update(states, np.array([8.0 + way]), np.zeros(1), np.zeros(1), reading(8.0 + way, (15.0, -20.0, 12.0)))
    assert states["offset"][0] == pytest.approx([15.0, -20.0, 12.0], abs=2.0)
    assert (states["offset_variance"] < 20.0).all()


def test_magnitude_alone_finds_a_place_where_it_changes() -> None:
    matcher = likelihood(vector=0.0, magnitude=1.0, offset=0.0)
    places = np.array([2.0, 5.0, 8.0])
    values = matcher.update(matcher.states(3), places, np.zeros(3), np.zeros(3), reading(5.0))
    assert values.argmax() == 1


def test_off_the_map_costs() -> None:
    cheap, dear = likelihood(off_map=0.0), likelihood(off_map=2.0)
    there = (np.array([8.0, 8.0]), np.array([0.0, 30.0]), np.zeros(2), reading(8.0))
    difference = cheap.update(cheap.states(2), *there) - dear.update(dear.states(2), *there)
    assert difference == pytest.approx([0.0, 2.0])
