from __future__ import annotations

import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

from mail_localization.evaluation.replay import Replay, Skipped, Task
from mail_localization.evaluation.results import Evaluation, ModelResult
from mail_localization.evaluation.runner import write_outputs

EVIL = "<script>alert(1)</script>"


class Reader(HTMLParser):
    """Collect tags, links and text, and check that tags are balanced."""

    void = frozenset({"meta", "img", "br"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.sources: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        self.sources += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in self.void:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def read(path: Path) -> Reader:
    reader = Reader()
    reader.feed(path.read_text(encoding="utf-8"))
    assert reader.open == []
    return reader


def test_the_report_is_whole_and_self_contained(tmp_path: Path, make_replay: Callable[..., Replay]) -> None:
    models = tuple(
        ModelResult(name, "mail", Path(name), tuple(make_replay(name, walk) for walk in ("w1", "w2")))
        for name in ("first", "second")
    )
    reader = read(write_outputs(Evaluation(models), tmp_path, None, progress=False))
    assert reader.sources, "pictures are inside"
    assert all(source.startswith("data:image/png;base64,") for source in reader.sources)
    assert not re.search(r"https?:|@import|url\(", (tmp_path / "report.html").read_text(encoding="utf-8"))
    # CDF and calibration, then for each recording two trajectories and one error plot.
    assert reader.seen.count("img") == 2 + 2 * 3
    told = "Half of the positions are within 1.50 m"
    for words in ("not aligned", "once per second", told, "first", "w2", "95 % ellipse holds"):
        assert words in reader.text


def test_names_and_reasons_are_escaped(tmp_path: Path, make_replay: Callable[..., Replay]) -> None:
    replay = make_replay("m", "walk", notes=(EVIL,))
    skipped = Skipped(Task("m", Path("m"), EVIL, Path("w")), EVIL)
    model = ModelResult("m", EVIL, Path("m"), (replay,), settings={EVIL: EVIL}, trained_on=("walk",))
    evaluation = Evaluation((model,), (skipped,), provenance={"command": EVIL})
    reader = read(write_outputs(evaluation, tmp_path, None, progress=False))
    assert "script" not in reader.seen
    assert reader.text.count(EVIL) >= 5


def test_a_recording_without_estimates_is_reported_with_its_reason(
    tmp_path: Path, make_replay: Callable[..., Replay]
) -> None:
    replay = make_replay("m", errors=(), notes=("no estimate: too short",))
    reader = read(write_outputs(Evaluation((ModelResult("m", "mail", Path("m"), (replay,)),)), tmp_path, None, False))
    assert "No position could be judged" in reader.text
    assert "no estimate: too short" in reader.text


def test_a_model_trained_on_a_recording_of_that_name_is_flagged(
    tmp_path: Path, make_replay: Callable[..., Replay]
) -> None:
    model = ModelResult("mail", "mail", Path("m"), (make_replay(),), trained_on=("walk", "other"))
    assert model.seen == ["walk"]
    assert "trained on" in read(write_outputs(Evaluation((model,)), tmp_path, None, False)).text
