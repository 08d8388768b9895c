"""Calls that tests give to workers; those that are counted leave a mark for every time they are made."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from mail_localization.errors import RecordingError


def doubled(number: int) -> int:
    if number < 0:
        raise RecordingError(f"bag_{number}:\nno such file")
    return 2 * number


def stumble(text: str) -> int:
    return int(text)


def own_process(_: object) -> int:
    return os.getpid()


def killed_once(path: Path) -> int:
    with path.open("a") as file:
        file.write("x")
    if len(path.read_text()) == 1:
        time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGKILL)
    return len(path.read_text())


def killed_always(_: object) -> int:
    # A nanny whose worker dies before its start is told gives up.
    time.sleep(0.5)
    os.kill(os.getpid(), signal.SIGKILL)
    return 0


def sleep(path: Path) -> int:
    path.write_text(str(os.getpid()))
    time.sleep(60)
    return 0
