"""`mail_localization survey`: a raw bag gets reference positions."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from mail_localization.cli.options import add_topic_arguments, topics_from_args

HELP = "label a raw bag with reference positions from landmarks, clicks or a pose topic"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("bag", type=Path, metavar="BAG", help="bag with the sensor topics")
    parser.add_argument("--out", type=Path, required=True, help="recording to write: a new folder")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--landmarks", type=Path, metavar="FILE", help="CSV or YAML with columns time (s) or event (name), x, y (m)"
    )
    source.add_argument("--clicks", default="", metavar="TOPIC", help="topic of geometry_msgs/PointStamped")
    source.add_argument(
        "--poses", default="", metavar="TOPIC", help="topic of PoseStamped, PoseWithCovarianceStamped or Odometry"
    )
    parser.add_argument("--events", default="", metavar="TOPIC", help="std_msgs/String topic of the event names")
    parser.add_argument(
        "--from-start", action="store_true", help="landmark times count from the start of the bag, not from 1970"
    )
    parser.add_argument("--frame", default="map", help="frame of clicks and poses; the recording calls it map")
    for name in ("device", "floor", "site"):
        parser.add_argument(f"--{name}", default="", help=f"{name}, kept in the recording")
    add_topic_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Label the bag and say what was written."""
    from mail_localization.data.survey import SurveyOptions, survey

    names = ("landmarks", "clicks", "poses", "events", "from_start", "frame", "device", "floor", "site")
    options = SurveyOptions(topics=topics_from_args(args), **{name: getattr(args, name) for name in names})
    result = survey(args.bag, args.out, options)
    for warning in result.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    print(f"{args.out}: {result.messages} messages, {result.references} of them reference positions")
    return 0
