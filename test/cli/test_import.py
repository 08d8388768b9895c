from __future__ import annotations

import json
from pathlib import Path

import pytest

from mail_localization.cli import main
from mail_localization.cli.import_ import _SOURCES
from mail_localization.data.recording import Recording
from mail_localization.data.sources import SOURCES
from mail_localization.data.sources.importer import ImportOptions, import_all, plan_import
from mail_localization.types import MagneticSample
from mail_localization.workers import Spread

ROW = "{t},{t},0,0.6,9.8,0.1,0.2,0.3,100,0,-240,9.82,0.37,260,{x},107.5,0.58"


def _write_run(file: Path, rows: int = 30) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    lines = [ROW.format(t=1000 + 100 * k, x=104 + 0.1 * k) for k in range(rows)]
    file.write_text("\n".join([",".join(map(str, range(17))), *lines]) + "\n")
    return file


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Return a folder with two runs of MM-Loc."""
    folder = tmp_path / "mmloc"
    for number in (1, 2):
        _write_run(folder / "scenario_b" / f"sensor_wifi_1_{number}_timestep100.csv")
    return folder


def _entries(out: Path) -> dict[str, dict[str, object]]:
    return {entry["recording"]: entry for entry in json.loads((out / "import_report.json").read_text())["files"]}


def test_sources_of_the_help_are_those_there_are() -> None:
    assert tuple(SOURCES) == _SOURCES


def test_dataset_becomes_recordings(dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert main(["import", "mmloc", str(dataset), str(out), "--jobs", "2"]) == 0
    recording = Recording(out / "scenario_b" / "run_02")
    first = next(sample for sample in recording.samples() if isinstance(sample, MagneticSample))
    assert (first.t_ns, first.field) == (10**9, pytest.approx((100e-6, 0, -240e-6)))
    assert recording.reference().position[-1] == pytest.approx((106.9, 107.5))
    assert (recording.info.source, recording.info.site) == ("mmloc", "scenario_b")
    printed = capsys.readouterr().out
    assert "scenario_b/run_01" in printed
    assert "2 recordings" in printed
    assert "note: Wi-Fi columns are not imported" in printed
    entry = _entries(out)["scenario_b/run_02"]
    assert (entry["status"], entry["messages"]) == ("written", {"imu": 30, "mag": 30, "reference": 30})


def test_sub_folder_and_single_file_give_the_same_names(dataset: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert main(["import", "mmloc", str(dataset / "scenario_b" / "sensor_wifi_1_1_timestep100.csv"), str(out)]) == 0
    assert main(["import", "mmloc", str(dataset / "scenario_b"), str(out), "--jobs", "1"]) == 0
    assert sorted(p.name for p in (out / "scenario_b").iterdir()) == ["run_01", "run_02"]


def test_existing_recordings_are_kept_unless_told(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    command = ["import", "mmloc", str(dataset), str(out), "--jobs", "1"]
    assert main(command) == 0
    _write_run(dataset / "scenario_b" / "sensor_wifi_1_1_timestep100.csv", rows=10)
    assert main(command) == 0
    assert "2 recordings exist already and were kept" in capsys.readouterr().out
    assert Recording(out / "scenario_b" / "run_01").counts["/imu/mag"] == 30
    assert _entries(out)["scenario_b/run_01"]["status"] == "written"
    assert main([*command, "--overwrite"]) == 0
    assert Recording(out / "scenario_b" / "run_01").counts["/imu/mag"] == 10


def test_overwrite_removes_nothing_but_recordings(dataset: Path, tmp_path: Path) -> None:
    precious = tmp_path / "out" / "scenario_b" / "run_01" / "thesis.txt"
    precious.parent.mkdir(parents=True)
    precious.write_text("mine")
    assert main(["import", "mmloc", str(dataset), str(tmp_path / "out"), "--overwrite", "--jobs", "1"]) == 1
    assert precious.read_text() == "mine"


def test_failed_import_keeps_the_older_recording(dataset: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = ["import", "mmloc", str(dataset), str(out), "--jobs", "1", "--overwrite"]
    assert main(command) == 0
    (dataset / "scenario_b" / "sensor_wifi_1_1_timestep100.csv").write_text("")
    assert main(command) == 1
    assert Recording(out / "scenario_b" / "run_01").counts["/imu/mag"] == 30


def test_unusable_file_is_named_and_the_rest_imported(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = dataset / "scenario_b" / "sensor_wifi_1_3_timestep100.csv"
    broken.write_bytes(bytes(range(256)) * 4)
    out = tmp_path / "out"
    assert main(["import", "mmloc", str(dataset), str(out), "--jobs", "2"]) == 1
    captured = capsys.readouterr()
    assert f"left out: {broken}: no usable data" in captured.err
    assert "Traceback" not in captured.err
    assert "2 recordings" in captured.out
    assert _entries(out)["scenario_b/run_03"]["status"] == "failed"


def test_problems_are_printed_and_reported(dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = dataset / "scenario_b" / "sensor_wifi_1_1_timestep100.csv"
    file.write_text(file.read_text().replace("1500,1500", "300,300").replace("1600,1600", "16oo,1600"))
    out = tmp_path / "out"
    assert main(["import", "mmloc", str(file), str(out)]) == 0
    expected = {"row: time going backwards": 1, "row: unreadable number": 1}
    assert _entries(out)["scenario_b/run_01"]["problems"] == expected
    assert "1 x row: time going backwards" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["mmloc", "{tmp}/absent", "{tmp}/out"], "absent: no such file or folder"),
        (["aalto-magnetic", "{tmp}/mmloc", "{tmp}/out"], "holds no trace of Aalto magnetic"),
        (["mmloc", "{tmp}/mmloc", "{tmp}/out", "--origin", "1", "2"], "leave out --origin"),
        (["mmloc", "{tmp}/mmloc", "{tmp}/mmloc/scenario_b/sensor_wifi_1_1_timestep100.csv"], "cannot be written"),
    ],
)
def test_known_errors_are_one_line(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert main(["import", *(argument.format(tmp=tmp_path) for argument in arguments)]) == 1
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("mail_localization import: error: ")
    assert said in error


def test_two_files_of_one_name_are_refused(dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _write_run(dataset / "copy" / "scenario_b" / "sensor_wifi_1_1_timestep100.csv")
    assert main(["import", "mmloc", str(dataset), str(tmp_path / "out")]) == 1
    assert "would both become 'scenario_b/run_01'" in capsys.readouterr().err


def test_unknown_source_is_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["import", "uji", str(tmp_path), str(tmp_path)])
    assert stopped.value.code == 2


def test_interrupted_import_begins_no_further_file(dataset: Path, tmp_path: Path) -> None:
    for number in range(3, 40):
        _write_run(dataset / "scenario_b" / f"sensor_wifi_1_{number}_timestep100.csv")
    options = ImportOptions("mmloc", tmp_path / "out")
    results = import_all(plan_import("mmloc", dataset), options, Spread(2))
    next(results)
    results.close()  # what Ctrl-C does to the command's loop
    assert len(list((tmp_path / "out" / "scenario_b").iterdir())) < 39
