from __future__ import annotations

import math

from mail_localization.preprocess.excerpt import RATE_HZ, Excerpts
from mail_localization.types import ImuSample, MagneticSample, OdometrySample, WifiReading, WifiScan

SECOND = 1_000_000_000


def _mag(t: float, x: float = 1.0) -> MagneticSample:
    return MagneticSample(round(t * SECOND), (x, 2.0, 3.0))


def test_a_fast_stream_is_thinned_and_a_slow_one_kept_whole() -> None:
    excerpts = Excerpts()
    for k in range(1000):
        excerpts.add(_mag(k / 100))
        if k % 10 == 0:
            excerpts.add(ImuSample(k * SECOND // 100, (0.0, 0.0, 9.8), (0.1, 0.0, 0.0)))
    excerpt = excerpts.excerpt()
    assert len(excerpt.mag) == 10 * RATE_HZ
    assert excerpt.imu.shape == (100, 6)
    assert excerpt.imu[0].tolist() == [0.0, 0.0, 9.8, 0.1, 0.0, 0.0]


def test_only_the_newest_seconds_are_kept() -> None:
    excerpts = Excerpts(2.0)
    for k in range(500):
        excerpts.add(_mag(k / 25))
    assert excerpts.excerpt().mag_ns[0] == _mag(450 / 25).t_ns


def test_late_wild_and_unreal_samples_are_not_kept_and_a_clock_set_back_starts_anew() -> None:
    excerpts = Excerpts()
    for sample in (_mag(1000), _mag(1001), _mag(999), _mag(1001), _mag(5e6), _mag(1002), _mag(1003, math.nan)):
        excerpts.add(sample)
    assert (excerpts.excerpt().mag_ns // SECOND).tolist() == [1000, 1001, 1002]
    for t in (10, 11):
        excerpts.add(_mag(t))
    assert (excerpts.excerpt().mag_ns // SECOND).tolist() == [10, 11]


def test_scans_are_kept_whole_and_odometry_is_not() -> None:
    excerpts = Excerpts(10.0)
    scan = WifiScan(SECOND, (WifiReading("aa:bb:cc:00:00:01", -50.0),))
    excerpts.add(scan)
    excerpts.add(OdometrySample(SECOND, 1.0, 2.0, 0.0))
    assert excerpts.excerpt().scans == (scan,)
    assert excerpts.excerpt().mag.shape == (0, 3)


def test_hostile_scans_fill_no_memory() -> None:
    excerpts = Excerpts(120.0)
    readings = tuple(WifiReading(f"{k:012x}", -50.0) for k in range(5000))
    for second in range(200):
        excerpts.add(WifiScan(second * SECOND, readings))
    assert sum(len(scan.readings) for scan in excerpts.excerpt().scans) <= 40 * 512


def test_pieces_hold_every_sample_once_and_leave_out_pauses() -> None:
    excerpts = Excerpts()
    for k in range(25 * 100):
        excerpts.add(_mag(k / 25))
    hour = 3600.0
    for k in range(25 * 50):
        excerpts.add(_mag(hour + k / 25))
    pieces = list(excerpts.excerpt().pieces(50.0))
    assert sum(len(piece.mag) for piece in pieces) == 25 * 150
    assert all(0 < piece.seconds <= 51.0 for piece in pieces)


def test_forgetting_one_stream_leaves_the_others() -> None:
    excerpts = Excerpts()
    excerpts.add(_mag(1))
    excerpts.add(ImuSample(SECOND, (0.0, 0.0, 9.8), (0.0, 0.0, 0.0)))
    excerpts.forget(MagneticSample)
    assert (len(excerpts.excerpt().mag), len(excerpts.excerpt().imu)) == (0, 1)
