"""MAIL's recurrence by a kernel of our own, gru.c, which setup.py compiles where there is a C compiler.

Without it ONNX Runtime computes the same, which then takes most of an estimate's time (docs/performance.md).
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
import numpy.typing as npt

from mail_localization.models.exported.planning import Run
from mail_localization.models.exported.sharing import shared

Float32 = npt.NDArray[np.float32]

LIBRARY = "_gru"

_BASE = np.float32(-1 / math.log(2))
"""1 / (1 + 2^a) is sigmoid(x) for a = _BASE * x; of twice that, it is (1 + tanh(x)) / 2."""

_left_out: list[bool] = []


def library() -> Any:
    """Return the compiled kernel, or None where there is none or it is left out."""
    return None if _left_out else _compiled()


@contextmanager
def left_out() -> Iterator[None]:
    """Let networks that are loaded meanwhile do without the kernel, as where it is not compiled."""
    _left_out.append(True)
    try:
        yield
    finally:
        _left_out.pop()


@functools.cache
def _compiled() -> Any:
    try:
        found = np.ctypeslib.load_library(LIBRARY, str(Path(__file__).parent))
        found.grus.restype, found.grus.argtypes = None, [ctypes.c_size_t] * 4 + [ctypes.c_void_p] * 7
        found.grus_work.restype, found.grus_work.argtypes = ctypes.c_size_t, [ctypes.c_size_t] * 2
    except (OSError, AttributeError):
        # None was compiled, or of another version's gru.c.
        return None
    return found


class Cells:
    """The cells of models/gru.py's Grus, one for each scale, all of H units and C channels.

    Units are filled up with some that stay 0 to whole vectors, and weights lie as the kernel reads them: one row for
    each input, in panels of columns, scaled by _BASE.

    Attributes:
        lanes: numbers in the widest vectors to use; the processor may have narrower ones only.
    """

    lanes = 16

    def __init__(self, weights: Sequence[tuple[Float32, Float32]]) -> None:
        """Take gates (2 H, H + C + 1) and candidate (H, H + C + 1) of each."""
        self._library, (self._hidden, width) = library(), weights[0][1].shape
        panel, self._aligned = (_constant(self._library, name) for name in ("grus_panel", "grus_aligned"))
        self._channels, self._fill = width - self._hidden - 1, -self._hidden % self._aligned
        gates, candidates = [], []
        for gate, candidate in weights:
            update, reset = self._rows(gate[: self._hidden]), self._rows(gate[self._hidden :])
            gates += _panels(np.concatenate([update, reset]) * _BASE, panel)
            candidates += _panels(self._rows(candidate) * (2 * _BASE), panel)
        self._gates, self._candidates = self._joined(gates), self._joined(candidates)

    def __call__(self, run: Run, steps: Float32, before: Float32) -> Float32:
        """Return the states (N, H) of a run's sub-sequences after its steps (sum of L * N, C), from those before."""
        states = np.pad(before, ((0, 0), (0, self._fill))) if self._fill else before.copy()
        hidden = states.shape[1]
        work = self._empty(self._library.grus_work(hidden, self._channels))
        arrays = (self._gates, self._candidates, run.shapes, steps, run.lengths, states, work)
        places = [array.ctypes.data for array in arrays]
        self._library.grus(self.lanes, len(run.shapes), hidden, self._channels, *places)
        return states[:, : self._hidden]

    def _rows(self, weights: Float32) -> Float32:
        """Return weights (H, H + C + 1) for units that are filled up."""
        recurrent, rest = weights[:, : self._hidden], weights[:, self._hidden :]
        filled = np.concatenate([np.pad(recurrent, ((0, 0), (0, self._fill))), rest], axis=1)
        return np.pad(filled, ((0, self._fill), (0, 0)))

    def _joined(self, parts: Sequence[Float32]) -> Float32:
        joined = self._empty(sum(part.size for part in parts))
        np.concatenate(parts, out=joined, casting="same_kind")
        return joined

    def _empty(self, count: int) -> Float32:
        """Return so many numbers that lie on an address the kernel wants."""
        spare = np.empty(count + self._aligned, np.float32)
        start = -(spare.ctypes.data // spare.itemsize) % self._aligned
        return spare[start : start + count]


_CELLS: WeakValueDictionary[bytes, Cells] = WeakValueDictionary()
"""Hash of weights -> their cells, which keep no state: a fleet's targets all use the same."""


def cells(weights: Sequence[tuple[Float32, Float32]]) -> Cells:
    """Return the Cells of these weights."""
    name = hashlib.sha256(b"".join(weight.tobytes() for pair in weights for weight in pair)).digest()
    return shared(_CELLS, name, lambda: Cells(weights))


def _constant(library: Any, name: str) -> int:
    return ctypes.c_size_t.in_dll(library, name).value


def _panels(weights: Float32, width: int) -> list[Float32]:
    """Return weights (columns, rows) as panels (rows, width), one after the other; the last may be narrower."""
    return [weights[start : start + width].T.ravel() for start in range(0, len(weights), width)]
