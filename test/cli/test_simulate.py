from __future__ import annotations

import json
from pathlib import Path

import pytest

from mail_localization.cli import main
from mail_localization.data.recording import Recording

SMALL = "rounds: {test: 1, robot_train: 0, robot_test: 1}\n"


@pytest.fixture(scope="module")
def simulated(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("simulate")
    (folder / "small.yaml").write_text(SMALL)
    out = folder / "out"
    assert main(["simulate", str(out), "--config", str(folder / "small.yaml"), "--seed", "5", "--rounds", "2"]) == 0
    return out


def test_layout_of_the_output(simulated: Path) -> None:
    assert sorted(p.name for p in simulated.iterdir()) == ["map.pgm", "map.yaml", "site.json", "test", "train"]
    assert [p.name for p in sorted((simulated / "train").iterdir())] == [
        "train_01_hand_phone_100cm_s",
        "train_02_chest_phone_150cm_s",
    ]
    assert len(list((simulated / "test").iterdir())) == 2


def test_recordings_read_back_with_all_topics_and_reference(simulated: Path) -> None:
    robot = next(Recording(p) for p in (simulated / "test").iterdir() if "robot" in p.name)
    assert set(robot.counts) == {"/imu/data", "/imu/mag", "/wifi/scan", "/odom", "/reference"}
    assert robot.info.device == "robot_device"
    assert robot.info.extra["part"] == "test"
    assert len(robot.reference().t_ns) == robot.counts["/reference"] > 40
    assert sum(1 for _ in robot.samples()) == sum(robot.counts.values()) - robot.counts["/reference"]
    assert not robot.problems


def test_truth_names_settings_and_sources(simulated: Path) -> None:
    truth = json.loads((simulated / "site.json").read_text())
    assert truth["settings"]["seed"] == 5
    assert truth["settings"]["rounds"]["train"] == 2
    assert len(truth["site"]["dipoles"]["position"]) == len(truth["site"]["dipoles"]["moment"]) > 100
    assert len(truth["site"]["access_points"]) == 20


def test_existing_output_is_not_touched(simulated: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", str(simulated)]) == 1
    assert "exists already" in capsys.readouterr().err


def test_output_that_is_a_file_is_one_clear_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert main(["simulate", str(tmp_path / "file")]) == 1
    assert "choose another output folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "config", "message"),
    [
        (["--rounds", "0"], "", "train: 0 is outside"),
        (["--seed", "-1"], "", "negative"),
        ([], "site: {plan: {widht: 40}}", "did you mean 'width'"),
    ],
)
def test_wrong_settings_are_one_clear_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], config: str, message: str
) -> None:
    (tmp_path / "c.yaml").write_text(config)
    assert main(["simulate", str(tmp_path / "out"), "--config", str(tmp_path / "c.yaml"), *arguments]) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()
