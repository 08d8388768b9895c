from __future__ import annotations

import math

import numpy as np
import pytest
from wifi_surveys import ACCESS_POINTS, scan_at

from mail_localization.localizer import LikelihoodLocalizer
from mail_localization.matching.radio_map import KnnSettings, Matches
from mail_localization.matching.wifi_knn import Calibration, WifiKnn, WifiKnnConfig, build_map, log_mixture, modes
from mail_localization.preprocess.access_points import survey_access_points
from mail_localization.types import ImuSample, MagneticSample, OdometrySample, Sample, WifiReading, WifiScan

T0 = 1_700_000_000_000_000_000
SECOND = 1_000_000_000
CALIBRATION = Calibration(stretch=1.0, variance=4.0, bandwidth=2.0, lost=0.1)
CONFIG = WifiKnnConfig(knn=KnnSettings(k=2, distance="euclidean", representation="positive", device_gain="keep"))


def corridor(config: WifiKnnConfig = CONFIG) -> WifiKnn:
    """Map of a corridor of 40 m surveyed at every metre."""
    places = np.arange(41.0)
    scans = [{r.bssid: r.rssi_dbm for r in scan_at(x, 0).readings} for x in places]
    positions = np.stack([places, np.zeros(41)], axis=1)
    known = survey_access_points(scans, positions, config.wifi)
    rssi = np.array([known.vector(levels) for levels in scans], dtype=np.float32)
    return WifiKnn(config, known, build_map(config, rssi, positions), CALIBRATION, positions)


def walk(count: int = 10) -> list[Sample]:
    return [scan_at(2.0 * k + 1.5, T0 + 2 * k * SECOND, noise=1.0, seed=k) for k in range(count)]


def test_scan_is_located() -> None:
    estimate = corridor().add(scan_at(12.5, T0))
    assert estimate is not None and estimate.t_ns == T0
    assert estimate.position == pytest.approx([12.5, 0.0], abs=0.01)
    assert estimate.covariance == pytest.approx(np.diag([0.25 + 4.0, 4.0]), abs=0.01)
    assert estimate.modes[0].mean == pytest.approx([12.5, 0.0], abs=0.01)


def test_only_scans_give_estimates() -> None:
    localizer = corridor()
    assert localizer.inputs == {"wifi"}
    localizer.add(scan_at(12.5, T0))
    zero = (0.0, 0.0, 0.0)
    for sample in (MagneticSample(T0 + 1, zero), ImuSample(T0 + 2, zero, zero), OdometrySample(T0 + 3, 0.0, 0.0, 0.0)):
        assert localizer.add(sample) is None
    assert localizer.add_magnetic(MagneticSample(T0 + 1, zero)) is None
    assert localizer.add_imu(ImuSample(T0 + 2, zero, zero)) is None
    assert localizer.add_odometry(OdometrySample(T0 + 3, 0.0, 0.0, 0.0)) is None


def test_too_few_known_access_points_give_nothing() -> None:
    localizer = corridor()
    known = list(ACCESS_POINTS)[:2]
    readings = [WifiReading(name, -50.0) for name in (*known, "strange:1", "strange:2")]
    assert localizer.add(WifiScan(T0, tuple(readings))) is None
    assert (localizer.log_likelihood(np.zeros((3, 2))) == 0).all()


def test_replay_equals_streaming_and_reset_starts_anew() -> None:
    localizer, samples = corridor(), walk()
    streamed = [estimate for sample in samples if (estimate := localizer.add(sample)) is not None]
    localizer.reset()
    replayed = list(localizer.localize(samples))
    assert len(streamed) == len(replayed) == len(samples)
    for one, other in zip(streamed, replayed, strict=True):
        assert one.t_ns == other.t_ns
        assert np.array_equal(one.position, other.position)
        assert np.array_equal(one.covariance, other.covariance)


