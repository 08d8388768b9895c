"""Options that several commands share."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mail_localization.data.cache import Cache
    from mail_localization.data.recording import Topics
    from mail_localization.workers import Spread

_STREAMS = ("imu", "mag", "wifi", "odom", "reference")


def add_topic_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare --topic NAME=TOPIC and --wifi NAME=VALUE, which can be repeated."""
    parser.add_argument(
        "--topic", action="append", default=[], type=_topic, metavar="NAME=TOPIC",
        help=f"remap {', '.join(_STREAMS[:-1])} or {_STREAMS[-1]}, e.g. mag=/phone/mag; can be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--wifi", action="append", default=[], type=_setting, metavar="NAME=VALUE",
        help="where Wi-Fi messages of a type of your own keep what, as the node's parameters wifi.NAME, "
        "e.g. bssid=cells.mac; can be repeated",
    )  # fmt: skip


def topics_from_args(args: argparse.Namespace) -> Topics:
    """Return the default topics with the remapped ones replaced, and how Wi-Fi messages are read."""
    from mail_localization.data.recording import Topics
    from mail_localization.data.wifi_settings import WifiMappingSettings

    wifi = WifiMappingSettings.from_mapping(dict(args.wifi), "--wifi")
    return Topics.from_mapping({**dict(args.topic), "wifi_mapping": wifi}, "--topic")


def add_training_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what every command that trains on recordings takes."""
    parser.add_argument(
        "--bags", nargs="+", type=Path, required=True, metavar="DIR", help="recordings, or folders that hold them"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of everything drawn at random")
    parser.add_argument(
        "--max-minutes", type=float, metavar="M", help="stop after this time with the best model so far"
    )
    parser.add_argument(
        "--validation", nargs="+", type=Path, default=[], metavar="DIR",
        help="recordings held out for validation; default: a share of --bags, drawn by the seed",
    )  # fmt: skip
    parser.add_argument(
        "--device", choices=("auto", "cpu", "cuda"), default="auto", help="where the network is trained"
    )
    parser.add_argument(
        "--threads", type=positive_int, metavar="N", default=1,
        help="CPU threads; mail uses more well, other methods on an idle machine only",
    )  # fmt: skip
    add_cache_argument(parser)
    add_topic_arguments(parser)


def add_cache_argument(parser: argparse.ArgumentParser) -> None:
    """Declare --cache."""
    parser.add_argument(
        "--cache", metavar="DIR|off", help="where resampled recordings are kept between runs, 4 GB at most; default: "
        "mail_localization in $XDG_CACHE_HOME or ~/.cache",
    )  # fmt: skip


def cache_from_args(args: argparse.Namespace) -> Cache:
    """Return the cache asked for."""
    from mail_localization.data.cache import Cache, default_folder

    if args.cache is None:
        return Cache(default_folder())
    return Cache(None if args.cache == "off" else Path(args.cache))


def add_spread_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare --jobs, by default one per core, and --scheduler."""
    parser.add_argument("--jobs", type=positive_int, default=os.cpu_count() or 1, help="processes (default: cores)")
    parser.add_argument(
        "--scheduler", metavar="ADDRESS", default=os.environ.get("DASK_SCHEDULER_ADDRESS", ""),
        help="Dask scheduler, as tcp://HOST:8786, whose workers take the place of --jobs (docs/clusters.md); "
        "default: DASK_SCHEDULER_ADDRESS of the environment",
    )  # fmt: skip


def spread_from_args(args: argparse.Namespace) -> Spread:
    """Return where the command's work is done."""
    from mail_localization.workers import Spread

    return Spread(args.jobs, args.scheduler)


def positive_int(text: str) -> int:
    """Parse a whole number of at least 1."""
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return value


def _setting(text: str) -> tuple[str, str | float]:
    name, separator, value = text.partition("=")
    if not name or not separator:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    try:
        return name, float(value) if name == "accumulate" else value
    except ValueError as err:
        raise argparse.ArgumentTypeError(f"{text!r}: {value!r} is not a number of seconds") from err


def _topic(text: str) -> tuple[str, str]:
    name, separator, topic = text.partition("=")
    if name not in _STREAMS or not separator or not topic.startswith("/") or len(topic) < 2:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not NAME=TOPIC with NAME one of {', '.join(_STREAMS)} and a TOPIC that begins with /"
        )
    return name, topic
