from __future__ import annotations

import numpy as np
import pytest

from mail_localization.data.simulation.field import FieldSettings, MagneticField, dipoles, earth_field
from mail_localization.data.simulation.site import SiteSettings, build_site
from mail_localization.types import FloatArray


def test_dipole_on_axis_and_beside_it_has_the_textbook_field() -> None:
    points = np.array([[0.0, 0.0, 2.0], [2.0, 0.0, 0.0]])
    field = dipoles(points, np.zeros((1, 3)), np.array([[0.0, 0.0, 8.0]]))[:, 0]
    # mu0/(4 pi) 2 m / r^3 on the axis, the same with factor -1 beside it: m = 8, r = 2.
    assert field == pytest.approx(np.array([[0.0, 0.0, 2e-7], [0.0, 0.0, -1e-7]]))


def test_matrix_products_agree_with_the_formula() -> None:
    rng = np.random.default_rng(1)
    position, moment, points = rng.uniform(0, 30, (50, 3)), rng.normal(size=(50, 3)), rng.uniform(0, 30, (200, 3))
    field = MagneticField(np.zeros(3), position, moment)
    assert np.allclose(field(points), dipoles(points, position, moment).sum(axis=1), rtol=1e-6, atol=1e-15)


def test_field_has_neither_divergence_nor_curl() -> None:
    site = build_site(SiteSettings(), seed=3)
    points = np.insert(site.plan.route + 0.1, 2, 1.2, axis=1)
    gradient = _jacobian(site.field, points)
    size = np.linalg.norm(gradient, axis=(1, 2))
    assert np.all(np.abs(np.trace(gradient, axis1=1, axis2=2)) < 1e-4 * size)
    assert np.all(np.linalg.norm(gradient - gradient.transpose(0, 2, 1), axis=(1, 2)) < 1e-4 * size)


def test_earth_field_has_the_stated_magnitude_and_dip() -> None:
    field = earth_field(FieldSettings(earth=50e-6, inclination=np.pi / 6, north=np.pi / 2))
    assert field == pytest.approx([0.0, 50e-6 * np.sqrt(0.75), -25e-6], abs=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_anomalies_on_the_route_are_those_of_buildings(seed: int) -> None:
    site = build_site(SiteSettings(), seed)
    way = _along(site.plan.route)
    for height in (0.3, 1.2):
        anomaly = np.linalg.norm(site.field(np.insert(way, 2, height, axis=1)) - site.field.earth, axis=1)
        assert 2e-6 < np.median(anomaly) < 15e-6
        assert 8e-6 < anomaly.max() < 60e-6


def test_anomalies_occur_at_all_scales() -> None:
    """The field along the way varies over 1 m as well as over 20 m."""
    site = build_site(SiteSettings(), seed=0)
    magnitude = np.linalg.norm(site.field(np.insert(_along(site.plan.route), 2, 1.2, axis=1)), axis=1)
    variation = {lag: np.std(magnitude[10 * lag :] - magnitude[: -10 * lag]) for lag in (1, 5, 20)}
    assert variation[1] > 1e-6
    blocks = magnitude[: len(magnitude) // 100 * 100].reshape(-1, 100).mean(axis=1)  # 10 m each
    assert np.std(blocks) > 1e-6
    assert variation[5] > variation[1]


def _along(route: FloatArray) -> FloatArray:
    """Return points every 0.1 m along the corners of a route."""
    s = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(route, axis=0), axis=1))])
    at = np.arange(0.0, s[-1], 0.1)
    return np.stack([np.interp(at, s, axis) for axis in route.T], axis=1)


def _jacobian(field: MagneticField, points: FloatArray, h: float = 1e-3) -> FloatArray:
    """Return (n, 3, 3): d B_i / d x_j by central differences."""
    steps = h * np.eye(3)
    return np.stack([(field(points + step) - field(points - step)) / (2.0 * h) for step in steps], axis=2)
