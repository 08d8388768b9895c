"""Search of a survey's magnetic sequences by dynamic time warping (library: dtaidistance, in C).

Lower bounds (LB_Keogh: Keogh and Ratanamahatana, KAIS 2005), a Sakoe-Chiba band and early abandoning leave few of
the windows to be warped at all; the answer is that of the full search.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mail_localization.errors import importing
from mail_localization.types import FloatArray

_CHUNK = 128
"""Windows warped between two looks at the best distance so far."""


@dataclass(frozen=True, eq=False)
class Matches:
    """The windows nearest to a query, best first."""

    index: npt.NDArray[np.int64]
    """(M,) numbers of windows."""
    cost: FloatArray
    """(M,) mean squared difference per sample after warping, of the features' unit squared."""


class SequenceSearch:
    """Windows of one length, ready to be compared with queries of that length.

    The cost of a window is `(DTW(q - mean(q), w - mean(w))^2 + offset_weight n |mean(q) - mean(w)|^2) / n`: with
    a weight of 0 a constant offset, such as another phone's hard iron, costs nothing.
    """

    def __init__(self, windows: FloatArray, band: int, offset_weight: float) -> None:
        """Prepare windows (W, n, C); `band` is the largest warp in samples."""
        self._means = windows.mean(axis=1)
        # Row 0 is the query's place: dtaidistance compares one row of an array with a block of others.
        self._rows = np.concatenate([np.zeros((1, *windows.shape[1:])), windows - self._means[:, None]])
        self._band = band
        length = windows.shape[1]
        around = np.arange(length)[:, None] + np.arange(-band, band + 1)
        self._reached = around.clip(0, length - 1)
        """(n, 2 band + 1) numbers of the samples that one of a window may be warped to."""
        self._offset_weight = offset_weight

    def search(self, query: FloatArray, floor: float, ratio: float, most: int) -> Matches:
        """Return the windows that cost at most `ratio` x max(floor, the least cost), and of those the `most` best.

        Args:
            query: (n, C).
            floor: cost of a match that cannot be told from a perfect one.
            ratio: over 1.
            most: matches returned at most.
        """
        length = len(query)
        mean = query.mean(axis=0)
        centred = query - mean
        offsets = self._offset_weight * ((self._means - mean) ** 2).sum(axis=1) * length
        bounds = self._lower_bounds(centred) + offsets
        squared = self._warped(centred, bounds, offsets, floor * length, ratio)
        chosen = np.flatnonzero(squared <= ratio * max(floor * length, squared.min(initial=np.inf)))
        chosen = chosen[np.argsort(squared[chosen], kind="stable")][:most]
        return Matches(chosen, squared[chosen] / length)

    def _lower_bounds(self, centred: FloatArray) -> FloatArray:
        """Return LB_Keogh squared for each window (W,): its distance from the query's envelope."""
        spans, windows = centred[self._reached], self._rows[1:]
        outside = windows - windows.clip(spans.min(axis=1), spans.max(axis=1))
        return np.asarray(np.einsum("wnc,wnc->w", outside, outside))

    def _warped(self, centred: FloatArray, bounds: FloatArray, offsets: FloatArray, floor: float,
                ratio: float) -> FloatArray:  # fmt: skip
        """Return squared distances (W,); infinite where they are known to be beyond the limit."""
        squared = np.full(len(bounds), np.inf)
        best = np.inf
        order = np.argsort(bounds, kind="stable")
        for start in range(0, len(order), _CHUNK):
            part = order[start : start + _CHUNK]
            limit = ratio * max(floor, best)
            part = part[bounds[part] <= limit]
            if not len(part):
                break
            # A little above the limit: the library abandons on rounded roots.
            furthest = np.sqrt(limit - offsets[part].min()) * (1 + 1e-9) if np.isfinite(limit) else None
            squared[part] = self._distances(centred, part, furthest) ** 2 + offsets[part]
            best = min(best, squared[part].min())
        return squared

    def _distances(self, centred: FloatArray, windows: npt.NDArray[np.int64], furthest: float | None) -> FloatArray:
        with importing("dynamic time warping"):
            from dtaidistance import dtw_ndim
        rows = self._rows[np.concatenate([[0], windows + 1])]
        rows[0] = centred
        found = dtw_ndim.distance_matrix_fast(
            rows, rows.shape[2], max_dist=furthest, window=self._band + 1, block=((0, 1), (1, len(rows))),
            compact=True, parallel=False,
        )  # fmt: skip
        return np.asarray(found, dtype=np.float64)
