"""Steps that tests give to worker processes; each leaves a mark for every time it ran."""

from __future__ import annotations

import os
import time
from typing import Any

from mail_localization.errors import TrainingError
from mail_localization.experiments.tasks import Context


def mark(context: Context, **arguments: Any) -> dict[str, Any]:
    with (context.folder / "ran").open("a") as file:
        file.write("x")
    return arguments


def refuse(context: Context, **arguments: Any) -> dict[str, Any]:
    mark(context)
    raise TrainingError("a.yaml: no recording\nfor this")


def stumble(context: Context) -> dict[str, Any]:
    return {"value": int("many")}


def die(context: Context) -> dict[str, Any]:
    os._exit(9)


def sleep(context: Context) -> dict[str, Any]:
    time.sleep(60)
    return {}
