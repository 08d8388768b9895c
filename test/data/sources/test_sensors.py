from __future__ import annotations

import math

import numpy as np
import pytest

from mail_localization.data.sources import sensors
from mail_localization.data.sources.common import Problems, Stream
from mail_localization.types import FloatArray, MagneticSample

BSSID = "04:40:A9:a1:90:61"


def _stream(values: FloatArray | list[list[float]], step: float = 0.02, start: float = 1.0) -> Stream:
    table = np.array(values, dtype=np.float64)
    t_ns = np.array([round((start + k * step) * 1e9) for k in range(len(table))], dtype=np.int64)
    return Stream(t_ns, table)


def test_microtesla_become_tesla() -> None:
    problems = Problems()
    (sample,) = sensors.magnetic_samples(_stream([[20, -30, 0]]), problems)
    assert (sample.t_ns, sample.field) == (10**9, pytest.approx((20e-6, -30e-6, 0)))
    assert not +problems


def test_tesla_are_recognised() -> None:
    problems = Problems()
    (sample,) = sensors.magnetic_samples(_stream([[2e-5, 0, 4e-5]]), problems)
    assert sample.field == (2e-5, 0, 4e-5)
    assert +problems == {"magnetometer already in tesla, not microtesla": 1}


@pytest.mark.parametrize("strength", [0.5, 0.05, 50_000])
def test_other_magnetic_units_are_left_out_by_name(strength: float) -> None:
    problems = Problems()
    assert sensors.magnetic_samples(_stream([[strength, 0, 0]]), problems) == []
    assert any("neither microtesla nor tesla" in kind for kind in problems)


def test_strong_field_is_kept_and_doubted() -> None:
    problems = Problems()
    assert len(sensors.magnetic_samples(_stream([[500, 0, 0]]), problems)) == 1
    assert +problems == {"median |B| 500 microtesla: strong bias, or another unit": 1}


def test_rows_in_another_unit_than_the_rest_are_left_out() -> None:
    problems = Problems()
    rows = [[40.0, 0, 0], [40e-6, 0, 0], [0, 0, 0], [40, 0, 0], [41, 0, 0]]
    assert len(sensors.magnetic_samples(_stream(rows), problems)) == 3
    assert +problems == {"magnetometer: |B| outside 1 to 5000 microtesla": 2}


def test_gyroscope_and_orientation_are_interpolated_at_accelerometer_stamps() -> None:
    problems = Problems()
    acc = _stream([[0, 0, 9.8]], start=1.01)
    gyro = _stream([[0.0, 0, 0], [1.0, 2, 3]], start=1.0)
    half = math.sin(math.pi / 4)
    turn = _stream([[0, 0, 0, 1], [0, 0, -half, -half]], start=1.0)
    (sample,) = sensors.imu_samples(acc, gyro, turn, problems)
    assert sample.angular_velocity == pytest.approx((0.5, 1.0, 1.5))
    # Halfway to 90 degrees about z, although the second quaternion came with the other sign.
    assert sample.orientation == pytest.approx((0, 0, math.sin(math.pi / 8), math.cos(math.pi / 8)))
    assert not +problems


def test_gap_of_a_sensor_is_not_bridged() -> None:
    problems = Problems()
    acc = _stream([[0, 0, 9.8]] * 3, step=1.0)
    gyro = _stream([[0, 0, 0]] * 2, step=2.0)
    turn = _stream([[0, 0, 0, 1]])
    first, last = sensors.imu_samples(acc, gyro, turn, problems)
    assert (first.orientation, last.orientation) == ((0, 0, 0, 1), None)
    assert +problems == {
        "accelerometer without gyroscope beside it": 1,
        "accelerometer without orientation beside it": 1,
    }


def test_missing_sensors_are_named() -> None:
    problems = Problems()
    nothing = _stream(np.empty((0, 3)))
    assert sensors.imu_samples(nothing, _stream([[0, 0, 0]]), None, problems) == []
    assert sensors.magnetic_samples(nothing, problems) == []
    assert sensors.wifi_scans([], problems) == []
    assert +problems == {
        "missing sensor: accelerometer": 1,
        "missing sensor: magnetometer": 1,
        "missing sensor: Wi-Fi": 1,
    }


