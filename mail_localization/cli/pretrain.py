"""`mail_localization pretrain`: make LSTM1 of MMLoc+ from recordings of any sites."""

from __future__ import annotations

import argparse
from pathlib import Path

from mail_localization.cli.options import add_training_arguments, cache_from_args, topics_from_args

HELP = "Pretrain LSTM1 of mmloc_plus on recordings that have an IMU and references, of any sites and devices."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "--out", type=Path, required=True, metavar="LSTM1",
        help="folder for `train --lstm1`; an unfinished run in it is continued",
    )  # fmt: skip
    parser.add_argument("--config", type=Path, metavar="YAML", help="settings that differ from the defaults")
    add_training_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Pretrain and name the folder."""
    from mail_localization.data.recording import find_recordings
    from mail_localization.errors import importing
    from mail_localization.models.artifact import load_model
    from mail_localization.training.options import TrainOptions

    with importing("pretraining"):
        from mail_localization.training.parallel import Finished
        from mail_localization.training.pretrain import PretrainConfig, pretrain

    config = PretrainConfig.from_yaml(args.config) if args.config else PretrainConfig()
    options = TrainOptions(
        seed=args.seed,
        max_minutes=args.max_minutes,
        validation=tuple(args.validation),
        device=args.device,
        threads=args.threads,
        topics=topics_from_args(args),
        cache=cache_from_args(args),
    )
    try:
        pretrain(config, find_recordings(args.bags), args.out, options)
    except Finished:
        return 0
    metrics = load_model(args.out)[0].metrics
    print(
        f"{args.out}: LSTM1, held-out error of its {config.pretext} mean {metrics['held_out']['mean_m']:.2f} m "
        f"({metrics['always_the_mean_m']:.2f} m when always guessing the mean)"
    )
    return 0
