"""What diagnostics say: findings, each with its remedy, gathered into one status per part of the node."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field


class Level(enum.IntEnum):
    """Severity, with the numbers of diagnostic_msgs/DiagnosticStatus."""

    OK = 0
    WARN = 1
    ERROR = 2
    STALE = 3
    """Nothing comes any more."""


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong: what, and what to do about it."""

    level: Level
    text: str


@dataclass(frozen=True)
class Status:
    """State of one part of the node."""

    name: str
    level: Level
    message: str
    values: dict[str, str] = field(default_factory=dict)


def summed_up(name: str, findings: Iterable[Finding], fine: str, values: Mapping[str, str]) -> Status:
    """Return the status that the worst finding decides and all of them explain, the worst first; `fine` if none."""
    ordered = sorted(findings, key=lambda finding: -finding.level)
    if not ordered:
        return Status(name, Level.OK, fine, dict(values))
    return Status(name, ordered[0].level, "; ".join(finding.text for finding in ordered), dict(values))
