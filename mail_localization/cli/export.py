"""`mail_localization export`: make a trained network run without torch."""

from __future__ import annotations

import argparse
from pathlib import Path

from mail_localization.cli.options import add_topic_arguments, topics_from_args

HELP = "Write a model's network as ONNX into its folder, after comparing it with torch on windows of recordings."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("models", nargs="+", type=Path, metavar="MODEL", help="model folder of a neural method")
    parser.add_argument(
        "--bags", nargs="+", type=Path, required=True, metavar="DIR",
        help="recordings, or folders that hold them, whose windows are compared",
    )  # fmt: skip
    add_topic_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Export, and say how near it is to torch."""
    from mail_localization.data.recording import find_recordings
    from mail_localization.errors import TrainingError
    from mail_localization.training.export import export

    recordings = find_recordings(args.bags)
    if not recordings:
        raise TrainingError(f"{', '.join(map(str, args.bags))}: no recording found; make one with import or survey")
    for folder in args.models:
        told = export(folder, recordings, topics_from_args(args)).export
        print(
            f"{folder / told['file']}: within {told['largest_difference']:.1g} of torch on {told['windows']} windows, "
            "one by one and in batches"
        )
    return 0
