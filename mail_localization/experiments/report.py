"""The report of a comparison: one self-contained page, and the same as Markdown with pictures beside it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape

from mail_localization.evaluation.page import html_picture, html_table, page, table_row
from mail_localization.evaluation.words import PROTOCOL
from mail_localization.experiments import tables
from mail_localization.experiments.figures import Pictures
from mail_localization.experiments.outcome import Figures
from mail_localization.experiments.tables import Table

TITLE = "Comparison of methods"
READING = (
    "Each figure of a method is the mean over its seeds; '± seeds' is the standard deviation of the mean error over "
    "them. Every method was tuned by choosing, on validation recordings and with the first seed, the best of its "
    "trials; no test recording was used for that. A method 'smoothed offline' also uses what was recorded after the "
    "instant. A method 'told its start' was given the first reference position. The floor is the nearest magnetic "
    "sequence of the survey (1-NN). A share in brackets is the availability, where that is below 90 %: such a method "
    "is judged at fewer instants than the others."
)


@dataclass(frozen=True)
class _Part:
    """A heading with text, pictures and a table, in this order; each may be missing."""

    title: str
    level: int = 2
    texts: tuple[str, ...] = ()
    pictures: tuple[str, ...] = ()
    table: Table | None = None


def report_html(results: Figures, pictures: Pictures) -> str:
    """Return the whole page with its pictures inside."""
    return page(TITLE, [f"<h1>{TITLE}</h1>", *(_html(part, pictures) for part in _parts(results, pictures))])


def report_markdown(results: Figures, pictures: Pictures) -> str:
    """Return the same as Markdown, with pictures in figures/."""
    return "\n\n".join([f"# {TITLE}", *(_markdown(part, pictures) for part in _parts(results, pictures))]) + "\n"


def _parts(results: Figures, pictures: Pictures) -> Iterator[_Part]:
    yield _Part("Mean errors", texts=(PROTOCOL, READING), table=tables.overview_table(results))
    if results["failed"]:
        texts = tuple(f"{entry['task']}: {entry['error']}" for entry in results["failed"])
        yield _Part("What failed", texts=texts)
    for name, site in results["sites"].items():
        yield _site(name, site, pictures)
    yield from _experiments(results, pictures)
    yield _Part("Kept trials", table=tables.trials_table(results))
    made = Table(("made with", ""), [(key, str(value)) for key, value in results["provenance"].items()])
    yield _Part("How this was made", table=made)


def _site(name: str, site: Figures, pictures: Pictures) -> _Part:
    counts = ", ".join(f"{len(names)} for {part}" for part, names in site["recordings"].items())
    texts = [f"Split: {site['protocol']}. Recordings: {counts}.", tables.claim_text(site["claim"])]
    texts += [f"{label} is left out: {why}." for label, why in site["left_out"].items()]
    return _Part(site["label"], 2, tuple(texts), _drawn(pictures, f"cdf_{name}"), tables.site_table(site))


def _experiments(results: Figures, pictures: Pictures) -> Iterator[_Part]:
    if results["latency"]:
        text = (
            "Measured sample by sample on this machine with one thread and nothing beside it: the time of the sample "
            "that completes an estimate, and the time of all samples per second recorded. The paper's figures are of "
            "its own implementations on other hardware."
        )
        yield _Part("Time per estimate (MAIL table 4)", texts=(text,), table=tables.latency_table(results))
    for name, sweep in results["sweeps"].items():
        if sweep["lines"]:
            table = tables.sweep_table(sweep, results)
            yield _Part(sweep["title"], pictures=_drawn(pictures, f"sweep_{name}"), table=table)
    for name, transfer in results["transfers"].items():
        if transfer["points"]:
            sources = ", ".join(results["sites"][site]["label"] for site in transfer["sources"])
            target = results["sites"][transfer["target"]]["label"]
            text = (
                f"{transfer['label']} at {target}: LSTM1 pretrained at {sources}, then the rest trained on a share of "
                "the survey, against the same network trained on that share alone. A share is made of stretches of "
                "some 15 s, spread evenly over the survey, and trained on in as many batches as all of it; the seed "
                "draws the stretches, for both alike. A gain is beyond the seeds' spread where it exceeds the root of "
                "the summed squares of both standard deviations; 'seed by seed' ends with that of the gain itself."
            )
            yield _Part(transfer["title"], 2, (text,), _drawn(pictures, f"transfer_{name}"),
                        tables.transfer_table(transfer))  # fmt: skip
    if results["training_loss"]:
        yield _Part("Training loss (MAIL figure 14)", pictures=_drawn(pictures, "training_loss"))
    if results["speeds"]["scaled"]:
        text = (
            "'Resampled' recordings are the test recordings with their stamps scaled, as if walked at another speed. "
            "'As walked' groups the instants of the unchanged test by the speed of the reference over the last 5 s: "
            "slow below 0.9 m/s, fast above 1.2 m/s."
        )
        yield _Part("Walking speeds (MAIL figure 16)", 2, (text,), _drawn(pictures, "speeds"),
                    tables.speeds_table(results))  # fmt: skip
    if results["attention"]:
        shown = _drawn(pictures, "attention_mean", "attention_spread")
        table = tables.attention_table(results)
        yield _Part("Attention to the scales (MAIL figures 17 and 18)", pictures=shown, table=table)
    if results["anomalies"]:
        yield _Part("Local anomalies (MAIL table 2)", 2, (_anomaly_text(results),), _drawn(pictures, "anomalies"),
                    tables.anomalies_table(results))  # fmt: skip


def _anomaly_text(results: Figures) -> str:
    threshold = next(iter(results["anomalies"].values()))["threshold_ut"]
    return (
        f"A sub-sequence is anomalous where |B| ranges over {threshold:g} microtesla or more within it. 'At this "
        "scale': any sub-sequence of that length in the window is. 'At no shorter one': that length is the shortest."
    )


def _drawn(pictures: Pictures, *names: str) -> tuple[str, ...]:
    return tuple(name for name in names if name in pictures)


def _html(part: _Part, pictures: Pictures) -> str:
    pieces = [f"<h{part.level}>{escape(part.title)}</h{part.level}>"]
    pieces += [f"<p>{escape(text)}</p>" for text in part.texts]
    pieces += [html_picture(*pictures[name]) for name in part.pictures]
    if part.table is not None:
        rows = [table_row(first, "", cells) for first, *cells in part.table.rows]
        pieces.append(html_table(part.table.header, rows))
    return "\n".join(pieces)


def _markdown(part: _Part, pictures: Pictures) -> str:
    pieces = [f"{'#' * part.level} {part.title}", *part.texts]
    pieces += [f"![{pictures[name][1]}](figures/{name}.png)\n\n{pictures[name][1]}" for name in part.pictures]
    if part.table is not None:
        pieces.append(part.table.markdown())
    return "\n\n".join(pieces)
