"""The command line: `mail_localization COMMAND`, one module per command."""

from __future__ import annotations

import argparse
import importlib
import sys

from mail_localization.errors import MailLocalizationError

COMMANDS = {
    "import": "import_",
    "survey": "survey",
    "pretrain": "pretrain",
    "train": "train",
    "calibrate": "calibrate",
    "export": "export",
    "evaluate": "evaluate",
    "compare": "compare",
    "play": "play",
    "simulate": "simulate",
}


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands; nothing heavy is imported for it."""
    parser = argparse.ArgumentParser(
        prog="mail_localization",
        description="Indoor localization from the magnetometer, the IMU and Wi-Fi: survey, train, localize, evaluate.",
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, module_name in COMMANDS.items():
        module = importlib.import_module(f"mail_localization.cli.{module_name}")
        command = commands.add_parser(
            name, help=module.HELP, description=module.HELP, formatter_class=argparse.ArgumentDefaultsHelpFormatter
        )
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run a command; 0 on success, 1 with one line on a known error, 2 on wrong usage."""
    args = build_parser().parse_args(argv)
    try:
        code: int = args.run(args)
        sys.stdout.flush()
        return code
    except MailLocalizationError as err:
        print(f"mail_localization {args.command}: error: {err}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        # The reader of our output (head, less) has gone: nothing is left to say.
        sys.stderr.close()
        return 1
    except KeyboardInterrupt:
        print(f"mail_localization {args.command}: interrupted", file=sys.stderr)
        return 130
