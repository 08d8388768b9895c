"""`mail_localization calibrate`: make a model's covariance as large as its errors are on given recordings."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from mail_localization.cli.options import add_topic_arguments, topics_from_args

HELP = "Learn from recordings with a reference how large a model's errors are, and write it into the model folder."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("model", type=Path, metavar="MODEL", help="model folder; its calibration is replaced")
    parser.add_argument(
        "--bags", nargs="+", type=Path, required=True, metavar="DIR",
        help="recordings, or folders that hold them, that the model was not made from: by the devices and people that "
        "will use it",
    )  # fmt: skip
    parser.add_argument(
        "--start-at-reference", action="store_true",
        help="tell methods that can use it (pdr) the first reference position, as they will be told in use",
    )  # fmt: skip
    add_topic_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Calibrate, and print how well the covariance holds."""
    from mail_localization.calibration import Calibration
    from mail_localization.data.recording import find_recordings
    from mail_localization.errors import TrainingError
    from mail_localization.training.calibration import room
    from mail_localization.training.probe import recalibrate

    recordings = find_recordings(args.bags)
    if not recordings:
        raise TrainingError(f"{', '.join(map(str, args.bags))}: no recording found; make one with import or survey")
    card = recalibrate(args.model, recordings, topics_from_args(args), args.start_at_reference)
    calibration = Calibration.from_mapping(card.calibration)
    assert calibration is not None
    used = {str(entry.get("name")) for entry in card.training_recordings if entry.get("role") == "train"}
    if seen := sorted(used & set(calibration.recordings)):
        print(f"warning: the model was made from recordings of the same name ({', '.join(seen)}): its errors "
              "elsewhere are larger than they say", file=sys.stderr)  # fmt: skip
    checked = card.metrics["calibration"]
    count = len(calibration.recordings)
    parts = "each recording by the others" if count > 1 else "each part by the others"
    print(f"{args.model}: {card.method}, {count} recording{'s' if count > 1 else ''}")
    print(f"  as stated    {words(checked['stated'])}")
    print(f"  calibrated   {words(checked['calibrated'])}")
    print(f"  {parts}: {words(checked['cross_validated'])}")
    print(
        f"  errors are alike for {calibration.correlation_time:.1f} s, so these tell as much as "
        f"{calibration.samples:.0f} independent ones, of {', '.join(checked['devices']) or 'an unknown device'}; "
        f"for so few the variances are {room(calibration.samples):.2f} times those seen; others may err more"
    )
    return 0


def words(figures: dict[str, Any]) -> str:
    """Return NEES and coverage as text."""
    if figures["nees_mean"] is None:
        return "too short to tell"
    coverage = figures["coverage"].items()
    held = ", ".join(f"{100 * float(level):g} % ellipse {100 * share:.0f} %" for level, share in coverage)
    return f"mean NEES {figures['nees_mean']:.2f} (2 is honest); {held}"
