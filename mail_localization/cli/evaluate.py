"""`mail_localization evaluate`: how good models are on recordings they have not seen."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

from mail_localization.cli.options import add_spread_arguments, add_topic_arguments, spread_from_args, topics_from_args

HELP = "Replay recordings through models, offline or through the live node, and report the errors."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("models", nargs="+", type=Path, metavar="MODEL", help="model folder")
    parser.add_argument(
        "--bags", nargs="+", type=Path, required=True, metavar="DIR", help="recordings, or folders that hold them"
    )
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        help="folder of summary.json and report.html; replays that an "
        "earlier run finished, kept in its folder replays, are not made again",
    )
    replay = parser.add_mutually_exclusive_group()
    replay.add_argument("--live", action="store_true", help="play to the real ROS 2 node instead of replaying")
    replay.add_argument(
        "--smooth", action="store_true", help="methods that can also use what was recorded after each instant"
    )
    parser.add_argument(
        "--start-at-reference", action="store_true", help="tell methods that can use it (pdr) the first reference "
        "position; not with --live",
    )  # fmt: skip
    parser.add_argument(
        "--odometry", choices=("node", "ekf", "node+ekf"), default="",
        help="join the estimates with odometry as localizer_node does, as robot_localization does, or one after the "
        "other; a recording without odometry gets one derived from its reference, drifting, and the report says so",
    )  # fmt: skip
    parser.add_argument("--rate", type=_positive, default=1.0, help="playback rate with --live, x real time")
    parser.add_argument("--hop", type=_count, default=0, help="samples between two estimates; 0: the model's own")
    parser.add_argument(
        "--backend", choices=("auto", "onnxruntime", "torch"), default="auto",
        help="what computes a network; auto: ONNX Runtime where the model is exported and it is installed",
    )  # fmt: skip
    parser.add_argument(
        "--map", type=Path, help="floor plan under the trajectories: nav2 map .yaml, or a picture with --map-size"
    )
    parser.add_argument(
        "--map-size", nargs=2, type=_positive, metavar=("WIDTH", "HEIGHT"),
        help="size of the picture, m; its lower left corner is the map's origin",
    )  # fmt: skip
    add_spread_arguments(parser)
    add_topic_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Evaluate, print the table and the report's path; 1 if a recording had to be left out."""
    from mail_localization.errors import EvaluationError
    from mail_localization.evaluation import outputs, runner, words
    from mail_localization.evaluation.floorplan import load_floorplan

    if args.live and args.start_at_reference:
        raise EvaluationError("--start-at-reference: the live node is not told where it starts; leave out --live")
    if args.live and args.odometry.endswith("ekf"):
        raise EvaluationError(f"--odometry {args.odometry}: the live node is joined as `node` only; leave out --live")
    plan = load_floorplan(args.map, args.map_size) if args.map else None
    outputs.prepare_folder(args.out)
    options = runner.Options(
        topics=topics_from_args(args),
        hop=args.hop,
        smooth=args.smooth,
        start=args.start_at_reference,
        odometry=args.odometry,
        backend=args.backend,
        spread=spread_from_args(args),
        kept=args.out / "replays",
        live_rate=args.rate if args.live else None,
        command=shlex.join(["mail_localization", *sys.argv[1:]]),
    )
    evaluation = runner.evaluate(args.models, args.bags, options)
    report = runner.write_outputs(evaluation, args.out, plan)
    for reason in sorted({skipped.reason for skipped in evaluation.skipped}):
        print(f"left out: {reason}", file=sys.stderr)
    print(words.printed_table(evaluation))
    if evaluation.reused:
        print(f"{evaluation.reused} of the replays were finished by an earlier run")
    print(f"report: {report}")
    return 1 if evaluation.skipped else 0


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return value


def _count(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text} is negative")
    return value
