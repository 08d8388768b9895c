"""The whole command, on a small simulated site."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mail_localization.cli import main
from mail_localization.experiments.compare import compare
from mail_localization.experiments.config import CompareConfig
from mail_localization.experiments.plan import make_plan
from mail_localization.experiments.sites import Site, load_sites

Content = dict[str, Any]
Write = Callable[[Content], Path]
SHIPPED = Path(__file__).parents[2] / "config" / "compare.yaml"
SMALL = 60_000


def command(config: Path, root: Path, out: Path) -> int:
    return main(["compare", "--config", str(config), "--bags", str(root), "--out", str(out), "--jobs", "2"])


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    """Return the single line of a known error."""
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("mail_localization compare: error: ")
    return line


def test_the_whole_comparison_is_made_and_not_made_again(
    tiny: Content, written: Write, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    out = tmp_path / "out"
    config = written(tiny)
    assert command(config, root, out) == 0
    printed = capsys.readouterr().out
    assert "MAIL" in printed and "ours / best competitor" in printed and str(out / "report.html") in printed
    results = json.loads((out / "results.json").read_text())
    _check_results(results)
    _check_pages(out)
    (path,) = (out / "runs").glob("corridor-nearest-test-evaluation-*/result.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"code": "other"}))
    trained = len(list((out / "runs").glob("*/model")))
    kept = len(list((tmp_path / "caches" / "mail_localization").iterdir()))
    assert 0 < kept < 2 * trained, "each looks at two recordings or more, and they share them"
    again = compare(config, root, out, keep_stale=True, progress=False)
    assert (again.run, again.reused) == (0, len(list((out / "runs").glob("*/result.json"))))
    assert again.failures == []
    assert "1 of them by other code" in json.loads((out / "results.json").read_text())["provenance"]["minutes"]


def _check_results(results: Content) -> None:
    site = results["sites"]["corridor"]
    assert (results["schema_version"], results["failed"]) == (1, [])
    rows = {row["method"]: row for row in site["rows"]}
    assert list(rows) == ["mail", "flat", "nearest"]
    assert site["left_out"] == {"wireless": "the site has no wifi"}
    assert rows["mail"]["trials"] == 2 and rows["mail"]["settings"]["training"]["epochs"] == 2, "the site's override"
    assert set(rows["mail"]["mean_by_seed_m"]) == {"0", "1"} and rows["mail"]["spread_m"] > 0
    assert rows["flat"]["settings"]["network"]["attention"] is False
    assert rows["flat"]["settings"]["magnetic"] == rows["mail"]["settings"]["magnetic"], "as the kept trial"
    assert rows["nearest"]["ape_m"]["median"] < 0.5
    assert site["claim"]["ratio"] == pytest.approx(rows["mail"]["ape_m"]["mean"] / rows["nearest"]["ape_m"]["mean"])
    (line,) = results["sweeps"]["length"]["lines"]
    assert [point["variant"] for point in line["points"]] == ["1", "2"]
    (curve,) = results["training_loss"]
    assert curve["epoch"] == [1, 2]
    (attention,) = results["attention"]
    assert sum(attention["mean"]) == pytest.approx(1) and attention["scales"] == [1.0, 2.0]
    assert [entry["factor"] for entry in results["speeds"]["scaled"]] == [0.5, 1.0]
    assert [entry["instants"] for entry in results["speeds"]["real"]] == [8, 0, 0]
    assert results["anomalies"]["corridor"]["share"][-1] == 1
    assert {entry["method"] for entry in results["latency"]} == {"mail", "flat", "nearest"}


def _check_pages(out: Path) -> None:
    page, text = (out / "report.html").read_text(), (out / "results.md").read_text()
    pictures = list((out / "figures").glob("*.png"))
    names = {path.stem for path in pictures}
    assert names == {
        "cdf_corridor", "sweep_length", "training_loss", "attention_mean", "attention_spread", "speeds", "anomalies",
    }  # fmt: skip
    for path in pictures:
        assert path.stat().st_size < SMALL
        assert f"figures/{path.name}" in text
    assert page.count("data:image/png") == len(pictures) and "http" not in page
    for content in (page, text):
        assert "wireless is left out: the site has no wifi" in content
        assert "claim (at most 0.64 x) does not hold" in content
        assert "resampled, 0.5 x as fast" in content


def test_what_cannot_be_trained_is_reported_and_the_rest_goes_on(
    tiny: Content, written: Write, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nearest = tiny["methods"]["nearest"]
    tiny["methods"] = {"nearest": nearest, "long": {**nearest, "base": {"window": {"length": 5000}}}}
    tiny["experiments"] = {}
    del tiny["sites"]["corridor"]["overrides"]
    assert command(written(tiny), root, tmp_path / "out") == 1
    captured = capsys.readouterr()
    assert "failed: corridor-long-trial0-seed0" in captured.err and "1-NN" in captured.out
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert [row["method"] for row in results["sites"]["corridor"]["rows"]] == ["nearest"]
    assert len(results["failed"]) == 2
    assert results["failed"][1]["error"].startswith("not trained: ")
    assert "What failed" in (tmp_path / "out" / "results.md").read_text()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sede": 1}, "compare.yaml: unknown setting 'sede'; did you mean 'seeds'?"),
        ({"sites": {"x": {"recordings": ["none"], "every": 2}}}, "sites: x: recordings: 'none' matches nothing under"),
        ({"sites": {"x": {"recordings": ["single"], "every": 2}}}, "only single/walk: one recording cannot be split"),
        ({"methods": {"x": {"method": "mial"}}}, "methods: x: method: unknown method 'mial'; did you mean 'mail'?"),
        (
            {"methods": {"x": {"method": "mail", "trials": [{}, {"training": {"epoch": 1}}]}}},
            "compare.yaml: methods: x (at site corridor): training: unknown setting 'epoch'; did you mean 'epochs'?",
        ),
    ],
)
def test_what_is_wrong_with_the_file_is_one_line(
    tiny: Content,
    written: Write,
    root: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    changes: Content,
    message: str,
) -> None:
    del tiny["sites"]["corridor"]["overrides"]
    assert command(written({**tiny, "experiments": {}, **changes}), root, tmp_path / "out") == 1
    assert message in one_line(capsys)


def test_wrong_folders_are_one_line(
    tiny: Content, written: Write, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = written(tiny)
    assert command(tmp_path / "none.yaml", root, tmp_path) == 1
    assert "none.yaml: cannot be read" in one_line(capsys)
    assert command(config, tmp_path / "none", tmp_path) == 1
    assert "--bags" in one_line(capsys)
    assert command(config, root, config) == 1
    assert "choose another --out" in one_line(capsys)


def test_no_trial_sees_a_test_recording(tiny: Content, written: Write, root: Path) -> None:
    config = CompareConfig.from_yaml(written(tiny))
    plan = make_plan(config, load_sites(config, root, progress=False))
    trainings = [task for task in plan.tasks.values() if task.step.endswith(":train")]
    assert trainings
    for task in trainings:
        assert "a/walk_3" not in {*task.arguments["training"], *task.arguments["validation"], *task.inputs}


def test_the_shipped_file_fits_the_methods() -> None:
    config = CompareConfig.from_yaml(SHIPPED)
    # A site without recordings lacks no stream: every method is planned, with its settings checked, at every site.
    plan = make_plan(config, {name: Site(name, name, "", (), (), ()) for name in config.sites})
    assert len(plan.trials) == len(config.sites) * len(config.methods)
    tuned = {len(m.trials) for m in config.methods.values() if m.role in ("ours", "competitor")}
    assert len(tuned) == 1, "ours and the competitors are tuned with the same effort"
