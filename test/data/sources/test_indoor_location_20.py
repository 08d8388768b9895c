from __future__ import annotations

from pathlib import Path

import pytest

from mail_localization.data.sources.common import Trace
from mail_localization.data.sources.indoor_location_20 import find, name, read
from mail_localization.errors import RecordingError
from mail_localization.types import ImuSample, MagneticSample, WifiScan

MS = 1_000_000
HEADER = """#\tstartTime:1574308587000
#\tSiteID:5dbc\tSiteName:杭州\tFloorId:5e\tFloorName:F2
#\tBrand:OPPO\tModel:PBCM10\tAndroidName:8.1.0\tAPILevel:27\t
"""
ROWS = """1574308587000\tTYPE_WAYPOINT\t10.0\t20.0
1574308587100\tTYPE_ACCELEROMETER\t0.0\t0.0\t9.8\t2
1574308587100\tTYPE_MAGNETIC_FIELD\t21.0\t8.0\t-22.0\t3
1574308587100\tTYPE_GYROSCOPE\t0.1\t0.2\t0.3\t3
1574308587100\tTYPE_ROTATION_VECTOR\t0.0\t0.0\t0.6\t3
1574308587100\tTYPE_BLUE\ta\tb\t-60
1574308588000\tTYPE_WIFI\tnet\t06:74:9c:ba:7b:6f\t-47\t2412\t1574308585500
1574308588000\tTYPE_WIFI\t\t04:40:a9:a1:90:61\t-49\t5220\t1574308588000
1574308589000\tTYPE_WAYPOINT\t12.0\t20.5
"""


def _read(tmp_path: Path, rows: str = ROWS) -> Trace:
    folder = tmp_path / "site1" / "F2" / "path_data_files"
    folder.mkdir(parents=True, exist_ok=True)
    (folder.parent / "floor_info.json").write_text('{"map_info": {"height": 219.5, "width": 236.7}}')
    (folder / "ab12.txt").write_text(HEADER + rows, encoding="utf-8")
    return read(folder / "ab12.txt")


def test_units_times_and_orientation(tmp_path: Path) -> None:
    trace = _read(tmp_path)
    mag, imu, scan = trace.samples
    assert isinstance(mag, MagneticSample)
    assert mag.t_ns == 1574308587100 * MS
    assert mag.field == pytest.approx((21e-6, 8e-6, -22e-6))
    assert isinstance(imu, ImuSample)
    assert (imu.acceleration, imu.angular_velocity) == ((0, 0, 9.8), (0.1, 0.2, 0.3))
    assert imu.orientation == pytest.approx((0, 0, 0.6, 0.8))
    assert isinstance(scan, WifiScan)
    assert [(r.bssid, r.rssi_dbm, r.frequency_mhz, r.ssid, r.age) for r in scan.readings] == [
        ("06:74:9c:ba:7b:6f", -47, 2412, "net", 2.5),
        ("04:40:a9:a1:90:61", -49, 5220, "", 0.0),
    ]
    assert [(p.t_ns, p.x, p.y) for p in trace.references] == [
        (1574308587000 * MS, 10.0, 20.0),
        (1574308589000 * MS, 12.0, 20.5),
    ]
    assert not +trace.problems


def test_info_comes_from_header_and_folders(tmp_path: Path) -> None:
    info = _read(tmp_path).info
    assert (info.device, info.site, info.floor) == ("OPPO PBCM10", "site1", "F2")
    assert info.extra == {"site_id": "5dbc", "floor_id": "5e", "floor_width": "236.7", "floor_height": "219.5"}


def test_files_are_found_and_named_by_site_and_floor(tmp_path: Path) -> None:
    _read(tmp_path)
    (file,) = find(tmp_path / "site1")
    assert name(file) == "site1/F2/ab12"
    assert name(Path("elsewhere/ab12.txt")) == "ab12"


def test_two_records_in_one_line_are_split(tmp_path: Path) -> None:
    trace = _read(tmp_path, ROWS.replace("-22.0\t3\n", "-22.0\t3"))
    assert len(trace.samples) == 3
    assert +trace.problems == {"two records in one line, split": 1}


@pytest.mark.parametrize(
    ("whole", "damaged", "kind"),
    [
        ("21.0\t8.0", "21.0", "TYPE_MAGNETIC_FIELD: wrong number of fields"),
        ("21.0\t8.0", "21.0\t8..0", "TYPE_MAGNETIC_FIELD: unreadable number"),
        ("net\t06:74", "net\t06", "TYPE_WIFI: damaged line"),
        ("TYPE_BLUE\ta", "\0\0\ta", "damaged line"),
        ("20.5\n", "20.5", "file ends inside a line"),
        ("1574308587100\tTYPE_GYROSCOPE", "1574308587100\tTYPE_GYRO", "missing sensor: gyroscope"),
    ],
)
def test_damage_is_counted_and_the_rest_read(tmp_path: Path, whole: str, damaged: str, kind: str) -> None:
    trace = _read(tmp_path, ROWS.replace(whole, damaged, 1))
    assert trace.problems[kind] == 1
    assert len(trace.samples) >= 2


def test_file_without_data_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match=r"ab12\.txt: no usable data"):
        _read(tmp_path, "")
