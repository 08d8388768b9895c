from __future__ import annotations

from pathlib import Path

import pytest
from surveys import START_NS, write_survey

from mail_localization.cli import main
from mail_localization.data.recording import Recording


@pytest.fixture
def bag(tmp_path: Path) -> Path:
    """Return a recording of 40 s."""
    return write_survey(tmp_path / "raw", speeds=(1.0,))[0]


def _marks(tmp_path: Path, second_time: float) -> Path:
    file = tmp_path / "marks.csv"
    start = START_NS // 10**9
    file.write_text(f"time,x,y\n{start},0,0\n{start + second_time},30,5\n")
    return file


def test_bag_is_labelled(bag: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "labelled"
    arguments = ["survey", str(bag), "--out", str(out), "--landmarks", str(_marks(tmp_path, 30)), "--site", "lab"]
    assert main(arguments) == 0
    captured = capsys.readouterr()
    assert "2 of them reference positions" in captured.out
    assert "warning: 41 x earlier message on /reference replaced" in captured.err
    recording = Recording(out)
    assert recording.reference().position.tolist() == [[0, 0], [30, 5]]
    assert recording.info.site == "lab"
    assert main(arguments) == 1
    assert "exists already" in capsys.readouterr().err


def test_existing_pose_topic_is_taken(bag: Path, tmp_path: Path) -> None:
    out = tmp_path / "labelled"
    assert main(["survey", str(bag), "--out", str(out), "--poses", "/reference", "--topic", "imu=/imu/data"]) == 0
    assert len(Recording(out).reference().t_ns) == 41


def test_known_error_is_one_line(bag: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["survey", str(bag), "--out", str(tmp_path / "o"), "--landmarks", str(_marks(tmp_path, 300))]
    assert main(arguments) == 1
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("mail_localization survey: error: ")
    assert "lies outside the sensor data" in line


@pytest.mark.parametrize(
    "extra",
    [
        [],
        ["--clicks", "/a", "--poses", "/b"],
        ["--clicks", "/a", "--topic", "magnet=/m"],
        ["--clicks", "/a", "--topic", "mag"],
        ["--clicks", "/a", "--topic", "mag=phone"],
    ],
)
def test_wrong_usage_exits_with_2(bag: Path, tmp_path: Path, extra: list[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["survey", str(bag), "--out", str(tmp_path / "out"), *extra])
    assert stopped.value.code == 2
