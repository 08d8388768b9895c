"""The look of all figures: size, colours, axes; and how a figure becomes PNG bytes."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, MUTED, GRID = "#1c2430", "#6b7480", "#e3e6ea"
WIDTH = 5.6
"""Width of every figure, inches: small enough to be read on a phone."""
DPI = 150


def new_figure(height: float) -> Figure:
    """Return an empty figure that draws without a display."""
    from matplotlib.figure import Figure

    return Figure(figsize=(WIDTH, height), layout="constrained")


def new_axes(figure: Figure, x: str, y: str) -> Axes:
    """Return the figure's axes: a light grid, no frame."""
    axes = figure.add_subplot()
    axes.set_xlabel(x, color=MUTED)
    axes.set_ylabel(y, color=MUTED)
    axes.tick_params(colors=MUTED, length=0, pad=6)
    axes.grid(color=GRID, lw=0.8)
    axes.set_axisbelow(True)
    for side in axes.spines.values():
        side.set_visible(False)
    return axes


def draw_legend(axes: Axes) -> None:
    """Draw a legend where anything has a label."""
    if axes.get_legend_handles_labels()[1]:
        axes.legend(frameon=False, labelcolor=INK)


def to_png(figure: Figure, colours: int = 0) -> bytes:
    """Return a figure as PNG; reduced to a palette of so many colours it takes a third of the space."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    if not colours:
        return buffer.getvalue()
    from PIL import Image

    buffer.seek(0)
    reduced = io.BytesIO()
    with Image.open(buffer) as image:
        image.convert("RGB").quantize(colours).save(reduced, format="png", optimize=True)
    return reduced.getvalue()
