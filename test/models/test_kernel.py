"""The compiled kernel against the same cells step by step, and what is done where it is missing or wrong."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest
from compiled import needs_kernel

from mail_localization.models.exported import kernel
from mail_localization.models.exported.planning import Run

CHANNELS = 3
COUNTS = (1, 2, 3, 4, 5, 6, 10, 47)
"""Sequences of each scale: every size of a tile, and more than are carried on together."""


def _run(depths: np.ndarray, lengths: list[np.ndarray]) -> Run:
    nothing = np.zeros(0, dtype=np.int64)
    shapes = np.stack([depths, [len(each) for each in lengths]], axis=1).astype(np.uintp)
    numbers = np.concatenate(lengths).astype(np.int32)
    return Run(shapes, nothing, numbers, nothing, nothing, nothing[None], nothing, ())


def _stepwise(
    gates: np.ndarray, candidate: np.ndarray, x: np.ndarray, lengths: np.ndarray, h: np.ndarray
) -> np.ndarray:
    """Return states (N, H) after steps (L, N, C) by MAIL's eq. 2-5, in double precision."""
    hidden = h.shape[1]
    for t, step in enumerate(x.astype(np.float64)):
        rest = np.concatenate([step, np.ones((len(step), 1))], axis=1)
        opened = 1 / (1 + np.exp(-np.concatenate([h, rest], axis=1) @ gates.T))
        update, reset = opened[:, :hidden], opened[:, hidden:]
        new = np.tanh(np.concatenate([reset * h, rest], axis=1) @ candidate.T)
        h = np.where((t < lengths)[:, None], (1 - update) * h + update * new, h)
    return h


@needs_kernel
@pytest.mark.parametrize("lanes", [4, 8, 16])
@pytest.mark.parametrize("hidden", [6, 32, 48, 80])
@pytest.mark.parametrize("size", [1.0, 1e4])
def test_kernel_equals_the_cells_step_by_step(lanes: int, hidden: int, size: float) -> None:
    rng = np.random.default_rng(hidden)
    width = hidden + CHANNELS + 1
    weights = [
        (
            rng.normal(scale=width**-0.5, size=(2 * hidden, width)).astype(np.float32),
            rng.normal(scale=width**-0.5, size=(hidden, width)).astype(np.float32),
        )
        for _ in COUNTS
    ]
    depths = rng.integers(1, 30, len(COUNTS))
    lengths = [rng.integers(0, depth + 1, count) for depth, count in zip(depths, COUNTS, strict=True)]
    steps = [
        rng.normal(scale=size, size=(depth, count, CHANNELS)).astype(np.float32)
        for depth, count in zip(depths, COUNTS, strict=True)
    ]
    before = [rng.uniform(-1, 1, (count, hidden)).astype(np.float32) for count in COUNTS]
    cells = kernel.Cells(weights)
    cells.lanes = lanes
    with np.errstate(over="ignore"):
        expected = [_stepwise(*pair, *rest) for pair, *rest in zip(weights, steps, lengths, before, strict=True)]
    rows = np.concatenate([each.reshape(-1, CHANNELS) for each in steps])
    found = cells(_run(depths, lengths), rows, np.concatenate(before))
    # Of large inputs the sums themselves are rounded: a gate near its middle is as far off as its input.
    np.testing.assert_allclose(found, np.concatenate(expected), atol=2e-6 if size == 1 else 2e-3)


@needs_kernel
def test_kernel_is_left_out_only_meanwhile() -> None:
    with kernel.left_out():
        assert kernel.library() is None
    assert kernel.library() is not None


def test_kernel_of_another_version_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(np.ctypeslib, "load_library", lambda *_: ctypes.CDLL(None))
    assert kernel._compiled.__wrapped__() is None


@needs_kernel
def test_equal_weights_have_the_same_cells() -> None:
    def weights() -> list[tuple[np.ndarray, np.ndarray]]:
        return [(np.ones((8, 8), np.float32), np.ones((4, 8), np.float32))]

    one = kernel.cells(weights())
    assert kernel.cells(weights()) is one
    assert kernel.cells([(weights()[0][0] * 2, weights()[0][1])]) is not one
