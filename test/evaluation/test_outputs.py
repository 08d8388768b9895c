from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mail_localization.errors import EvaluationError
from mail_localization.evaluation.outputs import prepare_folder, tum, write_atomic, write_figures
from mail_localization.evaluation.replay import Replay
from mail_localization.evaluation.results import Evaluation, ModelResult

EVO_APE = Path(sys.executable).parent / "evo_ape"


def written(out: Path, *replays: Replay) -> Evaluation:
    evaluation = Evaluation((ModelResult("mail", "mail", Path("mail"), replays, (1.0, 2.0)),))
    write_figures(evaluation, out)
    return evaluation


def test_the_summary_holds_the_contract(tmp_path: Path, make_replay: Callable[..., Replay]) -> None:
    written(tmp_path, make_replay(), make_replay(recording="other"))
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["schema_version"] == 1
    model = summary["models"]["mail"]
    assert (model["method"], model["recordings"], model["n_estimates"], model["availability"]) == ("mail", 2, 8, 1.0)
    assert set(model["ape_m"]) == {"mean", "median", "rmse", "p75", "p90", "p95", "max"}
    assert (set(model["within_m"]), set(model["coverage"])) == ({"1", "2", "3"}, {"0.5", "0.9", "0.95"})
    assert model["latency_ms"] == {"p50": 1.5, "p99": pytest.approx(1.99)}
    assert model["nees_mean"] == 3.5
    (site,) = model["per_site"]
    assert (site["floor"], site["nees_mean"], site["coverage"]) == ("F1", 3.5, model["coverage"])
    assert [entry["recording"] for entry in model["per_recording"]] == ["walk", "other"]
    assert model["per_recording"][0]["ape_m"]["mean"] == 1.5


def test_the_summary_is_strict_json_without_any_estimate(tmp_path: Path, make_replay: Callable[..., Replay]) -> None:
    written(tmp_path, make_replay(errors=()))

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    summary = json.loads((tmp_path / "summary.json").read_text(), parse_constant=refuse)
    assert summary["models"]["mail"]["availability"] == 0.0
    assert summary["models"]["mail"]["ape_m"]["mean"] is None


def test_errors_csv_has_a_row_for_every_instant(tmp_path: Path, make_replay: Callable[..., Replay]) -> None:
    written(tmp_path, make_replay(errors=(0.5,)))
    rows = list(csv.DictReader((tmp_path / "errors.csv").open()))
    assert [row["error_m"] for row in rows] == ["0.5", "1.11803", "", ""]
    first = rows[0]
    assert (first["model"], first["recording"], first["t_ns"]) == ("mail", "walk", "0")
    assert (first["reference_x"], first["estimate_y"], first["nees"]) == ("0", "0.5", "0.25")


def test_tum_stamps_keep_every_nanosecond() -> None:
    lines = tum(np.array([1_700_000_000_123_456_789]), np.array([[1.5, -2.0]]))
    assert lines == "1700000000.123456789 1.500000 -2.000000 0 0 0 0 1\n"


@pytest.mark.skipif(not EVO_APE.exists(), reason="evo is not installed: pip install evo")
def test_evo_gives_the_same_ape(tmp_path: Path, make_replay: Callable[..., Replay]) -> None:
    evaluation = written(tmp_path, make_replay(errors=(0.3, 1.7, 0.2, 4.0, 2.2)))
    walk = tmp_path / "recordings" / "walk"
    command = [str(EVO_APE), "tum", str(walk / "reference.tum"), str(walk / "mail" / "estimate.tum")]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    ape = evaluation.models[0].accuracy.ape_m
    for name in ("mean", "median", "rmse", "max"):
        value = re.search(rf"^\s*{name}\s+([0-9.]+)", printed, re.MULTILINE)
        assert value and float(value[1]) == pytest.approx(ape[name], abs=1e-6)


def test_an_earlier_evaluation_is_replaced(tmp_path: Path, make_replay: Callable[..., Replay]) -> None:
    written(tmp_path, make_replay(errors=(1.0,) * 9))
    written(tmp_path, make_replay(errors=(2.0,) * 4))
    assert json.loads((tmp_path / "summary.json").read_text())["models"]["mail"]["ape_m"]["mean"] == 2.0
    assert len((tmp_path / "recordings" / "walk" / "reference.tum").read_text().splitlines()) == 4
    assert not list(tmp_path.rglob("*.partial"))


def test_a_file_in_place_of_the_output_folder_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(EvaluationError, match="--out"):
        prepare_folder(tmp_path / "out")


def test_a_full_disk_is_one_clear_error_and_leaves_the_earlier_file(tmp_path: Path) -> None:
    target = tmp_path / "summary.json"
    target.write_text("earlier")
    # A limit on the size of files stands in for a full disk: the kernel refuses the write half way.
    program = (
        "import resource, sys, pathlib\n"
        "from mail_localization.evaluation.outputs import write_atomic\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "write_atomic(pathlib.Path(sys.argv[1]), b'x' * 5000)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(target)], capture_output=True, text=True, check=False)
    assert "EvaluationError" in done.stderr
    assert "free some space" in done.stderr.splitlines()[-1]
    assert target.read_text() == "earlier"
    assert not list(tmp_path.glob(".*"))


def test_an_unusual_error_leaves_no_partial_file(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(EvaluationError, match="taken"):
        write_atomic(tmp_path / "taken", "text")
    assert not list(tmp_path.glob(".*"))
