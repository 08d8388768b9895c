"""How large the errors of a network over several modalities are, with and without each of them."""

from __future__ import annotations

import numpy as np

from mail_localization.models.mmloc import MmlocPlus, predictor_of
from mail_localization.models.mmloc_localizer import PATTERNS, patterns
from mail_localization.preprocess.modalities import MODALITIES
from mail_localization.training.modal_examples import ModalExamples
from mail_localization.training.provenance import second_moment
from mail_localization.types import FloatArray

_ENOUGH = 30
"""Windows from which a covariance can be told."""


def covariances_by_modality(model: MmlocPlus, validation: ModalExamples, errors: FloatArray) -> FloatArray:
    """Return (8, 2, 2) for each set of modalities: the second moment of the errors without the others, m^2.

    For a heat map, which knows its own spread, the factor on it that makes the held-out errors as large as it says.
    """
    predictor = predictor_of(model, np.broadcast_to(np.eye(2), (PATTERNS, 2, 2)))
    heatmap = predictor.heatmap is not None
    covariances = np.broadcast_to(np.eye(2) if heatmap else second_moment(errors), (PATTERNS, 2, 2)).copy()
    there = patterns(validation.columns.mask)
    for pattern in range(PATTERNS):
        # Windows that have these modalities at least; the others are masked.
        which = np.flatnonzero((there & pattern) == pattern)
        if len(which) < _ENOUGH or not pattern >> 1:
            continue
        inputs = validation.plain(which)
        inputs[3][:] = [(pattern >> k) & 1 for k in range(len(MODALITIES))]
        found = predictor.predict(inputs)
        offsets = np.array([instant.position for instant in found]) - validation.positions[which]
        if heatmap:
            inverse = np.linalg.inv(np.array([instant.covariance for instant in found]))
            covariances[pattern] *= np.einsum("ni,nij,nj->n", offsets, inverse, offsets).mean() / 2
        else:
            covariances[pattern] = second_moment(offsets)
    return covariances
