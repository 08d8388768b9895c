"""Exported models from the command line, on a machine without torch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from methods_small import SMALL
from modal_surveys import write_modal_survey

from mail_localization.cli import main
from mail_localization.localizer import load_localizer
from mail_localization.models.artifact import load_model
from mail_localization.models.backend import NETWORK_FILE

WITHOUT_TORCH = Path(__file__).parents[1] / "without_torch"


@pytest.fixture(scope="module")
def walks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("walks")
    write_modal_survey(folder)
    return folder


def trained(walks: Path, folder: Path, method: str) -> Path:
    settings = SMALL[method]
    if "training" in settings:
        settings = settings | {"training": settings["training"] | {"epochs": 2}}
    config = folder / "config.yaml"
    config.write_text(yaml.safe_dump(settings))
    out = folder / method
    assert main(["train", "--method", method, "--bags", str(walks), "--out", str(out), "--config", str(config)]) == 0
    return out


def without_torch(*arguments: object) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": f"{WITHOUT_TORCH}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    command = [sys.executable, "-m", "mail_localization", *map(str, arguments)]
    return subprocess.run(command, check=False, capture_output=True, text=True, env=environment, timeout=120)


@pytest.mark.parametrize("method", ["mail", "jang", "mmloc_plus"])
def test_trained_network_evaluates_without_torch_to_the_same_errors(method: str, walks: Path, tmp_path: Path) -> None:
    model = trained(walks, tmp_path, method)
    done = without_torch("evaluate", model, "--bags", walks, "--out", tmp_path / "onnx", "--jobs", "1")
    assert done.returncode == 0, done.stderr
    here = ["evaluate", str(model), "--bags", str(walks), "--out", str(tmp_path / "torch"), "--backend", "torch"]
    assert main(here) == 0
    means = [
        json.loads((tmp_path / name / "summary.json").read_text())["models"][method]["ape_m"]["mean"]
        for name in ("onnx", "torch")
    ]
    assert means[0] == pytest.approx(means[1], abs=1e-4)


@pytest.mark.ros
def test_live_node_runs_without_torch(walks: Path, tmp_path: Path) -> None:
    model = trained(walks, tmp_path, "mail")
    arguments = ("--bags", walks / "walk_0", "--out", tmp_path / "live", "--live", "--backend", "onnxruntime")
    done = without_torch("evaluate", model, *arguments)
    assert done.returncode == 0, done.stderr
    summary = json.loads((tmp_path / "live" / "summary.json").read_text())
    assert summary["models"]["mail"]["n_estimates"] >= 15


def test_without_torch_and_export_the_error_names_both_ways_out(walks: Path, tmp_path: Path) -> None:
    model = trained(walks, tmp_path, "jang")
    arguments = ("evaluate", model, "--bags", walks, "--out", tmp_path / "report")
    done = without_torch(*arguments, "--backend", "torch")
    assert done.returncode == 1
    assert "needs torch: pip install 'mail_localization[models]'" in done.stderr
    card = json.loads((model / "model.json").read_text())
    del card["hashes"][NETWORK_FILE]
    (model / "model.json").write_text(json.dumps(card))
    done = without_torch(*arguments)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "mail_localization export" in done.stderr and "pip install 'mail_localization[models]'" in done.stderr


@pytest.mark.parametrize("library", ["onnx", "onnxruntime"])
def test_training_without_the_exporters_libraries_warns_and_leaves_torch(
    library: str, walks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    model = trained(walks, tmp_path, "jang")
    assert f"needs {library}: pip install 'mail_localization[" in caplog.text
    assert "only torch runs it" in caplog.text
    assert load_model(model)[0].export == {}
    assert load_localizer(model).method == "jang"


def test_export_tells_how_near_it_is(walks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = trained(walks, tmp_path, "jang")
    told = load_model(model)[0].export
    assert main(["export", str(model), "--bags", str(walks)]) == 0
    assert "of torch on 28 windows" in capsys.readouterr().out
    assert load_model(model)[0].export == told


def test_method_without_a_network_is_refused(walks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = trained(walks, tmp_path, "magnetic_nn")
    assert main(["export", str(model), "--bags", str(walks)]) == 1
    assert "method magnetic_nn is no network: it runs without torch as it is" in capsys.readouterr().err
