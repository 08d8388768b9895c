"""What the papers look at beside the error: attention to the scales, and local anomalies of the field."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from mail_localization.data.recording import Topics
from mail_localization.data.traces import load_traces
from mail_localization.errors import EvaluationError
from mail_localization.experiments.steps import MODEL, best_trial
from mail_localization.experiments.tasks import Context
from mail_localization.localizer import WindowedConfig
from mail_localization.models.artifact import load_model, weights_of
from mail_localization.preprocess.magnetic import MICROTESLA, MagneticFeatures, MagneticSettings
from mail_localization.preprocess.windows import WindowSettings
from mail_localization.training.dataset import WindowSet
from mail_localization.types import FloatArray

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
ANOMALY_RATE = 10.0
"""Rate at which anomalies are looked for, Hz: the field changes within a fraction of a step, not faster."""


def attention(context: Context, candidates: list[str], recordings: list[str]) -> dict[str, Any]:
    """Return how MAIL weighs its scales on the windows of recordings (figures 17 and 18).

    Args:
        context: where the files are.
        candidates: task folders of trials of method mail; the kept one is looked at.
        recordings: for test.
    """
    import torch

    from mail_localization.models.mail import Mail
    from mail_localization.models.mail_settings import MailSettings
    from mail_localization.models.regressor import state

    best = best_trial(context, candidates)
    card, tensors = load_model(context.runs / best["folder"] / MODEL)
    parts = {name: card.settings.get(name, {}) for name in ("window", "magnetic")}
    config = WindowedConfig.from_mapping(parts, "model.json")
    traces = load_traces(context.recordings(recordings), Topics(), config.window, config.magnetic, cache=context.cache)
    windows = WindowSet(traces, MagneticFeatures(config.magnetic, config.window.rate_hz), config.window)
    if not len(windows):
        raise EvaluationError("no test recording has a whole window with a reference")
    network = Mail(MailSettings.from_mapping(card.settings["network"], "model.json: network"), config.window.length)
    network.load_state_dict(state(weights_of(tensors)))
    with torch.inference_mode():
        features = torch.from_numpy(windows.batch(np.arange(len(windows))))
        weights = network.weights(network.steps(features)).double().numpy()  # (n, M)
    heaviest = np.bincount(weights.argmax(axis=1), minlength=weights.shape[1]) / len(weights)
    return {
        "scales": [scale / config.window.rate_hz for scale in card.settings["network"]["scales"]],
        "mean": weights.mean(axis=0).tolist(),
        "quantiles": {str(q): np.quantile(weights, q, axis=0).tolist() for q in QUANTILES},
        "heaviest": heaviest.tolist(),
        "windows": len(weights),
    }


def anomalies(
    context: Context, recordings: list[str], window: float, scales: list[float], threshold: float
) -> dict[str, Any]:
    """Return the share of windows that hold a local anomaly of each scale (table 2).

    A window is cut into sub-sequences of a scale as MAIL cuts it (eq. 1). A sub-sequence is anomalous where the
    total field |B| ranges over the threshold or more within it. A window is counted at a scale if any of its
    sub-sequences of that scale is anomalous (`share`), and at one scale only, the shortest at which that is so
    (`first`): that is the scale at which the anomaly is local. |B| keeps the sensor's hard iron, which shifts it and
    changes its range somewhat.

    Args:
        context: where the files are.
        recordings: all of the site.
        window: length of a window, s.
        scales: lengths of the sub-sequences, s, ascending.
        threshold: range of |B|, microtesla.
    """
    settings = WindowSettings(rate_hz=ANOMALY_RATE, length=round(window * ANOMALY_RATE), hop=round(ANOMALY_RATE / 2))
    traces = load_traces(
        context.recordings(recordings), Topics(), settings, MagneticSettings(transform="raw"), cache=context.cache
    )
    parts = [part for trace in traces for segment in trace.segments if len(part := _fields(segment, settings))]
    if not parts:
        raise EvaluationError(f"no recording is as long as the window of {window:g} s; lower anomalies.window")
    field = np.concatenate(parts)  # (n, N)
    ranges = [_largest_range(field, round(scale * ANOMALY_RATE)) for scale in sorted(scales)]
    anomalous = np.stack([found >= threshold for found in ranges], axis=1)  # (n, M)
    before = np.logical_or.accumulate(anomalous, axis=1)
    first = before & ~np.concatenate([np.zeros((len(field), 1), dtype=bool), before[:, :-1]], axis=1)
    return {
        "scales": sorted(scales),
        "share": anomalous.mean(axis=0).tolist(),
        "first": first.mean(axis=0).tolist(),
        "median_range_ut": [float(np.median(found)) for found in ranges],
        "threshold_ut": threshold,
        "windows": len(field),
    }


def _fields(segment: Any, settings: WindowSettings) -> FloatArray:
    """Return |B| of all windows of a segment: (n, N) microtesla."""
    ends = segment.window_ends(settings.length, settings.hop)
    total = np.linalg.norm(segment.rows[:, :3], axis=1) * MICROTESLA
    return np.asarray(total[ends[:, None] + np.arange(-settings.length, 0)]).reshape(-1, settings.length)


def _largest_range(field: FloatArray, scale: int) -> npt.NDArray[np.float64]:
    """Return for each window (n, N) the largest range within one of its sub-sequences of a length: (n,)."""
    from mail_localization.models.mail_settings import subsequence_starts

    length = field.shape[1]
    starts = subsequence_starts(length, min(scale, length), grid=1)
    cut = [field[:, start : start + scale] for start in starts]
    return np.asarray(np.max([np.ptp(part, axis=1) for part in cut], axis=0))
