"""The commands that write: a recording, a model, a report."""

from __future__ import annotations

import json
from pathlib import Path

from faults.disk import Write
from mail_localization.data.recording import Recording, find_recordings
from mail_localization.errors import MailLocalizationError, RecordingError
from mail_localization.localizer import load_localizer


def writes(model: Path, rounds: list[Path], config: Path) -> list[Write]:
    """Return one command of each kind, over a model and recordings that are there."""
    bags = [str(path) for path in rounds]
    train = ["train", "--method", "magnetic_nn", "--config", str(config), "--bags", *bags]
    return [
        Write("recording", lambda out: ["simulate", str(out)], (48, 2000, 60_000), check_recordings),
        Write("model", lambda out: [*train, "--out", str(out)], (16, 4000), check_model),
        Write(
            "report",
            lambda out: ["evaluate", str(model), "--bags", bags[0], "--out", str(out)],
            (16, 64, 150, 300, 20_000),
            check_report,
        ),
    ]


def check_recordings(out: Path) -> None:
    """Read every recording that looks like one."""
    if not out.exists():
        return
    try:
        paths = find_recordings([out])
    except RecordingError:
        return
    for path in paths:
        recording = Recording(path)
        assert sum(1 for _ in recording.samples()) > 0
        assert not recording.problems, recording.problems


def check_model(out: Path) -> None:
    """Load the model if there is one: it must be whole, or refused."""
    if (out / "model.json").exists():
        load_localizer(out)
    else:
        try:
            load_localizer(out)
        except MailLocalizationError:
            return
        raise AssertionError("a model without model.json was loaded")


def check_report(out: Path) -> None:
    """Parse what is there: no file may be a part of itself."""
    if not out.exists():
        return
    for path in out.rglob("*"):
        assert not path.name.endswith(".partial"), path
        assert path.is_dir() or path.stat().st_size > 0, f"{path} is empty"
    summary = out / "summary.json"
    if summary.exists():
        json.loads(summary.read_text())
    page = out / "report.html"
    if page.exists():
        assert page.read_text().rstrip().endswith("</html>")
    for picture in out.rglob("*.png"):
        assert picture.read_bytes().endswith(b"IEND\xaeB`\x82"), picture
