"""The tables of a comparison, as rows of text: for Markdown, HTML and the terminal alike."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from mail_localization.evaluation.words import NOTHING, metres, percent, plain
from mail_localization.experiments.outcome import CLAIM, Figures

PAPER_SECONDS = {"magicol": 1.79, "maloc": 0.24, "mail": 0.10}
"""Time per position in MAIL's table 4, on the authors' server with a GPU, s."""


OFTEN = 0.9
"""A method that is available less often than this is judged at easier instants than others: tables say so."""


@dataclass(frozen=True)
class Table:
    """A header and rows; the first column is text, the others are figures."""

    header: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]

    def markdown(self) -> str:
        """Return a Markdown table."""
        rule = ("---", *("---:" for _ in self.header[1:]))
        return "\n".join("| " + " | ".join(row) + " |" for row in (self.header, rule, *self.rows))


def site_table(site: Figures) -> Table:
    """Return accuracy and availability of all methods at a site."""
    header = ("method", "mean", "± seeds", "median", "p75", "p90", "p95", "≤ 1 m", "≤ 2 m", "≤ 3 m", "available")
    rows = []
    for row in site["rows"]:
        ape, within = row["ape_m"], row["within_m"]
        mark = {"floor": " (floor)"}.get(row["role"], "") + (" (told its start)" if row["told_start"] else "")
        rows.append((
            row["label"] + mark, metres(ape["mean"]), metres(row["spread_m"]),
            *(metres(ape[name]) for name in ("median", "p75", "p90", "p95")),
            *(percent(within[limit]) for limit in ("1", "2", "3")), percent(row["availability"]),
        ))  # fmt: skip
    return Table(header, rows)


def claim_text(claim: Figures | None) -> str:
    """Say whether MAIL's claim holds at a site."""
    if claim is None:
        return "The claim cannot be judged here: there is no figure of ours or of a competitor."
    verdict = "holds" if claim["holds"] else "does not hold"
    return (
        f"{claim['ours']} has {claim['ratio']:.2f} x the mean error of the best competitor, {claim['competitor']}: "
        f"the paper's claim (at most {CLAIM} x) {verdict}."
    )


def overview_table(results: Figures) -> Table:
    """Return the mean error of every method at every site, and the claim."""
    sites = list(results["sites"].values())
    labels = dict.fromkeys(row["label"] for site in sites for row in site["rows"])
    means = [{row["label"]: _mean(row) for row in site["rows"]} for site in sites]
    rows = [(label, *(mean.get(label, NOTHING) for mean in means)) for label in labels]
    claims = [site["claim"] for site in sites]
    if any(claims):
        rows.append(("ours / best competitor", *(f"{c['ratio']:.2f}" if c else NOTHING for c in claims)))
        rows.append((f"claim (≤ {CLAIM}) holds", *(("yes" if c["holds"] else "no") if c else NOTHING for c in claims)))
    return Table(("mean error", *(site["label"] for site in sites)), rows)


def trials_table(results: Figures) -> Table:
    """Return which trial of each method was kept at each site, with its error on validation recordings."""
    sites = list(results["sites"].values())
    kept = [{row["label"]: row for row in site["rows"] if row["way"] == "online"} for site in sites]
    labels = dict.fromkeys(label for rows in kept for label in rows)
    cells = [(label, *(_kept(rows.get(label)) for rows in kept)) for label in labels]
    return Table(("kept trial (validation error)", *(site["label"] for site in sites)), cells)


def latency_table(results: Figures) -> Table:
    """Return the time per estimate of every method beside the paper's table 4."""
    header = ("method", "site", "median", "99 %", "share of a core, live", "in the paper (server with GPU)")
    rows = []
    for entry in results["latency"]:
        paper = PAPER_SECONDS.get(entry["method"])
        share = entry["cpu_share"]
        rows.append((
            entry["label"], results["sites"][entry["site"]]["label"], plain(entry["latency_ms"]["p50"], "ms"),
            plain(entry["latency_ms"]["p99"], "ms"), NOTHING if share is None else f"{100 * share:.1f} %",
            NOTHING if paper is None else f"{1e3 * paper:.0f} ms",
        ))  # fmt: skip
    return Table(header, rows)


def sweep_table(sweep: Figures, results: Figures) -> Table:
    """Return mean error and spread at every value of a setting."""
    variants = list(dict.fromkeys(point["variant"] for line in sweep["lines"] for point in line["points"]))
    rows = []
    for line in sweep["lines"]:
        points = {point["variant"]: point for point in line["points"]}
        cells = [_with_spread(points[v]["ape_m"]["mean"], points[v]["spread_m"]) if v in points else NOTHING
                 for v in variants]  # fmt: skip
        rows.append((f"{line['label']}, {results['sites'][line['site']]['label']}", *cells))
    return Table((sweep["axis"], *variants), rows)


