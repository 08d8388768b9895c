"""Figures of the report as PNG bytes: error CDF, calibration, trajectories over the floor plan, error over time."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from mail_localization.evaluation.canvas import INK, MUTED, draw_legend, new_axes, new_figure, to_png
from mail_localization.evaluation.floorplan import FloorPlan
from mail_localization.evaluation.metrics import error_cdf, normalized_error, reliability
from mail_localization.evaluation.replay import Replay
from mail_localization.evaluation.results import ModelResult
from mail_localization.types import FloatArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap

Box = tuple[float, float, float, float]
"""Shown part of the map: x from, x to, y from, y to, m."""

COLOURS = ("#1668a8", "#c8442f", "#2e8b57", "#8a4fa0", "#b8860b", "#4a5568")
LEVELS = (0.0, 0.25, 0.5, 0.75, 0.9, 1.0)
"""Probabilities marked on the axes."""
GROSS = 10.0
"""The colour scale of errors ends here at the latest, m: beyond, a position is simply wrong."""
ERROR_COLOURS = ("#1f4e9e", "#3f9a94", "#eda53a", "#c0261c")
"""From no error to the end of the scale: dark enough on white, and told apart by the colour-blind."""


def cdf_plot(models: Sequence[ModelResult]) -> bytes:
    """Draw the share of errors below each distance, one line per model, recordings pooled."""
    figure = new_figure(3.5)
    axes = new_axes(figure, "error (m)", "share of errors at most that large")
    reach = 3.0
    for model, colour in zip(models, _colours(models), strict=True):
        error, share = error_cdf(pooled_errors(model.replays))
        if len(error) == 0:
            continue
        reach = max(reach, 1.15 * float(np.percentile(error, 95)))
        axes.step(np.r_[0, error], np.r_[0, share], where="post", color=colour, lw=2, label=model.name)
    for level in (0.5, 0.9):
        axes.axhline(level, color=MUTED, lw=0.8, ls=(0, (2, 3)))
    axes.set(xlim=(0, reach), ylim=(0, 1.01), yticks=(0, 0.25, 0.5, 0.75, 0.9, 1))
    axes.set_yticklabels(["0 %", "25 %", "50 %", "75 %", "90 %", "100 %"])
    axes.set_title("APE (translation, m, not aligned), one error per second", loc="left")
    draw_legend(axes)
    return to_png(figure)


def calibration_plot(models: Sequence[ModelResult]) -> bytes:
    """Draw the share of errors inside ellipses of each probability; on the diagonal, covariances are honest."""
    figure = new_figure(3.5)
    axes = new_axes(figure, "probability that the ellipse should hold", "share of errors inside")
    axes.plot([0, 1], [0, 1], color=MUTED, lw=1.2, ls=(0, (2, 3)), label="honest")
    for model, colour in zip(models, _colours(models), strict=True):
        nees = np.concatenate([np.empty(0), *(normalized_error(replay.association) for replay in model.replays)])
        wanted, held = reliability(nees)
        if len(wanted):
            axes.step(np.r_[0, wanted, 1], np.r_[0, held, held[-1]], where="post", color=colour, lw=2, label=model.name)
    axes.set(xlim=(0, 1), ylim=(0, 1.01), xticks=LEVELS, yticks=LEVELS)
    for side in (axes.set_xticklabels, axes.set_yticklabels):
        side([f"{100 * level:.0f} %" for level in LEVELS])
    axes.set_title("Ellipses: above the line cautious, below over-confident", loc="left")
    draw_legend(axes)
    return to_png(figure)


def trajectory_plot(replay: Replay, error_limit: float, box: Box, plan: FloorPlan | None = None) -> bytes:
    """Draw the reference and the estimates taken at each second, coloured by error up to `error_limit` m."""
    pairs = replay.association
    left, right, bottom, top = box
    figure = new_figure(min(max(4.0 * (top - bottom) / (right - left), 1.6), 6.5) + 0.9)
    axes = new_axes(figure, "x (m)", "y (m)")
    if plan is not None:
        _draw_plan(axes, plan)
        axes.grid(False)
    for reference, estimate in zip(pairs.reference, pairs.estimate, strict=True):
        axes.plot(*np.stack([reference, estimate], axis=1), color=MUTED, lw=0.5, alpha=0.4, zorder=2)
    # A white rim sets the reference off from the plan's walls.
    axes.plot(*pairs.reference.T, color="white", lw=5, alpha=0.9, zorder=3)
    axes.plot(*pairs.reference.T, color=INK, lw=2, alpha=0.8, zorder=3, label="reference")
    axes.plot(*pairs.reference[0], "o", color="white", mec=INK, mew=1.6, ms=8, zorder=5, label="start")
    seen = pairs.available
    x, y = pairs.estimate[seen].T
    dots = axes.scatter(
        x, y, c=pairs.error[seen], cmap=_error_colours(), vmin=0, vmax=error_limit,
        s=18, zorder=4, edgecolors="white", linewidths=0.3, label="estimate, each second",
    )  # fmt: skip
    if seen.any():
        bar = figure.colorbar(dots, ax=axes, extend="max", fraction=0.04, pad=0.02, label="error (m)")
        bar.outline.set_visible(False)
    axes.set(xlim=(left, right), ylim=(bottom, top), aspect="equal")
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, frameon=False)
    return to_png(figure)


def error_plot(replays: Sequence[Replay], colours: Sequence[str]) -> bytes:
    """Draw the error over time on one recording, one line per model; gaps have no estimate."""
    figure = new_figure(2.5)
    axes = new_axes(figure, "time since the first reference (s)", "error (m)")
    for row, (replay, colour) in enumerate(zip(replays, colours, strict=True)):
        pairs = replay.association
        axes.plot(pairs.elapsed, pairs.error, color=colour, lw=1.4, marker=".", ms=3, label=replay.task.model)
        missing = pairs.elapsed[~pairs.available]
        # Marks below the axis, one row per model, so that silence is as visible as error.
        height, below = np.full(len(missing), -0.03 - 0.035 * row), axes.get_xaxis_transform()
        axes.plot(missing, height, "|", color=colour, ms=5, transform=below, clip_on=False)
    axes.set_xlim(0, max(float(r.association.elapsed[-1]) for r in replays) or 1.0)
    axes.set_ylim(bottom=0)
    axes.tick_params(axis="x", pad=6 + 3 * len(replays))
    draw_legend(axes)
    return to_png(figure)


def pooled_errors(replays: Iterable[Replay]) -> FloatArray:
    """Return the errors of all available instants: (n,) m."""
    error = np.concatenate([np.empty(0), *(replay.association.error for replay in replays)])
    return np.asarray(error[np.isfinite(error)])


def shown_error_limit(models: Iterable[ModelResult]) -> float:
    """Return the error at which the colour scale of all trajectories ends, m."""
    error = np.concatenate([np.empty(0), *(pooled_errors(model.replays) for model in models)])
    if len(error) == 0:
        return 1.0
    return float(math.ceil(np.clip(np.percentile(error, 90), 1.0, GROSS)))


def shown_box(replays: Iterable[Replay]) -> Box:
    """Return the part of the map that holds reference and estimates of all replays, with a margin."""
    pairs = [replay.association for replay in replays]
    points = np.concatenate([part for pair in pairs for part in (pair.reference, pair.estimate)])
    low, high = np.nanmin(points, axis=0), np.nanmax(points, axis=0)
    margin = 0.06 * float(max(high - low)) + 1.0
    centre, span = (low + high) / 2, high - low + 2 * margin
    # A straight corridor needs some width to be seen as a place.
    span = np.maximum(span, 0.35 * max(span))
    (left, bottom), (right, top) = centre - span / 2, centre + span / 2
    return float(left), float(right), float(bottom), float(top)


def model_colours(models: Sequence[ModelResult]) -> dict[str, str]:
    """Return the colour of each model by name, the same in every figure."""
    return dict(zip((model.name for model in models), _colours(models), strict=True))


def _colours(models: Sequence[ModelResult]) -> list[str]:
    return [COLOURS[index % len(COLOURS)] for index in range(len(models))]


def _error_colours() -> Colormap:
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("error", ERROR_COLOURS)


def _draw_plan(axes: Axes, plan: FloorPlan) -> None:
    from matplotlib.transforms import Affine2D

    x, y, yaw = plan.origin
    place = Affine2D().rotate(yaw).translate(x, y) + axes.transData
    extent = (0, plan.width, 0, plan.height)
    axes.imshow(
        plan.pixels, extent=extent, transform=place, cmap="gray", vmin=0, vmax=255, alpha=0.5, zorder=0,
        interpolation="bilinear",
    )  # fmt: skip
