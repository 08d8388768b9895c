"""`mail_localization train`: make a model from surveyed recordings."""

from __future__ import annotations

import argparse
from pathlib import Path

from mail_localization.cli.calibrate import words
from mail_localization.cli.options import add_training_arguments, cache_from_args, topics_from_args
from mail_localization.methods import METHODS

HELP = "Train a method on surveyed recordings and write its model folder."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    methods = "; ".join(f"{name}: {method.help}" for name, method in METHODS.items())
    parser.add_argument("--method", required=True, choices=sorted(METHODS), help=methods)
    parser.add_argument("--out", type=Path, required=True, metavar="MODEL", help="model folder; an unfinished run "
                        "in it is continued")  # fmt: skip
    parser.add_argument("--config", type=Path, metavar="YAML", help="settings that differ from the method's defaults")
    add_training_arguments(parser)
    parser.add_argument(
        "--lstm1", type=Path, metavar="FOLDER", help="LSTM1 made by pretrain, for mmloc_plus; default: from scratch"
    )


def run(args: argparse.Namespace) -> int:
    """Train and name the model folder."""
    from mail_localization.data.recording import find_recordings
    from mail_localization.errors import TrainingError, importing
    from mail_localization.models.artifact import load_model
    from mail_localization.training.options import TrainOptions

    with importing("training"):
        from mail_localization.training.parallel import Finished

    method = METHODS[args.method]
    config = method.config.from_yaml(args.config) if args.config else method.config()
    recordings = find_recordings(args.bags)
    if not recordings:
        raise TrainingError(f"{', '.join(map(str, args.bags))}: no recording found; make one with import or survey")
    options = TrainOptions(
        seed=args.seed,
        max_minutes=args.max_minutes,
        validation=tuple(args.validation),
        device=args.device,
        threads=args.threads,
        lstm1=args.lstm1,
        topics=topics_from_args(args),
        cache=cache_from_args(args),
    )
    try:
        method.train(config, recordings, args.out, options)
    except Finished:
        return 0
    card, _ = load_model(args.out)
    held_out = card.metrics["held_out"]
    print(
        f"{args.out}: {args.method}, held-out error mean {held_out['mean_m']:.2f} m, "
        f"median {held_out['median_m']:.2f} m ({held_out['windows']} windows)"
    )
    if checked := card.metrics.get("calibration"):
        print(
            f"covariance calibrated on recordings not trained on, of {', '.join(checked['devices']) or 'one device'}: "
            f"{words(checked['calibrated'])}; for other devices or places, see `mail_localization calibrate`"
        )
    return 0