def test_acceleration_in_g_is_converted() -> None:
    problems = Problems()
    (sample,) = sensors.imu_samples(_stream([[0, 0, 1.0]]), _stream([[0, 0, 0]]), None, problems)
    assert sample.acceleration == pytest.approx((0, 0, 9.80665))
    assert +problems == {"accelerometer in g, converted to m/s^2": 1}


def test_implausible_inertial_units_are_left_out() -> None:
    problems = Problems()
    assert sensors.imu_samples(_stream([[0, 0, 980.0]]), _stream([[90, 0, 0]]), None, problems) == []
    assert sum("left out" in kind for kind in problems) == 2


def test_rotation_vector_gets_its_fourth_component() -> None:
    problems = Problems()
    turned = sensors.rotation_vector_stream(_stream([[0, 0, 0.6], [0, 0, 1.0000001], [2, 0, 0]]), problems)
    assert turned.values == pytest.approx(np.array([[0, 0, 0.6, 0.8], [0, 0, 1, 0]]))
    assert +problems == {"orientation: rotation vector longer than 1": 1}


def test_wifi_results_are_grouped_with_their_age() -> None:
    problems = Problems()
    rows = [
        sensors.wifi_row(5 * 10**9, seen, bssid=BSSID, ssid="net", rssi="-47", frequency="2412")
        for seen in (4 * 10**9, 9 * 10**9)
    ]
    (scan,) = sensors.wifi_scans([row for row in rows if row], problems)
    assert scan.t_ns == 5 * 10**9
    assert [reading.age for reading in scan.readings] == [1.0, 0.0]
    assert (scan.readings[0].bssid, scan.readings[0].rssi_dbm) == (BSSID.lower(), -47)
    assert +problems == {"Wi-Fi result seen after its scan": 1}


@pytest.mark.parametrize(
    ("bssid", "rssi", "frequency"),
    [("04:40:a9", "-47", "2412"), (BSSID, "47", "2412"), (BSSID, "", "2412"), (BSSID, "-47", "2.4G")],
)
def test_damaged_wifi_results_are_refused(bssid: str, rssi: str, frequency: str) -> None:
    assert sensors.wifi_row(0, 0, bssid=bssid, ssid="", rssi=rssi, frequency=frequency) is None


def test_degrees_become_metres_east_and_north() -> None:
    # One second of arc at 60 degrees north: 30.95 m along the meridian, half an equatorial one along the parallel.
    second = 1 / 3600
    ((east, north),) = sensors.local_east_north(np.array([[60 + second, 10 + second]]), (60.0, 10.0))
    assert (east, north) == pytest.approx((15.5, 30.95), abs=0.01)


def test_reference_that_nobody_can_have_walked_to_is_left_out() -> None:
    problems = Problems()
    samples = [MagneticSample(second * 10**9, (0, 0, 0)) for second in (1, 9)]
    places = _stream([[0, 0], [1, 0], [900, 0], [3, 0], [4, 0], [80, 0]], step=1.0)
    assert [pose.x for pose in sensors.reference_poses(places, samples, problems)] == [0, 1, 3, 4, 80]
    assert +problems == {
        "reference faster than 5 m/s from and to its neighbours": 1,
        "step between references faster than 5 m/s, kept": 1,
    }


def test_references_far_off_in_time_or_place_are_counted() -> None:
    problems = Problems()
    samples = [MagneticSample(10**10, (0, 0, 0)), MagneticSample(2 * 10**10, (0, 0, 0))]
    places = _stream([[0, 0], [1, 1], [50_000, 0], [2, 2]], step=7.0, start=8.0)
    poses = sensors.reference_poses(places, samples, problems)
    assert [(pose.x, pose.y) for pose in poses] == [(0, 0), (1, 1)]
    assert +problems == {
        "reference more than 10 km from the origin (see --origin)": 1,
        "reference outside the time of the sensors": 1,
    }
