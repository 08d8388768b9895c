from __future__ import annotations

import math

import numpy as np
import pytest

from mail_localization.errors import ConfigError
from mail_localization.matching.particles import Particles, ParticleSettings, systematic
from mail_localization.motion.tracker import Motion


def step(distance: float = 1.0, turn_std: float = 0.0) -> Motion:
    return Motion(0, distance, 0.0, 0.0, True, turn_std)


QUIET = {"heading_noise": 0.0, "heading_drift": 0.0, "scale_spread": 0.0, "scale_drift": 0.0, "position_noise": 0.0}


def cloud(positions: list[tuple[float, float]], bias: float = 0.0, **settings: float) -> Particles:
    particles = Particles(ParticleSettings(**{**QUIET, "fewest": 2, **settings}), np.random.default_rng(0))
    particles.spread(np.array(positions), np.full(len(positions), bias))
    return particles


def test_a_step_moves_along_its_heading_and_the_bias() -> None:
    particles = cloud([(0.0, 0.0), (5.0, 5.0)], bias=math.pi / 2)
    particles.predict(step(2.0))
    assert np.allclose(particles.x, [0.0, 5.0])
    assert np.allclose(particles.y, [2.0, 7.0])


def test_noise_grows_with_the_way() -> None:
    particles = cloud([(0.0, 0.0)] * 4000, position_noise=0.1)
    for _ in range(4):
        particles.predict(step())
    assert particles.y.std() == pytest.approx(0.2, rel=0.1)


def test_without_a_heading_most_go_on_and_some_turn() -> None:
    particles = cloud([(0.0, 0.0)] * 2000, blind_turns=0.3)
    particles.predict(step(turn_std=1.5))
    assert np.mean(np.abs(particles.heading_bias) > 0.5) == pytest.approx(0.3 * 0.74, abs=0.05)


def test_weighing_returns_the_evidence() -> None:
    particles = cloud([(0.0, 0.0), (1.0, 0.0)])
    evidence = particles.weigh(np.log([0.2, 0.6]))
    assert evidence == pytest.approx(math.log(0.4))
    assert np.allclose(particles.weights, [0.25, 0.75])
    assert particles.effective_size == pytest.approx(1.6)


def test_weights_far_below_floating_point_stay_finite() -> None:
    particles = cloud([(0.0, 0.0), (1.0, 0.0)])
    particles.weigh(np.array([-5000.0, -5001.0]))
    assert particles.weights.sum() == pytest.approx(1.0)


def test_systematic_resampling_keeps_proportions() -> None:
    assert systematic(np.array([0.5, 0.0, 0.5]), 4, 0.5).tolist() == [0, 0, 2, 2]


def test_even_cloud_is_not_resampled() -> None:
    particles = cloud([(0.0, 0.0), (1.0, 0.0), (2.0, 0.0)])
    assert not particles.resample_if_uneven()
    particles.weigh(np.array([0.0, -20.0, -20.0]))
    assert particles.resample_if_uneven()
    assert np.allclose(particles.x, 0.0)


def test_a_wide_cloud_needs_more_particles() -> None:
    rng = np.random.default_rng(1)
    wide = cloud([tuple(p) for p in rng.uniform(0, 40, (2000, 2))], most=2000, fewest=100)
    narrow = cloud([(1.1, 1.1)] * 2000, most=2000, fewest=100)
    assert wide.needed() == 2000
    assert narrow.needed() == 100


def test_injected_particles_weigh_what_was_asked_and_bring_their_states() -> None:
    particles = cloud([(0.0, 0.0), (1.0, 0.0)])
    particles.extra = {"offset": np.zeros((2, 3))}
    fresh = np.array([[9.0, 9.0]])
    particles.inject(fresh, np.zeros(1), np.ones(1), 0.2, {"offset": np.ones((1, 3))})
    assert np.allclose(particles.weights, [0.4, 0.4, 0.2])
    particles.resample(5)
    assert particles.extra["offset"].sum() == pytest.approx(3.0)


def test_two_clusters_are_two_modes_heaviest_first() -> None:
    particles = cloud([(0.0, 0.0)] * 3 + [(20.0, 0.0)] * 7)
    estimate = particles.estimate()
    assert [mode.weight for mode in estimate.modes] == pytest.approx([0.7, 0.3])
    assert np.allclose(estimate.modes[0].mean, [20.0, 0.0])
    assert np.allclose(estimate.mean, [14.0, 0.0])


def test_covariance_of_a_point_is_positive_definite() -> None:
    assert (np.linalg.eigvalsh(cloud([(1.0, 1.0)] * 5).estimate().covariance) > 0).all()


def test_log_density_is_highest_at_the_cloud() -> None:
    density = cloud([(1.0, 1.0)] * 50).log_density(np.array([[1.0, 1.0], [2.0, 1.0], [500.0, 0.0]]), bandwidth=0.5)
    assert density[0] > density[1] > density[2]
    assert np.isfinite(density).all()


def test_bounds_without_a_number_between_are_refused() -> None:
    with pytest.raises(ConfigError, match="fewest 50 is above most 20"):
        ParticleSettings(most=20, fewest=50)
