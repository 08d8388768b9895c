"""`simulate`: write recordings of a simulated site."""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = "Write recordings of a simulated site: OUT/train, OUT/test, a nav2 map of the floor, and the truth."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("out", metavar="OUT", type=Path, help="output folder")
    parser.add_argument("--config", metavar="YAML", type=Path, help="settings of site, rounds, motion and devices")
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same recordings")
    parser.add_argument("--rounds", type=int, metavar="N", help="survey rounds of walkers, instead of the settings'")


def run(args: argparse.Namespace) -> int:
    """Simulate, and name each recording as it is written."""
    from mail_localization.data.simulation import SimulationSettings, with_train_rounds
    from mail_localization.data.simulation.dataset import write_simulation
    from mail_localization.errors import ConfigError

    if args.seed < 0:
        raise ConfigError(f"--seed: {args.seed} is negative; choose 0 or more")
    settings = SimulationSettings.from_yaml(args.config) if args.config else SimulationSettings()
    if args.rounds is not None:
        settings = with_train_rounds(settings, args.rounds)
    paths = write_simulation(args.out, settings, args.seed, _report)
    print(f"{len(paths)} recordings, map.yaml and site.json in {args.out}")
    return 0


def _report(path: Path, messages: int) -> None:
    print(f"{path}: {messages} messages", flush=True)
