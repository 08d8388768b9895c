"""The table of docs/reliability.md, between its two marks."""

from __future__ import annotations

import datetime
import math
import os
import platform
from collections.abc import Sequence
from pathlib import Path

from faults.harness import Result

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"
_HEAD = "| fault | what is done | right again after | memory | seen in the diagnostics |\n|---|---|---|---|---|\n"


def put(section: str, lines: str, command: str) -> None:
    """Replace a section of the page: `<!-- NAME -->` to `<!-- end NAME -->`."""
    first, last = f"<!-- {section} -->\n", f"<!-- end {section} -->"
    text = PAGE.read_text(encoding="utf-8")
    head, _, rest = text.partition(first)
    _, _, tail = rest.partition(last)
    PAGE.write_text(f"{head}{first}{_provenance(command)}\n\n{lines.strip()}\n{last}{tail}", encoding="utf-8")


def table(results: Sequence[Result]) -> str:
    """Return the results as a Markdown table."""
    return _HEAD + "".join(map(_row, results))


def _row(result: Result) -> str:
    recovery = "-" if result.recovery is None else f"{result.recovery:.1f} s"
    # A warning goes on with what to do; the table is long enough without it.
    seen = result.seen.split(": look")[0].split(": raise")[0].split(": saturated")[0].replace("|", "\\|")
    memory = "-" if math.isnan(result.memory_mb) else f"{result.memory_mb:+.1f} MB"
    return f"| {result.name} | {result.done} | {recovery} | {memory} | {seen} |\n"


def _provenance(command: str) -> str:
    day = datetime.datetime.now(datetime.UTC).date().isoformat()
    machine = f"{os.cpu_count()} cores {platform.machine()}, Python {platform.python_version()}"
    return f"{day}, {machine}, load {os.getloadavg()[0]:.1f} at the end: `{command}`"
