from __future__ import annotations

import numpy as np
import pytest

from mail_localization.health.magnetometer import magnetometer_findings, turns_findings
from mail_localization.health.status import Finding, Level
from mail_localization.preprocess.excerpt import Excerpt
from mail_localization.preprocess.turning import field_turns

EARTH = np.array([18e-6, 3e-6, -44e-6])


def _excerpt(mag: np.ndarray, rate_hz: float = 25.0) -> Excerpt:
    return Excerpt(mag_ns=(np.arange(len(mag)) * 1e9 / rate_hz).astype(np.int64), mag=mag)


def _walk(seconds: float = 30.0) -> np.ndarray:
    rng = np.random.default_rng(1)
    return EARTH + 3e-6 * np.sin(np.linspace(0, 20, round(25 * seconds)))[:, None] + rng.normal(0, 2e-7, (750, 3))


def _texts(findings: list[Finding]) -> str:
    return "; ".join(finding.text for finding in findings)


def test_a_field_in_tesla_is_fine() -> None:
    assert magnetometer_findings(_excerpt(_walk()), 1.0) == []


@pytest.mark.parametrize(
    ("unit", "per_tesla", "scale"),
    [
        ("microtesla", 1e6, "1e-06"),
        ("gauss", 1e4, "0.0001"),
        ("milligauss", 1e7, "1e-07"),
        ("nanotesla", 1e9, "1e-09"),
        ("millitesla", 1e3, "0.001"),
    ],
)
def test_the_unit_mistake_and_the_parameter_that_mends_it_are_named(unit: str, per_tesla: float, scale: str) -> None:
    [finding] = magnetometer_findings(_excerpt(_walk() * per_tesla), 1.0)
    assert finding.level is Level.ERROR
    assert f"publishes {unit};" in finding.text
    assert f"magnetic_field_scale to {scale} " in finding.text


def test_a_scale_set_for_a_driver_that_needs_none_is_named() -> None:
    text = _texts(magnetometer_findings(_excerpt(_walk() * 1e-6), 1e-6))
    assert "publishes tesla" in text
    assert "magnetic_field_scale to 1 (it is 1e-06)" in text


def test_a_strong_field_with_a_survey_is_judged_by_the_survey() -> None:
    # 250 microtesla were surveyed (a device with a large field of its own): 0.25 is millitesla, not gauss.
    strong = _walk() / np.linalg.norm(EARTH) * 250e-6
    assert "millitesla" in _texts(magnetometer_findings(_excerpt(strong * 1e3), 1.0, expected=250e-6))
    assert "gauss" in _texts(magnetometer_findings(_excerpt(strong / 4 * 1e4), 1.0, expected=62e-6))


def test_a_phone_with_a_field_of_its_own_in_microtesla_is_not_taken_for_milligauss() -> None:
    # MM-Loc's phone reads 134 microtesla.
    text = _texts(magnetometer_findings(_excerpt(_walk() / np.linalg.norm(EARTH) * 134.0), 1.0))
    assert "publishes microtesla" in text


def test_a_magnet_is_no_unit_mistake() -> None:
    # 1.6 mT is in no unit a field of a building.
    assert "move the sensor away from magnets" in _texts(magnetometer_findings(_excerpt(_walk() * 33), 1.0))


def test_zeros_stuck_and_dead_axes_are_told() -> None:
    walk = _walk()
    assert "publishes no measurement" in _texts(magnetometer_findings(_excerpt(np.zeros((500, 3))), 1.0))
    walk[100:] = walk[100]
    assert "stuck" in _texts(magnetometer_findings(_excerpt(walk), 1.0))
    dead = _walk()
    dead[:, 1] = 0.0
    assert "axis y is always 0" in _texts(magnetometer_findings(_excerpt(dead), 1.0))


def test_a_calm_sensor_of_coarse_steps_is_not_stuck() -> None:
    rng = np.random.default_rng(0)
    still = np.tile(EARTH, (750, 1))
    still[:, 2] += 0.15e-6 * rng.integers(0, 2, 750)
    assert magnetometer_findings(_excerpt(still), 1.0) == []


def test_an_axis_at_full_scale_is_saturated() -> None:
    walk = _walk()
    walk[:, 0] = np.minimum(walk[:, 0] + 300e-6 + 100e-6 * np.sin(np.linspace(0, 9, 750)), 320e-6)
    text = _texts(magnetometer_findings(_excerpt(walk), 1.0))
    assert "axis x stands at its full scale (320 microtesla)" in text


def _turned(vector: np.ndarray, by: np.ndarray) -> np.ndarray:
    """Rotate a vector by a rotation vector (Rodrigues)."""
    angle = float(np.linalg.norm(by))
    axis = by / max(angle, 1e-12)
    across = np.cross(axis, vector)
    return np.asarray(vector + np.sin(angle) * across + (1 - np.cos(angle)) * np.cross(axis, across))


def _turning(hard_iron: np.ndarray, rate_factor: float = 1.0, mirrored: bool = False) -> Excerpt:
    """Two minutes of a device swung about all axes and turned about the vertical, at 25 Hz."""
    t = np.arange(3000) / 25.0
    rates = np.stack([0.6 * np.sin(1.1 * t), 0.5 * np.cos(0.7 * t), 0.8 * np.sin(0.3 * t)], axis=1)
    field, rows = EARTH, []
    for rate in rates:
        rows.append(field + hard_iron)
        field = _turned(field, -rate / 25.0)
    noise = np.random.default_rng(2).normal(0, 2e-7, (3000, 3))
    stamps = (t * 1e9).astype(np.int64)
    signs = -1.0 if mirrored else 1.0
    return Excerpt(stamps, np.array(rows) + noise, stamps, np.concatenate([rates * 0, signs * rates * rate_factor], 1))


def test_the_devices_own_field_is_found_from_turns() -> None:
    own = np.array([30e-6, -12e-6, 50e-6])
    turns = field_turns(_turning(own))
    assert turns is not None
    assert turns.trusted
    assert turns.gain == pytest.approx(1.0, abs=0.03)
    assert np.abs(turns.hard_iron - own).max() < 1e-6


def test_turns_unlike_the_surveys_name_the_hard_iron() -> None:
    turns = field_turns(_turning(np.array([30e-6, 0.0, 0.0])))
    [(stream, finding)] = turns_findings(turns, distance=28e-6, usual=5e-6)
    assert stream == "mag"
    assert "(30, 0, 0) microtesla, 28 from the survey's" in finding.text.replace("-0", "0")
    assert turns_findings(turns, distance=4e-6, usual=5e-6) == []


def test_degrees_per_second_and_differing_axes_are_told() -> None:
    [(stream, finding)] = turns_findings(field_turns(_turning(np.zeros(3), rate_factor=57.2958)), None, 0.0)
    assert stream == "imu"
    assert "degrees/s" in finding.text
    [(stream, finding)] = turns_findings(field_turns(_turning(np.zeros(3), mirrored=True)), None, 0.0)
    assert stream == "mag"
    assert "axes of magnetometer and IMU differ" in finding.text


def test_a_device_that_never_turns_tells_nothing_of_its_own_field() -> None:
    t = (np.arange(3000) * 4e7).astype(np.int64)
    still = np.random.default_rng(3).normal(0, 1e-3, (3000, 6))
    assert field_turns(Excerpt(t, np.tile(EARTH, (3000, 1)), t, still)) is None
