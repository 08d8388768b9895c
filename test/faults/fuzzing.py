"""Feed damaged input to a reader: it may refuse with its documented error, and nothing else."""

from __future__ import annotations

import random
import resource
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from mail_localization.errors import MailLocalizationError


class Target(Protocol):
    """A reader and the damage it is given."""

    name: str
    documented: type[MailLocalizationError]

    def cases(self, rng: random.Random) -> Iterator[None]:
        """Prepare, yield once per damaged input, then read."""


@dataclass(frozen=True)
class Outcome:
    """What came of many inputs."""

    name: str
    inputs: int
    refusals: int
    """Readings that ended with the documented error; the others found enough to read on."""
    seconds: float
    slowest: float
    """Longest reading, s."""
    growth_mb: float
    """Growth of the process's peak memory from the first reading on."""


class UndocumentedError(AssertionError):
    """A reader raised what it never should; the message says how to repeat it."""


def fuzz(target: Target, inputs: int, seed: int = 0) -> Outcome:
    """Feed at least `inputs` damaged inputs; UndocumentedError at the first that ends in another error."""
    started, fed, refusals, slowest, case, base = time.monotonic(), 0, 0, 0.0, 0, 0.0
    while fed < inputs:
        taken, count, refused = run_case(target, seed, case)
        fed, refusals, slowest, case = fed + count, refusals + refused, max(slowest, taken), case + 1
        base = base or _peak_mb()  # After the first case: what the libraries need is not growth.
    return Outcome(target.name, fed, refusals, time.monotonic() - started, slowest, _peak_mb() - base)


def run_case(target: Target, seed: int, case: int) -> tuple[float, int, bool]:
    """Run one case; return the seconds it took, the number of its inputs, and whether it was refused."""
    started, count, refused = time.monotonic(), 0, False
    try:
        for _ in target.cases(random.Random(f"{target.name}:{seed}:{case}")):
            count += 1
            started = time.monotonic()
    except target.documented:
        refused = True
    except Exception as err:
        raise UndocumentedError(f"{target.name}, seed {seed}, case {case}: {type(err).__name__}: {err}") from err
    return time.monotonic() - started, count, refused


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
