from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import yaml
from surveys import write_survey

from mail_localization.cli import main
from mail_localization.methods import METHODS
from mail_localization.models.artifact import load_model

TINY = {
    "window": {"length": 100},
    "network": {"scales": [50, 100], "hidden": 4, "embedding_hidden": 4, "embedding": 4, "attention_hidden": 4},
    "training": {"epochs": 1, "batch": 50},
}


@pytest.fixture
def survey(tmp_path: Path) -> Path:
    write_survey(tmp_path / "bags", seconds=8.0)
    return tmp_path / "bags"


def _train(survey: Path, *more: str) -> int:
    return main(["train", "--bags", str(survey), "--out", str(survey.parent / "model"), *more])


def test_mail_is_trained_with_a_config_file(survey: Path, capfd: pytest.CaptureFixture[str]) -> None:
    config = survey.parent / "tiny.yaml"
    config.write_text(yaml.safe_dump(TINY))
    assert _train(survey, "--method", "mail", "--config", str(config), "--seed", "3", "--threads", "1") == 0
    out, err = capfd.readouterr()
    assert "held-out error mean" in out
    assert "epoch 1, loss" in err
    card, _ = load_model(survey.parent / "model")
    assert (card.method, card.provenance["seed"]) == ("mail", 3)


def test_magnetic_nn_is_built_by_the_same_command(survey: Path) -> None:
    config = survey.parent / "nn.yaml"
    config.write_text("window: {length: 100}")
    assert _train(survey, "--method", "magnetic_nn", "--config", str(config)) == 0
    assert load_model(survey.parent / "model")[0].method == "magnetic_nn"


def test_cache_makes_no_difference_but_to_the_time(
    survey: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "tiny.yaml"
    config.write_text(yaml.safe_dump(TINY))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))

    def weights(name: str, *more: str) -> bytes:
        out = tmp_path / name
        bags = ["--bags", str(survey), "--method", "mail", "--config", str(config)]
        assert main(["train", *bags, "--out", str(out), *more]) == 0
        return (out / "weights.safetensors").read_bytes()

    plain = weights("plain", "--cache", "off")
    assert not (tmp_path / "home").exists()
    assert plain == weights("cold", "--cache", str(tmp_path / "cache"))
    entries = {path: path.stat().st_ctime_ns for path in (tmp_path / "cache").glob("*/*")}
    assert len(entries) > 3
    assert plain == weights("warm", "--cache", str(tmp_path / "cache"))
    assert entries == {path: path.stat().st_ctime_ns for path in (tmp_path / "cache").glob("*/*")}
    assert not (tmp_path / "home").exists()
    assert plain == weights("by_default")
    assert len(list((tmp_path / "home" / "mail_localization").glob("*/*"))) == len(entries)


def test_mail_ends_with_the_same_weights_whatever_the_threads(survey: Path) -> None:
    config = survey.parent / "tiny.yaml"
    config.write_text(yaml.safe_dump(TINY))
    weights = []
    for threads in ("1", "3"):
        out = survey.parent / threads
        arguments = ["--method", "mail", "--config", str(config), "--threads", threads]
        assert main(["train", "--bags", str(survey), "--out", str(out), *arguments]) == 0
        weights.append((out / "weights.safetensors").read_bytes())
    assert weights[0] == weights[1]


def test_unknown_setting_names_file_and_nearest(survey: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = survey.parent / "bad.yaml"
    config.write_text("training: {learning_rat: 1.0}")
    assert _train(survey, "--method", "mail", "--config", str(config)) == 1
    assert "bad.yaml: training: unknown setting 'learning_rat'; did you mean" in capsys.readouterr().err


def test_folder_without_recordings_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--method", "mail", "--bags", str(tmp_path), "--out", str(tmp_path / "m")]) == 1
    err = capsys.readouterr().err
    assert str(tmp_path) in err and err.count("\n") == 1


@pytest.mark.parametrize(("option", "value"), [("--max-minutes", "-1"), ("--max-minutes", "nan"), ("--seed", "-1")])
def test_option_out_of_range_is_named(
    survey: Path, option: str, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _train(survey, "--method", "mail", option, value) == 1
    assert f"error: {option}: {value}" in capsys.readouterr().err


def test_file_in_the_place_of_the_model_folder_is_named(survey: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (survey.parent / "model").write_text("notes")
    assert _train(survey, "--method", "mail") == 1
    assert "cannot be made a model folder: File exists; give another --out" in capsys.readouterr().err


def test_unknown_method_is_wrong_usage(survey: Path) -> None:
    with pytest.raises(SystemExit) as exit_info:
        _train(survey, "--method", "mial")
    assert exit_info.value.code == 2


@pytest.mark.parametrize(
    "path", sorted((Path(__file__).parents[2] / "config").glob("mail*.yaml")), ids=lambda p: p.name
)
def test_shipped_config_is_read(path: Path) -> None:
    METHODS["mail"].config.from_yaml(path)


def test_help_imports_no_torch(python: str) -> None:
    code = (
        "import sys; from mail_localization.cli import build_parser; build_parser().format_help();"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([python, "-c", code], check=True)
