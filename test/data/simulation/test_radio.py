from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from mail_localization.data.simulation import SimulationSettings, build_site, plan_rounds, simulate_round
from mail_localization.data.simulation.radio import Radios, RadioSettings
from mail_localization.types import WifiScan

SETTINGS = SimulationSettings()
SITE = build_site(SETTINGS.site, seed=0)
NO_WALLS = dataclasses.replace(SITE.plan, walls=np.zeros((0, 4)), loss_db=np.zeros(0))


def test_level_falls_with_the_logarithm_of_distance() -> None:
    radios = _one_radio(RadioSettings(exponent=2.5))
    points = np.array([[1.0, 0.0, 0.0], [10.0, 0.0, 0.0], [0.1, 0.0, 0.0]])
    assert radios.mean_rssi(points, NO_WALLS)[:, 0] == pytest.approx([-40.0, -65.0, -40.0])


def test_each_wall_between_costs_its_loss() -> None:
    plan = dataclasses.replace(
        NO_WALLS, walls=np.array([[2.0, -1.0, 2.0, 1.0], [3.0, -1.0, 3.0, 1.0]]), loss_db=np.array([4.0, 9.0])
    )
    radios = _one_radio(RadioSettings())
    points = np.array([[10.0, 0.0, 0.0], [0.0, 10.0, 0.0]])
    behind, free = radios.mean_rssi(points, plan)[:, 0]
    assert behind == pytest.approx(free - 13.0)


def test_weak_beacons_are_not_heard() -> None:
    radios = _one_radio(RadioSettings(missed=0.0))
    points, heading = np.array([[1.0, 0.0, 0.0], [5000.0, 0.0, 0.0]]), np.zeros(2)
    near, far = radios.received(points, heading, NO_WALLS, np.random.default_rng(0))[:, 0]
    assert near > -60.0
    assert np.isnan(far)


def test_fading_and_shadowing_scatter_the_level_by_some_decibels() -> None:
    settings = RadioSettings(missed=0.0, body_db=0.0)
    radios = dataclasses.replace(SITE.radios, settings=settings)
    ground = np.random.default_rng(0).uniform([0.0, 0.0], [36.0, 22.0], (300, 2))
    points = np.insert(ground, 2, 1.2, axis=1)
    level = radios.received(points, np.zeros(300), NO_WALLS, np.random.default_rng(1))
    error = (level - radios.mean_rssi(points, NO_WALLS))[~np.isnan(level)]
    assert 3.5 < np.std(error) < 7.0
    assert abs(np.mean(error)) < 1.5


def test_scans_are_those_of_a_phone() -> None:
    simulated = simulate_round(SITE, SETTINGS, plan_rounds(SETTINGS.rounds, 0)[4], seed=0)
    scans = [s for s in simulated.samples if isinstance(s, WifiScan)]
    gaps = np.diff([s.t_ns for s in scans]) * 1e-9
    assert gaps.min() >= 2.0
    assert gaps.max() <= 4.0
    assert np.mean([len(s.readings) for s in scans]) > 5
    for reading in (r for s in scans for r in s.readings):
        assert -92.0 <= reading.rssi_dbm < -20.0
        assert 0.0 <= reading.age <= SETTINGS.site.radio.duration
        assert reading.bssid.startswith("02:")
        assert len(reading.bssid) == 17
        assert (reading.frequency_mhz > 5000) == reading.bssid.endswith(":01")
        assert reading.ssid


def test_access_points_have_addresses_of_their_own() -> None:
    assert len(set(SITE.radios.bssid)) == 2 * SETTINGS.site.radio.access_points


def _one_radio(settings: RadioSettings) -> Radios:
    """Return one radio at the origin with -40 dBm at 1 m."""
    return Radios(
        settings,
        np.zeros((1, 3)),
        np.array([-40.0]),
        ("02:00:00:00:00:00",),
        ("s",),
        (2412,),
        SITE.radios.shadowing[:1],
    )
