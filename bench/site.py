"""The site and the models that the benchmarks share; what the weights say does not matter for speed."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path

from mail_localization.cli import main
from mail_localization.data.recording import find_recordings
from mail_localization.training.export import GRAPHS as NETWORKS


def recordings(scratch: Path) -> tuple[list[Path], list[Path]]:
    """Return training and test recordings of the simulated default site, made on first use."""
    site = scratch / "site"
    if not site.exists():
        _run("simulate", str(site))
    return find_recordings([site / "train"]), find_recordings([site / "test"])


def model(scratch: Path, method: str, **magnetic: str) -> Path:
    """Return a model folder of the method, of the shipped sizes, trained for a few seconds."""
    folder = scratch / "_".join([method, *magnetic.values()])
    if not folder.exists():
        train, _ = recordings(scratch)
        config = scratch / f"{folder.name}.yaml"
        config.write_text("{}" if not magnetic else f"magnetic: {json.dumps(magnetic)}")
        options = ["--max-minutes", "0.1"] if method in NETWORKS else []
        bags = [str(path) for path in train]
        _run("train", "--method", method, "--bags", *bags, "--out", str(folder), "--config", str(config), *options)
    return folder


def mail_of_rate(scratch: Path, rate_hz: int) -> Path:
    """Return a MAIL of that grid: windows of 10 s, one a second, and sub-sequences of the shipped lengths in time."""
    folder = scratch / f"mail_{rate_hz}_hz"
    if not folder.exists():
        train, _ = recordings(scratch)
        settings = {
            "window": {"rate_hz": rate_hz, "length": 10 * rate_hz, "hop": rate_hz},
            "network": {"scales": [rate_hz * seconds for seconds in (1, 2, 3, 4, 5, 10)]},
            "training": {"hop": rate_hz},
        }
        config = scratch / f"{folder.name}.yaml"
        config.write_text(json.dumps(settings))
        bags = [str(path) for path in train]
        options = ["--config", str(config), "--max-minutes", "0.1"]
        _run("train", "--method", "mail", "--bags", *bags, "--out", str(folder), *options)
    return folder


def _run(*arguments: str) -> None:
    """Run a command; what it prints has no place in a table of speeds, its errors have."""
    with contextlib.redirect_stdout(io.StringIO()):
        code = main(list(arguments))
    if code:
        raise SystemExit(code)
