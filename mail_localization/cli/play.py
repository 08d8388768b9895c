"""`mail_localization play`: publish recordings over ROS, where `ros2 bag play` is not installed."""

from __future__ import annotations

import argparse
from pathlib import Path

from mail_localization.errors import MissingRosError

HELP = "Publish recordings over ROS with their original timing."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("bags", nargs="+", type=Path, metavar="BAG", help="recording, or a folder that holds some")
    parser.add_argument("--rate", type=float, default=1.0, metavar="R", help="speed, 1 = as recorded")
    parser.add_argument("--clock", action="store_true", help="publish /clock, for nodes with use_sim_time")
    parser.add_argument("--loop", action="store_true", help="start again at the end, until interrupted")
    parser.add_argument("--wait", type=float, default=5.0, metavar="S", help="wait up to S seconds for a subscriber")
    parser.add_argument("--only", nargs="+", default=[], metavar="TOPIC", help="topics to play (default: all)")
    parser.add_argument(
        "--remap", nargs="+", default=[], type=_remap, metavar="FROM:=TO", help="publish a topic under another name"
    )


def run(args: argparse.Namespace) -> int:
    """Play until the end of the last recording."""
    try:
        from mail_localization.ros.player import PlaySettings, play_bags
    except ImportError as err:
        raise MissingRosError("play") from err
    from mail_localization.data.recording import find_recordings

    settings = PlaySettings(rate=args.rate, clock=args.clock, only=tuple(args.only))
    play_bags(find_recordings(args.bags), settings, dict(args.remap), args.wait, args.loop, tell=print)
    return 0


def _remap(text: str) -> tuple[str, str]:
    source, separator, target = text.partition(":=")
    if not (separator and source and target):
        raise argparse.ArgumentTypeError(f"{text!r} is not FROM:=TO")
    return source, target
