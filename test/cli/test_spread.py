"""`import` and `evaluate` over a cluster, and what a second run does not do again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from clusters import cluster
from surveys import corridor_walk, write_survey

from mail_localization.cli import main
from mail_localization.data.recording import Recording, RecordingInfo, find_recordings, write_recording
from mail_localization.matching.magnetic_nn import MagneticNnConfig
from mail_localization.training.magnetic_nn import train
from mail_localization.training.options import TrainOptions

ROW = "{t},{t},0,0.6,9.8,0.1,0.2,0.3,100,0,-240,9.82,0.37,260,{x},107.5,0.58"


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with cluster() as found:
        yield found


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Five runs of MM-Loc, the third of which is not readable."""
    folder = tmp_path / "mmloc" / "scenario_b"
    folder.mkdir(parents=True)
    for number in range(1, 6):
        lines = [ROW.format(t=1000 + 100 * k, x=104 + 0.1 * number * k) for k in range(30)]
        text = "\n".join([",".join(map(str, range(17))), *lines]) + "\n"
        (folder / f"sensor_wifi_1_{number}_timestep100.csv").write_text("nonsense" if number == 3 else text)
    return folder.parent


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, three recordings to judge it on, and one that is no recording."""
    folder = tmp_path_factory.mktemp("site")
    survey = write_survey(folder / "survey", speeds=(1.0, 1.2), seconds=20.0)
    train(
        MagneticNnConfig.from_mapping({"window": {"length": 100}}), survey, folder / "nn", TrainOptions(progress=False)
    )
    for number in range(3):
        walk = corridor_walk(1.1, 10.0, start_ns=10**15 * (number + 1), seed=9 + number)
        write_recording(folder / "test" / f"unseen_{number}", walk, RecordingInfo(device="phone"))
    (folder / "test" / "bad").mkdir()
    (folder / "test" / "bad" / "metadata.yaml").write_text("rosbag2_bagfile_information: {")
    return folder


def test_an_import_over_a_cluster_writes_the_same_recordings(
    dataset: Path, tmp_path: Path, address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    assert main(["import", "mmloc", str(dataset), str(here), "--jobs", "1"]) == 1
    assert main(["import", "mmloc", str(dataset), str(there), "--scheduler", address]) == 1
    assert "left out" in capsys.readouterr().err.splitlines()[-1]
    names = [f"scenario_b/run_0{number}" for number in (1, 2, 4, 5)]
    assert [path.relative_to(there).as_posix() for path in find_recordings([there])] == names
    for one, other in ((Recording(here / name), Recording(there / name)) for name in names):
        assert list(one.samples()) == list(other.samples()) and one.info == other.info
    assert main(["import", "mmloc", str(dataset), str(there), "--scheduler", address]) == 1
    assert "4 recordings exist already and were kept" in capsys.readouterr().out


def evaluate(site: Path, out: Path, *options: str) -> dict[str, Any]:
    """Return the model's figures without those of time."""
    assert main(["evaluate", str(site / "nn"), "--bags", str(site / "test"), "--out", str(out), *options]) == 1
    summary: dict[str, Any] = json.loads((out / "summary.json").read_text())
    assert [entry["recording"] for entry in summary["skipped"]] == ["bad"]
    (model,) = summary["models"].values()
    assert len(model["per_recording"]) == 3
    return {name: value for name, value in model.items() if name not in ("latency_ms", "real_time_factor")}


def test_an_evaluation_over_a_cluster_finds_the_same_errors(
    site: Path, tmp_path: Path, address: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    here = evaluate(site, tmp_path / "here", "--jobs", "1")
    monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", address)
    assert evaluate(site, tmp_path / "there") == here
    assert "left out" in capsys.readouterr().err


def test_an_evaluation_that_is_done_is_not_done_again(
    site: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = evaluate(site, tmp_path, "--jobs", "1")
    assert "earlier run" not in capsys.readouterr().out
    assert evaluate(site, tmp_path, "--jobs", "1") == first
    assert "3 of the replays were finished by an earlier run" in capsys.readouterr().out
