"""`mail_localization import`: public datasets become recordings."""

from __future__ import annotations

import argparse
import math
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mail_localization.cli.options import add_spread_arguments, spread_from_args

if TYPE_CHECKING:
    from mail_localization.data.sources.importer import ImportResult

HELP = "convert a public dataset to recordings (rosbag2) with reference positions"

_SOURCES = ("indoor-location-20", "ipin2023-track3", "mmloc", "uji-mag", "aalto-magnetic")
"""Keys of data.sources.SOURCES, repeated so that --help needs no numpy."""
_ROWS = 40


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("source", choices=_SOURCES, metavar="SOURCE", help=", ".join(_SOURCES))
    parser.add_argument("src", type=Path, metavar="SRC", help="unpacked dataset, any sub-folder, or one file of it")
    parser.add_argument("out", type=Path, metavar="OUT", help="folder of the recordings, one per trace")
    parser.add_argument(
        "--origin", nargs=2, type=_degrees, metavar=("LAT", "LON"),
        help="origin of `map` in degrees, for sources with latitude and longitude (default: fixed for the dataset)",
    )  # fmt: skip
    parser.add_argument("--overwrite", action="store_true", help="replace recordings that exist; else they are kept")
    add_spread_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Import, print a table and write import_report.json; 1 if a file had to be left out."""
    from tqdm import tqdm

    from mail_localization.data.sources.importer import ImportOptions, import_all, plan_import, write_report

    origin = tuple(args.origin) if args.origin else None
    options = ImportOptions(args.source, args.out, origin, args.overwrite)
    plan = plan_import(args.source, args.src, origin)
    results: list[ImportResult] = []
    try:
        imported = import_all(plan, options, spread_from_args(args))
        for result in tqdm(imported, total=len(plan), unit="trace", disable=None):
            results.append(result)
    finally:
        # Interrupted or not, what has been written is on record.
        report = write_report(sorted(results, key=lambda r: r.recording), options)
    _print_results(sorted(results, key=lambda r: r.recording))
    print(f"report: {report}")
    return 1 if any(result.status == "failed" for result in results) else 0


def _print_results(results: Sequence[ImportResult]) -> None:
    written = [result for result in results if result.status == "written"]
    _print_table(written)
    for note in sorted({note for result in written for note in result.notes}):
        print(f"note: {note}")
    kept = sum(result.status == "exists" for result in results)
    if kept:
        print(f"{kept} recordings exist already and were kept (--overwrite replaces them)")
    for result in results:
        if result.status == "failed":
            print(f"left out: {result.reason}", file=sys.stderr)
    print(_totals(written))


def _print_table(written: Sequence[ImportResult]) -> None:
    """Print one row per recording; of a large import only those with problems."""
    shown = [r for r in written if r.problems] if len(written) > _ROWS else list(written)
    width = max((len(r.recording) for r in shown), default=9)
    if shown:
        print(f"{'recording':{width}}  {'s':>6} {'x real':>7} {'mag':>6} {'imu':>6} {'wifi':>5} {'ref':>5}  problems")
    for r in shown[:_ROWS]:
        counts = [r.messages.get(stream, 0) for stream in ("mag", "imu", "wifi", "reference")]
        problems = "; ".join(f"{count} x {kind}" for kind, count in r.problems.items()) or "-"
        columns = "{:6} {:6} {:5} {:5}".format(*counts)
        print(f"{r.recording:{width}}  {r.duration:6.1f} {_speed(r):7.0f} {columns}  {problems}")
    if len(shown) > _ROWS:
        print(f"... and {len(shown) - _ROWS} more with problems, all in the report")
    if len(shown) < len(written):
        print(f"{len(written) - len(shown)} recordings without problems")


def _totals(written: Sequence[ImportResult]) -> str:
    messages = Counter[str]()
    for result in written:
        messages.update(result.messages)
    duration = sum(result.duration for result in written)
    slowest = min((_speed(result) for result in written), default=math.nan)
    counts = ", ".join(f"{count} {stream}" for stream, count in messages.items()) or "nothing"
    speed = f"; slowest trace {slowest:.0f} x real time" if written else ""
    return f"{len(written)} recordings, {duration / 60:.1f} min: {counts}{speed}"


def _speed(result: ImportResult) -> float:
    return result.duration / max(result.elapsed, 1e-9)


def _degrees(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not -180 <= value <= 180:
        raise argparse.ArgumentTypeError(f"{text!r} is not an angle in degrees")
    return value
