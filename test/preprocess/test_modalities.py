from __future__ import annotations

import numpy as np
import pytest
from modal_surveys import modal_walk, scan_at, without_references
from surveys import SECOND_NS, START_NS

from mail_localization.errors import ConfigError
from mail_localization.preprocess.modalities import (
    ModalitySettings,
    ModalWindow,
    ModalWindows,
    inertial_features,
    levelled,
)
from mail_localization.types import ImuSample, MagneticSample, Sample, WifiScan

SETTINGS = ModalitySettings.from_mapping(
    {
        "window": {"rate_hz": 10.0, "length": 20, "hop": 5},
        "magnetic": {"transform": "raw"},
        "inertial": {"length": 10},
    }
)


def made(samples: list[Sample], maker: ModalWindows | None = None) -> list[ModalWindow]:
    return list((maker or ModalWindows(SETTINGS)).all(samples))


def has(window: ModalWindow) -> str:
    return "".join(
        ("i" if window.imu is not None else "", "m" if window.mag is not None else "", "w" * bool(window.levels))
    )


def since(window: ModalWindow) -> float:
    return (window.t_ns - START_NS) / SECOND_NS


def test_each_modality_comes_in_when_its_own_window_is_full() -> None:
    windows = made(without_references(modal_walk(seconds=4.0)))
    # Wi-Fi after the first scan, 1 s of IMU, 2 s of magnetometer: an instant every half second.
    first = [(since(w), has(w)) for w in windows[:5]]
    assert first == [(0.0, ""), (0.5, "w"), (1.0, "iw"), (1.5, "iw"), (2.0, "imw")]
    assert {has(w) for w in windows[4:]} == {"imw"}
    assert windows[-1].imu is not None and windows[-1].imu.shape == (10, 9)


def test_stopped_magnetometer_is_missing_and_not_repeated() -> None:
    walk = without_references(modal_walk(seconds=10.0))
    torn = [s for s in walk if not (isinstance(s, MagneticSample) and s.t_ns > START_NS + 5 * SECOND_NS)]
    kept = [w for w in made(torn) if since(w) > 5.0]
    assert [since(w) for w in kept][:3] == [5.5, 6.0, 6.5]
    assert {has(w) for w in kept} == {"iw"}


def test_sensor_that_lags_a_little_is_waited_for() -> None:
    walk = without_references(modal_walk(seconds=6.0))
    delayed = sorted(walk, key=lambda s: s.t_ns + 200_000_000 * isinstance(s, ImuSample))
    plain, late = made(walk), made(delayed)
    assert {has(w) for w in late if since(w) >= 2.0} == {"imw"}
    # The last instant still waits for the IMU when the samples end.
    assert [w.t_ns for w in late] == [w.t_ns for w in plain][: len(late)]


def test_sensor_that_lags_too_much_is_counted_and_left_out() -> None:
    walk = without_references(modal_walk(seconds=8.0))
    delayed = sorted(walk, key=lambda s: s.t_ns + 2 * SECOND_NS * isinstance(s, ImuSample))
    maker = ModalWindows(SETTINGS)
    windows = made(delayed, maker)
    assert {has(w) for w in windows if 2.0 <= since(w) <= 8.0} == {"mw"}
    assert maker.counters["imu.late"] > 5


def test_stale_wifi_is_missing() -> None:
    walk = without_references(modal_walk(seconds=12.0))
    torn = [s for s in walk if not (isinstance(s, WifiScan) and s.t_ns > START_NS)]
    windows = made(torn)
    max_age = SETTINGS.wifi.max_age
    assert {has(w) for w in windows if 2.0 <= since(w) <= max_age} == {"imw"}
    assert {has(w) for w in windows if since(w) > max_age} == {"im"}


def test_wifi_alone_makes_a_window_of_each_scan() -> None:
    scans = [scan_at(START_NS + k * 3 * SECOND_NS, float(k)) for k in range(4)]
    assert [(since(w), has(w)) for w in made(list(scans))] == [(0.0, "w"), (3.0, "w"), (6.0, "w"), (9.0, "w")]


def test_scan_stamped_far_ahead_is_not_fresh_for_ever() -> None:
    walk = without_references(modal_walk(seconds=6.0, streams=("mag", "imu")))
    ahead = [scan_at(START_NS + 600 * SECOND_NS, 0.0), *walk]
    assert {has(w) for w in made(list(ahead)) if 2.0 <= since(w) <= 6.0} == {"im"}


def test_bag_loop_and_reset_give_the_same_windows_again() -> None:
    walk, maker = without_references(modal_walk(seconds=6.0)), ModalWindows(SETTINGS)
    first, again = made(walk, maker), made(walk, maker)
    maker.reset()
    fresh = made(walk, maker)
    assert [(w.t_ns, has(w)) for w in fresh] == [(w.t_ns, has(w)) for w in first]
    # A jump back needs a second sample to be believed: only the start may differ.
    assert [(w.t_ns, has(w)) for w in again if since(w) >= 2.5] == [(w.t_ns, has(w)) for w in first if since(w) >= 2.5]
    for a, b in zip(first, fresh, strict=True):
        np.testing.assert_array_equal(a.mag if a.mag is not None else 0, b.mag if b.mag is not None else 0)


def test_levelling_takes_the_tilt_out() -> None:
    up = np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [0.6, 0.0, 0.8]])
    np.testing.assert_allclose(levelled(9.8 * up, up), [[0, 0, 9.8]] * 3, atol=1e-12)
    # Turned about the x axis by 90 degrees: what pointed along x still does.
    np.testing.assert_allclose(levelled(np.array([1.0, 0.0, 0.0]), up[1]), [1, 0, 0], atol=1e-12)


def test_sensor_frame_keeps_the_numbers() -> None:
    rows = np.arange(12.0).reshape(2, 6)
    np.testing.assert_array_equal(inertial_features(rows, "sensor"), rows.astype(np.float32))


@pytest.mark.parametrize("names", [["imu", "imu"], ["gps"], []])
def test_wrong_modalities_are_named(names: list[str]) -> None:
    with pytest.raises(ConfigError, match=r"modalities: .* must be some of imu, mag, wifi"):
        ModalitySettings.from_mapping({"modalities": names})
