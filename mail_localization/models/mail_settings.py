"""Sizes of MAIL's network and where its sub-sequences lie: what training, torch and ONNX Runtime have in common."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

from mail_localization.config import Settings, setting
from mail_localization.errors import ConfigError

CHANNELS = 3


class MailSettings(Settings):
    """Sizes of the network; the paper gives the scales only, the rest was chosen by validation and speed."""

    scales: tuple[int, ...] = setting(
        (50, 100, 150, 200, 250, 500), "lengths of the sub-sequences, samples (section 4.2)", minimum=1
    )
    stride: int = setting(
        1,
        "samples averaged into one time step (not in the paper): fewer steps train faster, and forget less",
        minimum=1,
    )
    hidden: int = setting(32, "units of each GRU (not given in the paper)", minimum=1, maximum=4096)
    embedding_hidden: int = setting(64, "units between the two FC of eq. 7 (not given in the paper)", minimum=1)
    embedding: int = setting(32, "size of Psi_m, the embedding of a scale (not given in the paper)", minimum=2)
    attention: bool = setting(True, "weigh the scales by attention (eq. 8-10); false: all alike, the ablation")
    attention_hidden: int = setting(32, "units between the two FC of eq. 8 (not given in the paper)", minimum=1)
    dropout: float = setting(0.0, "share of the fused embedding dropped in training", minimum=0.0, maximum=0.9)

    def check(self) -> None:
        """Raise ConfigError for no scale, one given twice, or one that is no whole number of time steps."""
        if not self.scales or len(set(self.scales)) < len(self.scales):
            raise ConfigError(f"scales: {self.scales!r} must be at least one length, each once")
        if odd := [scale for scale in self.scales if scale % self.stride]:
            raise ConfigError(f"stride: {self.stride} does not divide scales: {odd[0]}; give scales that are multiples")


def subsequence_starts(length: int, scale: int, grid: int) -> tuple[int, ...]:
    """Return where the P = ceil(length / scale) sub-sequences of a scale start (eq. 1).

    They are spread evenly from 0 to length - scale, and overlap where the scale does not divide the length. Each
    start is moved down to the grid where that leaves no gap and the last lies on it (scale 150 of 500, grid 50:
    0, 100, 200, 350), so that windows a multiple of the grid apart share all but their newest sub-sequences.
    """
    last, steps = length - scale, math.ceil(length / scale) - 1
    if steps == 0:
        return (0,)
    even = [i * last // steps for i in range(steps + 1)]
    gridded = [start // grid * grid for start in even]
    whole = gridded[-1] == last and all(b - a <= scale for a, b in itertools.pairwise(gridded))
    return tuple(gridded if whole else even)


@dataclass(frozen=True)
class SubSequences:
    """The sub-sequences of a window (eq. 1), in time steps of `stride` samples."""

    length: int
    """Time steps in a window."""
    scales: tuple[int, ...]
    """Time steps in the sub-sequences of each scale."""
    starts: tuple[tuple[int, ...], ...]
    """First time steps of the sub-sequences of each scale."""

    @classmethod
    def of(cls, settings: MailSettings, length: int) -> SubSequences:
        """Lay them out in a window of `length` samples; ConfigError where a scale exceeds it."""
        if max(settings.scales) > length:
            raise ConfigError(f"scales: {max(settings.scales)} exceeds the window's length of {length} samples")
        steps = length // settings.stride
        scales = tuple(scale // settings.stride for scale in settings.scales)
        grid = math.gcd(*scales)
        return cls(steps, scales, tuple(subsequence_starts(steps, scale, grid) for scale in scales))
