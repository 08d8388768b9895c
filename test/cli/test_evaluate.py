from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from surveys import corridor_walk, write_survey

from mail_localization.cli import main
from mail_localization.data.recording import RecordingInfo, write_recording
from mail_localization.matching.magnetic_nn import MagneticNnConfig
from mail_localization.training.magnetic_nn import train
from mail_localization.training.options import TrainOptions
from mail_localization.types import ReferencePose

Outcome = subprocess.CompletedProcess[str]
Run = Callable[..., Outcome]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two surveyed walks, two to be judged on, and two models."""
    folder = tmp_path_factory.mktemp("site")
    survey = write_survey(folder / "survey", speeds=(1.0, 1.2), seconds=20.0)
    for number, speed in enumerate((1.1, 0.9)):
        walk = corridor_walk(speed, 20.0, start_ns=10**15 * (number + 1), seed=9 + number)
        write_recording(folder / "test" / f"unseen_{number}", walk, RecordingInfo(device="phone", floor="1"))
    for name, length in (("short_window", 50), ("long_window", 250)):
        config = MagneticNnConfig.from_mapping({"window": {"length": length}})
        train(config, survey, folder / "models" / name, TrainOptions(progress=False))
    return folder


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Run:
    """Run the command in this process; most tests do, a start of Python takes longer than the work."""

    def call(*arguments: object) -> Outcome:
        command = ["evaluate", *map(str, arguments)]
        try:
            code = main(command)
        except SystemExit as usage:
            code = int(str(usage.code))
        return Outcome(command, code, *capfd.readouterr())

    return call


def one_line(outcome: Outcome) -> str:
    """Return the single line of a known error."""
    assert outcome.returncode == 1
    (line,) = [line for line in outcome.stderr.splitlines() if line and "|" not in line]
    assert line.startswith("mail_localization evaluate: error: ")
    return line


def test_several_models_on_several_recordings(site: Path, tmp_path: Path) -> None:
    models = [site / "models" / name for name in ("short_window", "long_window")]
    command = [sys.executable, "-m", "mail_localization", "evaluate", *models, "--bags", site / "test"]
    command += ["--out", tmp_path, "--jobs", "2"]
    outcome = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert outcome.returncode == 0, outcome.stderr
    assert str(tmp_path / "report.html") in outcome.stdout
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert set(summary["models"]) == {"short_window", "long_window"}
    for name, model in summary["models"].items():
        assert name in outcome.stdout
        assert [entry["recording"] for entry in model["per_recording"]] == ["unseen_0", "unseen_1"]
        assert model["ape_m"]["median"] < 0.5
        assert model["real_time_factor"] > 1
        assert model["latency_ms"]["p99"] >= model["latency_ms"]["p50"] > 0
    # 21 instants in each recording; the window of 1 s misses the first, that of 5 s the first five.
    assert summary["models"]["short_window"]["availability"] == pytest.approx(20 / 21)
    assert summary["models"]["long_window"]["availability"] == pytest.approx(16 / 21)
    for name in ("cdf.png", "errors.csv", "recordings/unseen_1/error.png"):
        assert (tmp_path / name).stat().st_size > 0
    estimates = tmp_path / "recordings" / "unseen_1" / "long_window" / "all_estimates.tum"
    assert len(estimates.read_text().splitlines()) > 20


def test_a_nav2_map_lies_under_the_trajectories(run: Run, site: Path, tmp_path: Path) -> None:
    Image.fromarray(np.zeros((40, 300), dtype=np.uint8)).save(tmp_path / "map.pgm")
    (tmp_path / "map.yaml").write_text("image: map.pgm\nresolution: 0.1\norigin: [-2, -2, 0]\n")
    arguments = (site / "models" / "short_window", "--bags", site / "test" / "unseen_0", "--out")
    assert run(*arguments, tmp_path / "plain").returncode == 0
    assert run(*arguments, tmp_path / "mapped", "--map", tmp_path / "map.yaml").returncode == 0
    picture = Path("recordings") / "unseen_0" / "short_window" / "trajectory.png"
    darkness = [
        1 - np.asarray(Image.open(tmp_path / out / picture).convert("L")).mean() / 255 for out in ("plain", "mapped")
    ]
    assert darkness[1] > darkness[0] + 0.05


def test_a_recording_without_reference_is_left_out_and_the_exit_code_says_so(
    run: Run, site: Path, tmp_path: Path
) -> None:
    samples = [s for s in corridor_walk(seconds=5.0) if not isinstance(s, ReferencePose)]
    write_recording(tmp_path / "bags" / "blind", samples, RecordingInfo())
    shutil.copytree(site / "test" / "unseen_0", tmp_path / "bags" / "unseen_0")
    outcome = run(site / "models" / "short_window", "--bags", tmp_path / "bags", "--out", tmp_path / "out")
    assert outcome.returncode == 1
    assert "left out" in outcome.stderr and "blind" in outcome.stderr
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["models"]["short_window"]["recordings"] == 1
    assert "blind" in (tmp_path / "out" / "report.html").read_text()


def test_a_recording_shorter_than_the_window_is_judged_unavailable(run: Run, site: Path, tmp_path: Path) -> None:
    write_recording(tmp_path / "short", corridor_walk(seconds=3.0), RecordingInfo())
    outcome = run(site / "models" / "long_window", "--bags", tmp_path / "short", "--out", tmp_path / "out")
    assert outcome.returncode == 0, outcome.stderr
    model = json.loads((tmp_path / "out" / "summary.json").read_text())["models"]["long_window"]
    assert (model["availability"], model["n_estimates"], model["ape_m"]["mean"]) == (0.0, 0, None)
    assert "shorter than the model" in (tmp_path / "out" / "report.html").read_text()


def test_a_damaged_bag_is_left_out(run: Run, site: Path, tmp_path: Path) -> None:
    bags = tmp_path / "bags"
    for name in ("unseen_0", "unseen_1"):
        shutil.copytree(site / "test" / name, bags / name)
    (bags / "unseen_1" / "metadata.yaml").write_text("rosbag2_bagfile_information: {")
    outcome = run(site / "models" / "short_window", "--bags", bags, "--out", tmp_path / "out")
    assert outcome.returncode == 1
    assert "Traceback" not in outcome.stderr
    assert "unseen_1" in outcome.stderr


def damaged_model(model: Path, folder: Path) -> Path:
    """Copy a model without the end of its weights."""
    shutil.copytree(model, folder / "damaged")
    weights = folder / "damaged" / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    return folder / "damaged"


def test_known_errors_are_one_line(run: Run, site: Path, tmp_path: Path) -> None:
    model, bags, out = site / "models" / "short_window", site / "test", tmp_path / "out"
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    assert "no such model folder" in one_line(run(tmp_path / "none", "--bags", bags, "--out", out))
    assert "not a model folder" in one_line(run(tmp_path / "empty", "--bags", bags, "--out", out))
    assert "damaged" in one_line(run(damaged_model(model, tmp_path), "--bags", bags, "--out", out))
    assert "no rosbag2" in one_line(run(model, "--bags", tmp_path / "empty", "--out", out))
    assert "no such file" in one_line(run(model, "--bags", tmp_path / "none", "--out", out))
    assert "--out" in one_line(run(model, "--bags", bags, "--out", tmp_path / "file"))
    assert "no topic" in one_line(run(model, "--bags", bags, "--out", out, "--topic", "reference=/x"))
    assert "--map-size" in one_line(run(model, "--bags", bags, "--out", out, "--map", tmp_path / "file"))


def test_wrong_usage_exits_with_2(run: Run, site: Path, tmp_path: Path) -> None:
    model, bags = site / "models" / "short_window", site / "test"
    assert run(model, "--bags", bags).returncode == 2
    assert run("--bags", bags, "--out", tmp_path).returncode == 2
    for wrong in (("--jobs", "0"), ("--jobs", "many"), ("--hop", "-1"), ("--rate", "0"), ("--topic", "mag")):
        assert run(model, "--bags", bags, "--out", tmp_path, *wrong).returncode == 2, wrong


@pytest.mark.ros
def test_the_live_node_gives_the_same_errors_as_the_replay(run: Run, site: Path, tmp_path: Path) -> None:
    arguments = (site / "models" / "short_window", "--bags", site / "test" / "unseen_0", "--out")
    assert run(*arguments, tmp_path / "offline").returncode == 0
    outcome = run(*arguments, tmp_path / "live", "--live", "--rate", 4)
    assert outcome.returncode == 0, outcome.stderr
    offline, live = (
        json.loads((tmp_path / way / "summary.json").read_text())["models"]["short_window"]
        for way in ("offline", "live")
    )
    assert live["n_estimates"] == offline["n_estimates"]
    assert live["availability"] == offline["availability"]
    for figures in ("ape_m", "coverage", "within_m"):
        assert live[figures] == pytest.approx(offline[figures])
    assert live["latency_ms"]["p50"] > 0
    assert "live ROS 2 node at 4 x" in (tmp_path / "live" / "report.html").read_text()
