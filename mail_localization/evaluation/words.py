"""The figures in plain words and in rows of text, shared by the report and the printed table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mail_localization.evaluation.metrics import Accuracy, latency_figures
from mail_localization.evaluation.results import Evaluation, ModelResult

NOTHING = "\N{EN DASH}"
PROTOCOL = (
    "Errors are APE (translation, m, not aligned): the straight distance between the estimate and the "
    "reference, with nothing fitted or shifted to make them agree. They are taken once per second of reference "
    "time, against the newest estimate at or before that instant, as somebody watching live would see it. The "
    "reference is interpolated linearly in time between surveyed positions. An instant whose newest estimate is "
    "2 s old or older counts against availability and not as an error."
)


@dataclass(frozen=True)
class Row:
    """One figure of every model: its name, its meaning, and how it reads."""

    name: str
    meaning: str
    text: Callable[[ModelResult], str]


def metres(value: float | None) -> str:
    """Return a distance in m with a sensible number of digits."""
    return NOTHING if value is None else f"{value:.2f} m" if value < 100 else f"{value:.0f} m"


def percent(value: float | None) -> str:
    """Return a share in %; only a whole is called 100 % and only nothing 0 %."""
    if value is None:
        return NOTHING
    rounded = f"{100 * value:.0f} %"
    misleading = (rounded == "100 %" and value < 1) or (rounded == "0 %" and value > 0)
    return f"{100 * value:.1f} %" if misleading else rounded


def plain(value: float | None, unit: str = "", digits: int = 3) -> str:
    """Return a number with a few significant digits and its unit."""
    if value is None:
        return NOTHING
    number = f"{value:.0f}" if abs(value) >= 10 ** (digits - 1) else f"{value:.{digits}g}"
    return f"{number} {unit}".rstrip()


def headline(result: Accuracy) -> str:
    """Say in one sentence how good the positions are."""
    if result.ape_m["median"] is None:
        return "No position could be judged: there was no estimate at any of the instants compared."
    return (
        f"Half of the positions are within {metres(result.ape_m['median'])} of the truth, nine of ten within "
        f"{metres(result.ape_m['p90'])}. A position was available {percent(result.availability)} of the time."
    )


def gross_errors(result: Accuracy) -> str:
    """Say whether a few gross mismatches make up the mean; empty if not."""
    mean, median, largest = (result.ape_m[name] for name in ("mean", "median", "max"))
    if mean is None or median is None or mean < 2 * median or mean < 1:
        return ""
    return (
        f"The mean error is {metres(mean)}, far above the median: some positions are in the wrong place "
        f"altogether (the worst {metres(largest)} off)."
    )


def calibration(result: Accuracy) -> str:
    """Say whether the covariance that comes with each position can be trusted."""
    held = result.coverage["0.9"]
    if held is None:
        return "Nothing can be said about its stated uncertainty."
    if held < 0.8:
        verdict = "over-confident: it is wrong more often than it says"
    elif held > 0.97:
        verdict = "cautious: it is better than it says"
    else:
        verdict = "about right"
    return (
        f"Its stated uncertainty is {verdict}. The ellipses that should hold 90 % of the errors hold "
        f"{percent(held)} (mean NEES {plain(result.nees_mean)}; 2 is ideal)."
    )


def figure_rows(evaluation: Evaluation) -> list[Row]:
    """Return every figure of the summary as a row over the models."""
    way = "live node" if evaluation.live_rate is not None else "one replaying process"
    rows = [_ape_row(name, meaning) for name, meaning in _APE_MEANING.items()]
    rows += [_within_row(limit) for limit in ("1", "2", "3")]
    young = "time with a position younger than 2 s"
    rows.append(Row("Availability", young, lambda m: percent(m.accuracy.availability)))
    rows += [_coverage_row(level) for level in ("0.5", "0.9", "0.95")]
    rows += [
        Row("Mean NEES", "2 is ideal, more is over-confident", lambda m: plain(m.accuracy.nees_mean)),
        Row("Errors alike for", "estimates closer in time are one", lambda m: plain(m.accuracy.correlation_time, "s")),
        Row("Latency, median", "from a sample to its position", lambda m: _latency(m, "p50")),
        Row("Latency, 99 %", "nearly never longer", lambda m: _latency(m, "p99")),
        Row("Speed", f"recorded time per time of {way}", lambda m: plain(m.real_time_factor, "x")),
        Row("Positions", "estimates given", lambda m: str(m.accuracy.n_estimates)),
        Row("Instants", "seconds of reference time", lambda m: str(m.accuracy.n_instants)),
        Row("Recordings", "replayed", lambda m: str(len(m.replays))),
    ]
    return rows


_APE_MEANING = {
    "mean": "average",
    "median": "half are better",
    "rmse": "root mean square, heavy on gross errors",
    "p75": "three of four are better",
    "p90": "nine of ten are better",
    "p95": "19 of 20 are better",
    "max": "the worst",
}


def _ape_row(name: str, meaning: str) -> Row:
    title = {"rmse": "RMSE", "max": "largest"}.get(name, name)
    return Row(f"APE {title}", meaning, lambda model: metres(model.accuracy.ape_m[name]))


def _within_row(limit: str) -> Row:
    return Row(f"Within {limit} m", "share of errors", lambda model: percent(model.accuracy.within_m[limit]))


def _coverage_row(level: str) -> Row:
    wanted = percent(float(level))
    meaning = f"errors inside it; {wanted} is ideal"
    return Row(f"{wanted} ellipse holds", meaning, lambda model: percent(model.accuracy.coverage[level]))


def _latency(model: ModelResult, name: str) -> str:
    return plain(latency_figures(model.latency_ms)[name], "ms")


def printed_table(evaluation: Evaluation) -> str:
    """Return the main figures as a text table under a title, one line per model."""
    recordings = len({replay.task.recording for model in evaluation.models for replay in model.replays})
    title = f"APE (translation, m, not aligned), {recordings} recording{'s' if recordings != 1 else ''}"
    header = ("model", "mean", "median", "p90", "max", "within 1 m", "3 m", "available", "latency", "speed")
    rows = [header, *(_printed_row(model) for model in evaluation.models)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(header))]
    lines = [title]
    for name, *cells in rows:
        right = (cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True))
        lines.append("  ".join([name.ljust(widths[0]), *right]))
    return "\n".join(lines)


def _printed_row(model: ModelResult) -> tuple[str, ...]:
    result = model.accuracy
    return (
        model.name,
        *(metres(result.ape_m[name]) for name in ("mean", "median", "p90", "max")),
        *(percent(result.within_m[limit]) for limit in ("1", "3")),
        percent(result.availability),
        _latency(model, "p50"),
        plain(model.real_time_factor, "x"),
    )
