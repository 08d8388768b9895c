"""One comparison from its file to the finished output folder."""

from __future__ import annotations

import json
import platform
import time
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from mail_localization.data.cache import NO_CACHE, Cache
from mail_localization.errors import ConfigError
from mail_localization.evaluation.outputs import prepare_folder, write_atomic
from mail_localization.experiments.config import CompareConfig
from mail_localization.experiments.figures import draw_figures
from mail_localization.experiments.outcome import Gathering, gather
from mail_localization.experiments.plan import make_plan
from mail_localization.experiments.report import report_html, report_markdown
from mail_localization.experiments.runner import Outcome, run_tasks
from mail_localization.experiments.sites import load_sites
from mail_localization.experiments.tables import printed_table
from mail_localization.experiments.tasks import Store
from mail_localization.workers import HERE, Spread
from mail_localization.workers.code import figures_hash


@dataclass(frozen=True)
class Summary:
    """What the command says at its end."""

    table: str
    failures: list[str]
    report: Path
    run: int
    """Tasks done in this run."""
    reused: int
    """Tasks finished in an earlier run."""


def compare(
    config_path: Path, root: Path, out: Path, spread: Spread = HERE, command: str = "", keep_stale: bool = False,
    progress: bool = True, cache: Cache = NO_CACHE,
) -> Summary:  # fmt: skip
    """Run what is not finished, and write results.json, report.html, results.md and figures/ under `out`.

    With `keep_stale`, what other code has finished counts as finished.

    Raises:
        ConfigError: the file or what it leads to is wrong.
        EvaluationError: the folder cannot be used.
    """
    config = CompareConfig.from_yaml(config_path)
    if not root.is_dir():
        raise ConfigError(f"--bags: {root}: no such folder; give the one that holds all sites' recordings")
    prepare_folder(out)
    sites = load_sites(config, root, progress)
    plan = make_plan(config, sites)
    started = time.monotonic()
    store = Store((out / "runs").resolve(), figures_hash(), keep_stale)
    outcome = run_tasks(plan.tasks, root, store, spread, progress, cache)
    g = Gathering(config, sites, plan, store)
    results = gather(g)
    results["failed"] = [{"task": folder, "error": error} for folder, error in outcome.failed.items()]
    results["provenance"] = _provenance(command, time.monotonic() - started, outcome, keep_stale)
    results["config"] = config_path.read_text(encoding="utf-8")
    write_atomic(out / "results.json", json.dumps(results, indent=1, allow_nan=False) + "\n")
    figures = draw_figures(g, results)
    for name, (png, _) in figures.items():
        write_atomic(out / "figures" / f"{name}.png", png)
    write_atomic(out / "results.md", report_markdown(results, figures))
    write_atomic(out / "report.html", report_html(results, figures))
    failures = [f"{folder}: {error}" for folder, error in outcome.failed.items()]
    return Summary(printed_table(results), failures, out / "report.html", outcome.done, outcome.reused)


def _provenance(command: str, seconds: float, outcome: Outcome, keep_stale: bool) -> dict[str, Any]:
    """Say what made the figures, so that somebody else can make them again."""
    versions = {}
    for name in ("mail_localization", "numpy", "torch"):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "source tree"
    other = f", up to {outcome.stale} of them by other code" if keep_stale and outcome.stale else ""
    before = f" ({outcome.reused} tasks were finished before{other})" if outcome.reused else ""
    return {
        "command": command,
        "date": time.strftime("%Y-%m-%d %H:%M:%S %z"),
        "machine": f"{platform.system()} {platform.release()}, {platform.machine()}",
        "python": platform.python_version(),
        **versions,
        "minutes": f"{seconds / 60:.1f}{before}",
    }
