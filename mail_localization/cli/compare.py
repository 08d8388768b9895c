"""`mail_localization compare`: the papers' experiments, all methods on all sites."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

from mail_localization.cli.options import add_cache_argument, add_spread_arguments, cache_from_args, spread_from_args

HELP = "Train, tune and evaluate many methods at many sites from one file, and write tables and figures."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "--config", type=Path, required=True, metavar="YAML", help="sites, splits, methods, seeds, experiments"
    )
    parser.add_argument("--bags", type=Path, required=True, metavar="ROOT", help="folder of the sites' recordings")
    parser.add_argument(
        "--out", type=Path, required=True, help="folder of results.json, report.html and results.md; a run that was "
        "stopped is continued",
    )  # fmt: skip
    parser.add_argument(
        "--keep-stale", action="store_true", help="reuse what an earlier run finished by other code of this package; "
        "else it is run anew",
    )  # fmt: skip
    add_spread_arguments(parser)
    add_cache_argument(parser)


def run(args: argparse.Namespace) -> int:
    """Run what is not finished, write the results; 1 if a task failed."""
    from mail_localization.experiments.compare import compare

    command = shlex.join(["mail_localization", *sys.argv[1:]])
    spread, cache = spread_from_args(args), cache_from_args(args)
    summary = compare(args.config, args.bags, args.out, spread, command, args.keep_stale, cache=cache)
    print(summary.table)
    for failure in summary.failures:
        print(f"failed: {failure}", file=sys.stderr)
    print(f"report: {summary.report}")
    return 1 if summary.failures else 0
