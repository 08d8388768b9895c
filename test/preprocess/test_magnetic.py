from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mail_localization.preprocess.magnetic import MagneticFeatures, MagneticSettings


def features(**settings: object) -> MagneticFeatures:
    return MagneticFeatures(MagneticSettings.from_mapping(settings), rate_hz=50.0)


def test_gradient_is_microtesla_per_second_and_as_long_as_the_window() -> None:
    gradient = features(transform="gradient")
    assert gradient.margin == 1
    # One axis rises by 2 microtesla per sample of 20 ms, one falls by 1, one stands still.
    k = np.arange(6.0)
    rows = np.stack([2e-6 * k, -1e-6 * k, np.full(6, 3e-5)], axis=1)
    np.testing.assert_allclose(gradient(rows), np.tile([100.0, -50.0, 0.0], (5, 1)), atol=1e-3)


def test_gradient_and_mean_removal_ignore_a_constant_offset() -> None:
    rng = np.random.default_rng(0)
    for transform in ("gradient", "mean_removed"):
        feature = features(transform=transform, smoothing=0.05)
        rows = rng.normal(scale=1e-5, size=(40 + feature.margin, 3))
        np.testing.assert_allclose(feature(rows + 7e-5), feature(rows), atol=1e-3)
    np.testing.assert_allclose(feature(rows).mean(axis=0), 0.0, atol=1e-5)


def test_smoothing_keeps_a_ramp_and_weakens_noise() -> None:
    smooth, plain = features(smoothing=0.06), features()
    ramp = np.outer(np.arange(30.0 + smooth.margin), [1e-6, 2e-6, 0.0])
    np.testing.assert_allclose(smooth(ramp), np.tile([50.0, 100.0, 0.0], (30, 1)), atol=1e-3)
    noise = np.random.default_rng(0).normal(scale=1e-6, size=(500 + smooth.margin, 3))
    assert smooth(noise).std() < 0.1 * plain(noise[-501:]).std()


def test_gravity_aligned_components_survive_a_turned_phone() -> None:
    aligned = features(components="gravity_aligned", transform="raw")
    field, up = np.array([2e-5, 1e-5, -4e-5]), np.array([0.0, 0.0, 1.0])
    turns = Rotation.random(20, rng=np.random.default_rng(1))
    rows = np.concatenate([turns.apply(field), turns.apply(up)], axis=1)
    expected = [np.hypot(20, 10), -40.0, np.sqrt(2100)]
    np.testing.assert_allclose(aligned(rows), np.tile(expected, (20, 1)), rtol=1e-5)


@pytest.mark.parametrize("transform", ["gradient", "mean_removed", "raw"])
@pytest.mark.parametrize("components", ["sensor", "gravity_aligned"])
def test_a_batch_gives_the_same_numbers_as_single_windows(transform: str, components: str) -> None:
    feature = features(transform=transform, components=components, smoothing=0.04)
    rows = np.random.default_rng(2).normal(scale=1e-5, size=(7, 50 + feature.margin, feature.width))
    np.testing.assert_array_equal(feature(rows), np.stack([feature(window) for window in rows]))
