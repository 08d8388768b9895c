"""How one training run is carried out; what is trained is in the method's settings."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from mail_localization.data.cache import NO_CACHE, Cache
from mail_localization.data.recording import Topics
from mail_localization.errors import TrainingError


@dataclass(frozen=True)
class TrainOptions:
    """Options of the command `train` that every method receives."""

    seed: int = 0
    """Seed of everything drawn: weights, batches, augmentation, choice of validation recordings."""
    max_minutes: float | None = None
    """Wall time after which training stops with the best model so far, min; None takes the config's."""
    validation: tuple[Path, ...] = ()
    """Recordings, or folders of them, held out for validation; empty: the method chooses by recording."""
    device: str = "auto"
    """cpu, cuda, or auto (cuda where there is one)."""
    threads: int = 1
    """CPU threads. Only mail shares whole sequences out; a time step of the others is too short to share well: beside
    other work, two threads wait more than they do."""
    lstm1: Path | None = None
    """Folder of a pretrained LSTM1, for mmloc_plus; None trains it from scratch."""
    topics: Topics = field(default_factory=Topics)
    """Names of the topics in the recordings."""
    cache: Cache = NO_CACHE
    """Where what is made of recordings is kept between runs; nowhere, as it is."""
    progress: bool = True
    """Draw a progress bar on the standard error stream."""

    def __post_init__(self) -> None:
        if self.max_minutes is not None and not self.max_minutes > 0:
            raise TrainingError(f"--max-minutes: {self.max_minutes!r} is not positive; give minutes, e.g. 30")
        if self.seed < 0:
            raise TrainingError(f"--seed: {self.seed!r} is negative; give a whole number from 0")
        if self.threads < 1:
            raise TrainingError(f"--threads: {self.threads!r} is below 1; give the number of CPU threads")
