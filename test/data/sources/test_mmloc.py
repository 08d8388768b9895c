from __future__ import annotations

from pathlib import Path

import pytest

from mail_localization.data.sources.common import Trace
from mail_localization.data.sources.mmloc import name, read
from mail_localization.errors import RecordingError
from mail_localization.types import ImuSample, MagneticSample

ROW = "{t},{t}.0,0.0,0.6,9.8,0.1,0.2,0.3,100.0,0.0,-240.0,9.82,0.37,260.0,{x},107.5,0.58,0.25"


def _read(tmp_path: Path, rows: list[str]) -> Trace:
    file = tmp_path / "sensor_wifi_1_3_timestep100.csv"
    header = ",".join(str(k) for k in range(18))
    file.write_text("\n".join([header, *rows]) + "\n")
    return read(file)


def _rows(count: int = 3) -> list[str]:
    return [ROW.format(t=1200 + 100 * k, x=104.0 + 0.1 * k) for k in range(count)]


def test_units_times_and_references(tmp_path: Path) -> None:
    trace = _read(tmp_path, _rows())
    mag, imu = trace.samples[0], trace.samples[3]
    assert isinstance(mag, MagneticSample)
    assert (mag.t_ns, mag.field) == (1_200_000_000, pytest.approx((100e-6, 0, -240e-6)))
    assert isinstance(imu, ImuSample)
    assert (imu.acceleration, imu.angular_velocity, imu.orientation) == ((0, 0.6, 9.8), (0.1, 0.2, 0.3), None)
    assert [(p.t_ns, p.x, p.y) for p in trace.references][2] == (1_400_000_000, pytest.approx(104.2), 107.5)
    assert not +trace.problems
    assert len(trace.samples) == 6
    assert any("Wi-Fi columns are not imported" in note for note in trace.notes)


def test_runs_are_named_by_scenario_and_number() -> None:
    assert name(Path("d/scenario_a/sensor_wifi_timestep100_11.csv")) == "scenario_a/run_11"
    assert name(Path("d/scenario_b/sensor_wifi_1_3_timestep100.csv")) == "scenario_b/run_03"
    assert name(Path("d/other/x.csv")) == "x"


def test_blank_last_line_is_no_damage(tmp_path: Path) -> None:
    assert not +_read(tmp_path, [*_rows(), ""]).problems


@pytest.mark.parametrize(
    ("whole", "damaged", "kind"),
    [
        (",107.5,0.58,0.25", "", "wrong number of fields"),
        ("-240.0", "-24O", "row: unreadable number"),
        ("-240.0", "-340.0", "magnetic vector and its norm disagree"),
        ("1300,1300", "900,900", "row: time going backwards"),
        ("1300,1300", "1200,1200", "row: repeated time"),
    ],
)
def test_damaged_row_is_counted_and_left_out(tmp_path: Path, whole: str, damaged: str, kind: str) -> None:
    rows = _rows(4)
    rows[1] = rows[1].replace(whole, damaged)
    trace = _read(tmp_path, rows)
    assert +trace.problems == {kind: 1}
    assert len(trace.samples) == 6


def test_file_without_data_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match=r"timestep100\.csv: no usable data"):
        _read(tmp_path, [])
