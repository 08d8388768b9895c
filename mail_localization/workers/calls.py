"""A call that is made elsewhere, its answer, and what makes it."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

from mail_localization.errors import MailLocalizationError

Function = Callable[[Any], Any]
"""Of a module, so that another process finds it; argument and value are plain data."""


@dataclass(frozen=True)
class Answer:
    """What a call returned, or why it returned nothing."""

    value: Any = None
    error: str = ""
    """One line."""


class Workers(Protocol):
    """Processes that make calls, each of them one call at a time."""

    def free(self) -> int:
        """Return how many more calls can be begun now."""

    def begin(self, number: int, function: Function, argument: Any) -> None:
        """Have a call made; its answer comes with its number, once."""

    def wait(self, seconds: float = 1.0) -> list[tuple[int, Answer]]:
        """Return the answers that are there, after waiting for the first for so long at most."""

    def close(self) -> None:
        """Give up every call that is not answered."""


def attempt(function: Function, argument: Any) -> Answer:
    """Make a call here; an error, a bug too, becomes a line that says where it happened."""
    try:
        return Answer(function(argument))
    except MailLocalizationError as err:
        return Answer(error=" ".join(str(err).split()))
    except Exception as err:
        last = traceback.extract_tb(err.__traceback__)[-1]
        where = f"{Path(last.filename).name}, line {last.lineno}"
        return Answer(error=f"{type(err).__name__}: {' '.join(str(err).split())} ({where}); please tell us")


@lru_cache(maxsize=1)
def prepare_process() -> None:
    """Make this process one that can be ended at any time."""
    from tqdm import tqdm

    # A lock between processes would be left behind when this one is ended.
    tqdm.set_lock(threading.RLock())