def test_bad_scans_are_counted_and_never_raise() -> None:
    localizer = corridor()
    names = list(ACCESS_POINTS)
    broken = (*(WifiReading(name, math.nan) for name in names), WifiReading("", -50.0, -5.0))
    for sample in [
        scan_at(5.0, T0 + 100 * SECOND), scan_at(5.0, T0 + 100 * SECOND), scan_at(5.0, T0 + 99 * SECOND),
        WifiScan(T0 + 102 * SECOND, broken), WifiScan(T0 + 103 * SECOND, ()), scan_at(5.0, 0),
    ]:  # fmt: skip
        localizer.add(sample)
    estimates = list(localizer.localize([scan_at(7.0, T0), scan_at(9.0, T0 + 2 * SECOND)]))
    assert [estimate.t_ns for estimate in estimates] == [T0 + 2 * SECOND]
    assert localizer.counters["wifi.duplicate"] == localizer.counters["wifi.out_of_order"] == 1
    assert localizer.counters["wifi.non_finite"] == len(names)
    assert localizer.counters["wifi.clock_set_back"] == 1


def test_likelihood_peaks_where_the_estimate_is() -> None:
    localizer = corridor()
    assert isinstance(localizer, LikelihoodLocalizer)
    localizer.add(scan_at(12.0, T0))
    grid = np.stack([np.arange(0.0, 41.0), np.zeros(41)], axis=1)
    assert localizer.log_likelihood(grid).argmax() == 12


def test_likelihood_has_a_floor_and_integrates_to_one() -> None:
    matches = Matches(np.array([[10.0, 10.0], [30.0, 30.0]]), np.array([0.7, 0.3]))
    x = np.arange(0.25, 40.0, 0.5)
    grid = np.stack(np.meshgrid(x, x), axis=-1).reshape(-1, 2)
    density = np.exp(log_mixture(matches, grid, CALIBRATION, area=1600.0))
    assert density.sum() * 0.25 == pytest.approx(1.0, abs=0.01)
    assert density.min() == pytest.approx(0.1 / 1600.0)


def test_far_matches_are_modes_of_their_own() -> None:
    matches = Matches(np.array([[0.0, 0.0], [30.0, 0.0], [31.0, 0.0]]), np.array([0.4, 0.3, 0.3]))
    found = modes(matches, CALIBRATION)
    assert [mode.weight for mode in found] == pytest.approx([0.6, 0.4])
    assert found[0].mean == pytest.approx([30.5, 0.0])
    assert found[0].covariance == pytest.approx(np.diag([4.25, 4.0]))


def test_covariance_grows_with_the_spread_of_the_neighbours() -> None:
    calibration = Calibration(2.0, 1.0, 1.0, 0.1)
    one = Matches(np.zeros((1, 2)), np.ones(1))
    apart = Matches(np.array([[-3.0, 0.0], [3.0, 0.0]]), np.array([0.5, 0.5]))
    assert calibration.covariance(one) == pytest.approx(np.eye(2))
    assert calibration.covariance(apart) == pytest.approx(np.diag([19.0, 1.0]))


def test_strange_scan_is_doubted() -> None:
    """Twice as far from any fingerprint as usual: a place that was not surveyed."""
    calibration = Calibration(1.0, 1.0, 1.0, 0.1, usual=0.2, growth=4.0)
    usual, strange = (Matches(np.zeros((1, 2)), np.ones(1), strangeness) for strangeness in (0.1, 0.4))
    assert calibration.covariance(usual) == pytest.approx(np.eye(2))
    assert calibration.covariance(strange) == pytest.approx(16.0 * np.eye(2))
    assert modes(strange, calibration)[0].covariance == pytest.approx(16.0 * np.eye(2))
    far = np.array([[8.0, 0.0]])
    assert log_mixture(strange, far, calibration, 1e4)[0] > log_mixture(usual, far, calibration, 1e4)[0]


def test_calibration_passes_through_a_tensor() -> None:
    calibration = Calibration(2.0, 1.0, 1.5, 0.1, 0.3, 4.0)
    assert Calibration.from_tensor(calibration.tensor()) == calibration
    with pytest.raises(ValueError, match="out of range"):
        Calibration.from_tensor(np.zeros(6))