def transfer_table(transfer: Figures) -> Table:
    """Return the error for each share of the survey, adapted and from scratch."""
    names = {"transfer": "pretrained LSTM1", "scratch": "from scratch"}
    gains = {gain["share"]: gain for gain in transfer["gains"]}
    rows = []
    for point in transfer["points"]:
        gain = gains.get(point["share"])
        verdict = paired = NOTHING
        if gain and point["way"] == "transfer":
            verdict = f"{gain['gain_m']:+.2f} m, {'beyond' if gain['beyond_spread'] else 'within'} the seeds' spread"
            differences, deviation = gain["paired_m"], gain["paired_spread_m"]
            paired = f"{sum(one > 0 for one in differences)} of {len(differences)} better"
            paired += "" if deviation is None else f", ± {deviation:.2f} m"
        mean = _with_spread(point["ape_m"]["mean"], point["spread_m"])
        within = percent(point["within_m"]["3"])
        rows.append((percent(point["share"]), names[point["way"]], mean, metres(point["ape_m"]["median"]), within,
                     percent(point["availability"]), verdict, paired))  # fmt: skip
    rows.sort(key=lambda row: float(row[0].rstrip(" %")))
    columns = ("share of the survey", "LSTM1", "mean", "median", "≤ 3 m", "available", "gain by transfer")
    return Table((*columns, "seed by seed"), rows)


def speeds_table(results: Figures) -> Table:
    """Return the error by walking speed, resampled and as really walked."""
    rows = []
    for entry in results["speeds"]["scaled"]:
        way = "as recorded" if entry["factor"] == 1 else f"resampled, {entry['factor']:g} x as fast"
        rows.append((*_where(entry, results), entry["speed"], way, metres(entry["ape_m"]["mean"]),
                     metres(entry["ape_m"]["median"]), str(round(entry["n_instants"]))))  # fmt: skip
    rows += [
        (*_where(entry, results), entry["speed"], "as walked", metres(entry["mean_m"]), NOTHING, str(entry["instants"]))
        for entry in results["speeds"]["real"]
        if entry["instants"]
    ]
    return Table(("method", "site", "speed", "data", "mean", "median", "instants"), rows)


def attention_table(results: Figures) -> Table:
    """Return the mean attention per scale, and how often each scale has the most."""
    rows = []
    for entry in results["attention"]:
        means = ", ".join(f"{s:g} s {m:.2f}" for s, m in zip(entry["scales"], entry["mean"], strict=True))
        most = ", ".join(f"{s:g} s {percent(h)}" for s, h in zip(entry["scales"], entry["heaviest"], strict=True))
        rows.append((*_where(entry, results), means, most, str(entry["windows"])))
    return Table(("method", "site", "mean weight of each scale", "scale with the most weight", "windows"), rows)


def anomalies_table(results: Figures) -> Table:
    """Return the share of windows with a local anomaly of each scale."""
    entries = results["anomalies"]
    scales = list(dict.fromkeys(scale for entry in entries.values() for scale in entry["scales"]))
    rows = []
    for name, entry in entries.items():
        label = results["sites"][name]["label"]
        for key, what in (("share", "at this scale"), ("first", "at no shorter one")):
            shares = dict(zip(entry["scales"], entry[key], strict=True))
            rows.append((f"{label}, {what}", *(percent(shares.get(scale)) for scale in scales), str(entry["windows"])))
    return Table(("share of windows", *(f"{scale:g} s" for scale in scales), "windows"), rows)


def printed_table(results: Figures) -> str:
    """Return the mean errors as text for a terminal."""
    table = overview_table(results)
    cells = [table.header, *table.rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(table.header))]
    return "\n".join("  ".join(_padded(row, widths)) for row in cells)


def _padded(row: tuple[str, ...], widths: list[int]) -> Iterable[str]:
    yield row[0].ljust(widths[0])
    yield from (cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))


def _mean(row: Figures) -> str:
    """Return the mean error, and the availability where it is so low that the mean flatters."""
    share = row["availability"]
    return metres(row["ape_m"]["mean"]) + (f" ({percent(share)})" if share is None or share < OFTEN else "")


def _kept(row: Figures | None) -> str:
    if row is None:
        return NOTHING
    return f"{row['trial'] + 1} of {row['trials']} ({metres(row['validation_mean_m'])})"


def _where(entry: Figures, results: Figures) -> tuple[str, str]:
    return entry["label"], str(results["sites"][entry["site"]]["label"])


def _with_spread(mean: float | None, spread: Any) -> str:
    return metres(mean) if mean is None or spread is None else f"{mean:.2f} ± {spread:.2f} m"
