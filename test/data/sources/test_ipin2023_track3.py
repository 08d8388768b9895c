from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mail_localization.data.sources.common import LatLon, Problems, Trace
from mail_localization.data.sources.ipin2023_track3 import ORIGIN, read, to_app_clock
from mail_localization.errors import RecordingError
from mail_localization.types import ImuSample, MagneticSample, WifiScan

CREATED_NS = 1686731729 * 10**9
"""2023-06-14 10:35:29 +02:00."""
HEADER = """% LogFile created by the 'GetSensorData' App for Android.
% Date of creation: Wed Jun 14 10:35:29 GMT+02:00 2023
% Manufacturer:            	samsung
% Model:                   	SM-A520F
"""
ROWS = """
MAGN;0.1040;67164.1000;20.0;-7.0;-24.0;0
MAGN;0.1240;67164.1200;20.0;-7.0;-24.0;0
ACCE;0.1050;67164.1000;0.0;0.0;9.8;3
GYRO;0.1050;67164.1000;0.1;0.2;0.3;3
AHRS;0.1050;67164.1000;0.0;0.0;73.7;0.0;0.0;0.6;3
WIFI;0.6605;67164.6000;net;20:23:00:00:01:62;2437;-55
POSI;0.2000;1;49.4609;11.1104;-2;100
POSI;0.5000;2;49.4609;11.11041;-2;100
"""


def _read(tmp_path: Path, rows: str = ROWS, header: str = HEADER, origin: LatLon | None = None) -> Trace:
    file = tmp_path / "log.txt"
    file.write_text(header + rows)
    return read(file, origin)


def test_units_times_and_orientation(tmp_path: Path) -> None:
    trace = _read(tmp_path)
    first, imu, second, scan = trace.samples
    assert isinstance(first, MagneticSample)
    assert first.field == pytest.approx((20e-6, -7e-6, -24e-6))
    # The app read the first row at 0.104 s of its clock; the sensor's interval is kept.
    assert first.t_ns == CREATED_NS + 104_000_000
    assert isinstance(second, MagneticSample)
    assert second.t_ns - first.t_ns == 20_000_000
    assert isinstance(imu, ImuSample)
    assert (imu.acceleration, imu.angular_velocity) == ((0, 0, 9.8), (0.1, 0.2, 0.3))
    assert imu.orientation == pytest.approx((0, 0, 0.6, 0.8))
    assert isinstance(scan, WifiScan)
    assert scan.t_ns == CREATED_NS + 660_500_000
    (reading,) = scan.readings
    assert (reading.bssid, reading.rssi_dbm, reading.frequency_mhz) == ("20:23:00:00:01:62", -55, 2437)
    # Sensor time 67164.6 is 0.604 s of the app's clock.
    assert reading.age == pytest.approx(0.0565)
    assert not +trace.problems


def test_marks_are_metres_from_the_fixed_origin(tmp_path: Path) -> None:
    trace = _read(tmp_path)
    first, second = trace.references
    assert (first.t_ns, second.t_ns) == (CREATED_NS + 200_000_000, CREATED_NS + 500_000_000)
    assert (first.x, first.y) == pytest.approx((0, 0), abs=1e-9)
    # 0.00001 degrees of longitude at 49.46 degrees north.
    assert (second.x, second.y) == pytest.approx((0.725, 0), abs=0.001)
    assert trace.info.origin_lat_lon == ORIGIN


def test_another_origin_can_be_given(tmp_path: Path) -> None:
    trace = _read(tmp_path, origin=(49.4609, 11.11041))
    assert trace.references[1].x == pytest.approx(0, abs=1e-9)
    assert trace.info.origin_lat_lon == (49.4609, 11.11041)


def test_marks_of_another_building_are_not_placed_in_silence(tmp_path: Path) -> None:
    trace = _read(tmp_path, ROWS.replace(";49.4609;11.11", ";39.9938;-0.07"))
    assert trace.references == []
    assert trace.problems["reference more than 10 km from the origin (see --origin)"] == 2


def test_info_comes_from_header_and_marks(tmp_path: Path) -> None:
    info = _read(tmp_path).info
    assert (info.device, info.floor, info.site) == ("samsung SM-A520F", "-2", "building 100")


def test_delays_of_the_app_do_not_move_the_sensor_rows() -> None:
    problems = Problems()
    sensor = 5000 + np.arange(1000) * 0.02
    delay = np.random.default_rng(0).exponential(0.01, 1000)
    mapped, offset = to_app_clock(sensor - 4990 + delay, sensor, problems, "MAGN")
    assert offset == pytest.approx(-4990, abs=1e-3)
    assert np.diff(mapped) == pytest.approx(0.02, abs=1e-9)
    assert not +problems


def test_one_wild_sensor_stamp_takes_the_app_time() -> None:
    problems = Problems()
    sensor = 5000 + np.arange(100) * 0.02
    app = sensor - 4990
    sensor[50] += 1e6
    mapped, _ = to_app_clock(app, sensor, problems, "MAGN")
    assert mapped == pytest.approx(app)
    assert +problems == {"MAGN: sensor time off by more than 1 s, app time used": 1}


def test_jumping_sensor_clock_is_given_up() -> None:
    problems = Problems()
    app = np.arange(100) * 0.02
    mapped, offset = to_app_clock(app, np.where(app < 1, app, app + 60), problems, "MAGN")
    assert (mapped.tolist(), offset) == (app.tolist(), None)
    assert problems == {"MAGN: sensor clock jumps, app time used": 1}


def test_drift_between_the_clocks_is_reported() -> None:
    problems = Problems()
    app = np.arange(1000) * 0.02
    to_app_clock(app, app * 0.99, problems, "MAGN")
    assert +problems == {"MAGN: sensor clock drifts by more than 50 ms": 1}


@pytest.mark.parametrize(
    ("whole", "damaged", "kind"),
    [
        ("MAGN;0.1240;67164.1200;20.0;", "MAGN;0.1240;67164.1200;", "MAGN: wrong number of fields"),
        ("MAGN;0.1240;67164.1200;20.0;", "MAGN;0.1240;67164.1200;2o;", "MAGN: unreadable number"),
        ("AHRS;", "AHRX;", "missing sensor: orientation"),
        ("WIFI;0.6605", "WIFI;x", "WIFI: damaged line"),
        ("POSI;0.2000;1;49", "POSI;0.2000;1;x", "fewer than 2 reference positions"),
        ("11.11041;-2", "11.11041;0", "marks on several floors"),
        ("\nACCE;", "\n\x00\x01;ACCE;", "damaged line"),
    ],
)
def test_damage_is_counted_and_the_rest_read(tmp_path: Path, whole: str, damaged: str, kind: str) -> None:
    trace = _read(tmp_path, ROWS.replace(whole, damaged, 1))
    assert sum(count for found, count in trace.problems.items() if found.startswith(kind)) == 1
    assert len(trace.samples) >= 2


def test_missing_date_is_reported(tmp_path: Path) -> None:
    trace = _read(tmp_path, header="% nothing\n")
    assert trace.samples[0].t_ns == 104_000_000
    assert trace.problems["no date of creation: times count from 1970"] == 1


def test_file_without_data_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match=r"log\.txt: no usable data"):
        _read(tmp_path, "")
