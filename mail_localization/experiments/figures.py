"""The figures of a comparison as small PNG pictures, each with its caption."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from mail_localization.evaluation.canvas import INK, MUTED, draw_legend, new_axes, new_figure, to_png
from mail_localization.evaluation.metrics import error_cdf
from mail_localization.experiments.outcome import Figures, Gathering, pooled_errors

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = (
    "#1668a8", "#c8442f", "#2e8b57", "#8a4fa0", "#b8860b", "#4a5568", "#17a2b8", "#d6669a", "#7a9a01", "#8c5a3c",
    "#00205b", "#ff8c42",
)  # fmt: skip
PALETTE = 48
"""Colours kept in a picture: lines and letters need no more, and a report with 30 of them stays small."""

Pictures = dict[str, tuple[bytes, str]]
"""Name of the file -> PNG and caption."""


def draw_figures(g: Gathering, results: Figures) -> Pictures:
    """Draw every figure there are results for."""
    pictures: Pictures = {}
    colours = {name: COLOURS[index % len(COLOURS)] for index, name in enumerate(g.config.methods)}
    for name, site in results["sites"].items():
        if site["rows"]:
            caption = f"{site['label']} ({site['protocol']}): share of errors up to each distance, all seeds together."
            pictures[f"cdf_{name}"] = (_cdf(g, name, site["rows"], colours), caption)
    for name, sweep in results["sweeps"].items():
        if sweep["lines"]:
            pictures[f"sweep_{name}"] = (_sweep(sweep, results), f"{sweep['title']}: mean error on the test.")
    for name, transfer in results["transfers"].items():
        if transfer["points"]:
            caption = f"{transfer['title']}: mean error by share of the survey; bars: deviation over seeds."
            pictures[f"transfer_{name}"] = (_transfer(transfer), caption)
    drawn: list[tuple[str, Any, Callable[[Figures], bytes], str]] = [
        ("training_loss", results["training_loss"], _losses, "Loss and validation error by epoch (MAIL figure 14)."),
        ("attention_mean", results["attention"], _attention_mean, "Mean attention per scale (MAIL figure 17)."),
        ("attention_spread", results["attention"], _attention_spread,
         "Distribution of the attention per scale: median, quartiles, 5 and 95 % (MAIL figure 18)."),
        ("speeds", results["speeds"]["scaled"], _speeds,
         "Mean error by walking speed; all but 'as recorded' are resampled by scaling the stamps (MAIL figure 16)."),
        ("anomalies", results["anomalies"], _anomalies, "Windows with a local anomaly of each scale (MAIL table 2)."),
    ]  # fmt: skip
    for name, found, draw, caption in drawn:
        if found:
            pictures[name] = (draw(results), caption)
    return pictures


def _cdf(g: Gathering, site: str, rows: Iterable[Figures], colours: dict[str, str]) -> bytes:
    figure = new_figure(4.6)
    axes = new_axes(figure, "error (m)", "share of errors at most that large")
    reach = 3.0
    for row in rows:
        error, share = error_cdf(pooled_errors(g, site, row["method"], row["way"]))
        if len(error) == 0:
            continue
        reach = max(reach, float(np.percentile(error, 90)))
        floor = row["role"] == "floor"
        style = "--" if floor else (0, (1, 1)) if row["way"] == "smoothed" else "-"
        width = 2.6 if row["role"] == "ours" else 1.5
        colour = INK if floor else colours[row["method"]]
        label = row["label"] + (" (floor)" if floor else "")
        axes.step(np.r_[0, error], np.r_[0, share], where="post", color=colour, lw=width, ls=style, label=label)
    axes.set(xlim=(0, min(reach, 20.0)), ylim=(0, 1.01), yticks=(0, 0.25, 0.5, 0.75, 0.9, 1))
    axes.set_yticklabels(["0 %", "25 %", "50 %", "75 %", "90 %", "100 %"])
    # Twelve names inside would hide the curves.
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=3, frameon=False, fontsize=8, labelcolor=INK)
    return to_png(figure, PALETTE)


def _sweep(sweep: Figures, results: Figures) -> bytes:
    figure = new_figure(3.4)
    axes = new_axes(figure, sweep["axis"], "mean error (m)")
    variants = list(dict.fromkeys(point["variant"] for line in sweep["lines"] for point in line["points"]))
    places = _places(variants)
    for number, line in enumerate(sweep["lines"]):
        points = [point for point in line["points"] if point["ape_m"]["mean"] is not None]
        x = [places[point["variant"]] for point in points]
        y = [point["ape_m"]["mean"] for point in points]
        error = [point["spread_m"] or 0.0 for point in points]
        label = f"{line['label']}, {results['sites'][line['site']]['label']}"
        axes.errorbar(x, y, error, color=_colour(number), marker="o", ms=4, lw=1.6, capsize=3, label=label)
    axes.set_xticks([places[variant] for variant in variants], variants)
    axes.set_ylim(bottom=0)
    return _png(figure, axes)


def _transfer(transfer: Figures) -> bytes:
    figure = new_figure(3.4)
    axes = new_axes(figure, "share of the survey", "mean error (m)")
    shares = sorted({point["share"] for point in transfer["points"]})
    for number, (way, label) in enumerate((("transfer", "pretrained LSTM1"), ("scratch", "from scratch"))):
        points = [p for p in transfer["points"] if p["way"] == way and p["ape_m"]["mean"] is not None]
        points.sort(key=lambda point: float(point["share"]))
        x, y = [p["share"] for p in points], [p["ape_m"]["mean"] for p in points]
        error = [p["spread_m"] or 0.0 for p in points]
        axes.errorbar(x, y, error, color=_colour(number), marker="o", ms=4, lw=1.6, capsize=3, label=label)
    axes.set_xscale("log")
    axes.set_xticks(shares, [f"{100 * share:g} %" for share in shares], minor=False)
    axes.minorticks_off()
    axes.set_ylim(bottom=0)
    return _png(figure, axes)


def _places(variants: list[str]) -> dict[str, float]:
    """Return where each variant stands on the axis: its number, or its rank where it is none."""
    try:
        return {variant: float(variant.split()[0]) for variant in variants}
    except ValueError:
        return {variant: float(rank) for rank, variant in enumerate(variants)}


def _losses(results: Figures) -> bytes:
    from matplotlib.ticker import MaxNLocator

    figure = new_figure(3.4)
    axes = new_axes(figure, "epoch", "training loss (solid)")
    right = axes.twinx()
    right.set_ylabel("validation error, m (dotted)", color=MUTED)
    right.tick_params(colors=MUTED, length=0)
    for side in right.spines.values():
        side.set_visible(False)
    for number, curve in enumerate(results["training_loss"]):
        label = f"{curve['label']}, {results['sites'][curve['site']]['label']}"
        axes.plot(curve["epoch"], curve["loss"], color=_colour(number), lw=1.6, marker=".", ms=3, label=label)
        right.plot(curve["epoch"], curve["validation_m"], color=_colour(number), lw=1.2, ls=(0, (1, 1)))
    axes.set_yscale("log")
    axes.tick_params(which="both", colors=MUTED, length=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    right.set_ylim(bottom=0)
    return _png(figure, axes)


def _attention_mean(results: Figures) -> bytes:
    entries = results["attention"]
    figure = new_figure(3.2)
    axes = new_axes(figure, "scale (s)", "mean weight")
    scales = sorted({scale for entry in entries for scale in entry["scales"]})
    for number, entry in enumerate(entries):
        at = [scales.index(scale) + _aside(number, len(entries)) for scale in entry["scales"]]
        label = f"{entry['label']}, {results['sites'][entry['site']]['label']}"
        axes.bar(at, entry["mean"], 0.8 / len(entries), color=_colour(number), label=label)
    axes.set_xticks(range(len(scales)), [f"{scale:g}" for scale in scales])
    return _png(figure, axes)


def _attention_spread(results: Figures) -> bytes:
    entries = results["attention"]
    figure = new_figure(3.2)
    axes = new_axes(figure, "scale (s)", "weight")
    scales = sorted({scale for entry in entries for scale in entry["scales"]})
    for number, entry in enumerate(entries):
        at = [scales.index(scale) + _aside(number, len(entries)) for scale in entry["scales"]]
        low, q1, median, q3, high = (np.array(values) for values in entry["quantiles"].values())
        colour = _colour(number)
        axes.vlines(at, low, high, color=colour, lw=1)
        axes.bar(at, q3 - q1, 0.7 / len(entries), bottom=q1, color=colour, alpha=0.5)
        label = f"{entry['label']}, {results['sites'][entry['site']]['label']}"
        axes.plot(at, median, "o", color=colour, ms=4, label=label)
    # Room for the legend above the longest line.
    axes.set_ylim(0.0, 1.0 + 0.12 * len(entries))
    axes.set_xticks(range(len(scales)), [f"{scale:g}" for scale in scales])
    return _png(figure, axes)


def _speeds(results: Figures) -> bytes:
    figure = new_figure(3.2)
    axes = new_axes(figure, "walking speed", "mean error (m)")
    entries = results["speeds"]["scaled"]
    names = list(dict.fromkeys(entry["speed"] for entry in entries))
    lines = list(dict.fromkeys((entry["label"], entry["site"]) for entry in entries))
    for number, (label, site) in enumerate(lines):
        mine = {e["speed"]: e["ape_m"]["mean"] for e in entries if (e["label"], e["site"]) == (label, site)}
        shown = [name for name in names if mine.get(name) is not None]
        at = [names.index(name) + _aside(number, len(lines)) for name in shown]
        heights = [mine[name] for name in shown]
        text = f"{label}, {results['sites'][site]['label']}"
        axes.bar(at, heights, 0.8 / len(lines), color=_colour(number), label=text)
    factors = {entry["speed"]: entry["factor"] for entry in entries}
    told = [f"{n}\n({'as recorded' if factors[n] == 1 else f'x {factors[n]:g}'})" for n in names]
    axes.set_xticks(range(len(names)), told)
    return _png(figure, axes)


def _anomalies(results: Figures) -> bytes:
    figure = new_figure(3.0)
    axes = new_axes(figure, "length of the sub-sequence (s)", "share of windows")
    for number, (name, entry) in enumerate(results["anomalies"].items()):
        label = results["sites"][name]["label"]
        axes.plot(entry["scales"], entry["share"], color=_colour(number), marker="o", ms=4, lw=1.6, label=label)
    axes.set_ylim(0, 1.02)
    return _png(figure, axes)


def _aside(number: int, of: int) -> float:
    """Return how far the bar of one of several series stands from the middle of its group."""
    return 0.8 * ((number + 0.5) / of - 0.5)


def _colour(number: int) -> str:
    return COLOURS[number % len(COLOURS)]


def _png(figure: Figure, axes: Axes) -> bytes:
    draw_legend(axes)
    if (legend := axes.get_legend()) is not None:
        for text in legend.get_texts():
            text.set_fontsize(8)
    return to_png(figure, PALETTE)
