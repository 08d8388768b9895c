"""The report: one HTML file with its pictures inside, which opens anywhere and needs no network."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from html import escape

from mail_localization.evaluation import words
from mail_localization.evaluation.page import html_picture, html_table, page, table_row
from mail_localization.evaluation.replay import Replay
from mail_localization.evaluation.results import Evaluation, ModelResult, pooled_accuracy, sites


@dataclass(frozen=True)
class Pictures:
    """PNG pictures of a report; a recording that is not in the dicts is reported in figures only."""

    cdf: bytes
    calibration: bytes
    colours: dict[str, str]
    """Model -> colour of its lines."""
    error: dict[str, bytes] = field(default_factory=dict)
    """Recording -> error over time."""
    trajectory: dict[tuple[str, str], bytes] = field(default_factory=dict)
    """(recording, model) -> trajectory."""


def report_html(evaluation: Evaluation, pictures: Pictures) -> str:
    """Return the whole page."""
    sections = (
        _opening(evaluation),
        _warnings(evaluation),
        _cards(evaluation, pictures.colours),
        "<h2>How often is the error how large?</h2>",
        html_picture(pictures.cdf, "Share of errors up to each distance; the further up and left, the better."),
        "<h2>Can its stated uncertainty be trusted?</h2>",
        html_picture(pictures.calibration, "Of the errors, the share inside ellipses of each probability."),
        _sites_table(evaluation),
        "<h2>All figures</h2>",
        _figures_table(evaluation),
        f"<p class=muted>{escape(words.PROTOCOL)}</p>",
        "<h2>Recording by recording</h2>",
        _recordings_table(evaluation),
        _drawn(len(pictures.error), len(_by_recording(evaluation))),
        *(_recording_section(evaluation, name, pictures) for name in pictures.error),
        "<h2>How this was made</h2>",
        _provenance(evaluation),
    )
    return page("Localization report", sections)


def _opening(evaluation: Evaluation) -> str:
    replays = evaluation.models[0].replays
    minutes = sum(replay.duration for replay in replays) / 60
    way = "replayed offline"
    if evaluation.live_rate is not None:
        way = f"played to the live ROS 2 node at {evaluation.live_rate:g} x real time"
    recordings = "1 recording" if len(replays) == 1 else f"{len(replays)} recordings"
    return f"<h1>Localization report</h1>\n<p class=muted>{recordings}, {minutes:.1f} min in all, {way}.</p>"


def _warnings(evaluation: Evaluation) -> str:
    texts = [
        f"{escape(model.name)} was trained on recordings of the same name ({escape(_some(model.seen))}): "
        "if they are the same, its figures flatter it."
        for model in evaluation.models
        if model.seen
    ]
    skipped = {skipped.task.recording: skipped.reason for skipped in evaluation.skipped}
    texts += [f"Left out: {escape(name)}. {escape(reason)}" for name, reason in sorted(skipped.items())]
    return "\n".join(f'<div class="warning">{text}</div>' for text in texts)


def _cards(evaluation: Evaluation, colours: dict[str, str]) -> str:
    cards = (_card(model, colours[model.name]) for model in evaluation.models)
    return f'<div class="cards">{"".join(cards)}</div>'


def _card(model: ModelResult, colour: str) -> str:
    result = model.accuracy
    sentences = (words.headline(result), words.gross_errors(result), words.calibration(result))
    return (
        f'<div class="card" style="border-top-color:{colour}"><h3>{escape(model.name)}</h3>'
        f"<div class=muted>method {escape(model.method)}</div>"
        f'<div class="big">{words.metres(result.ape_m["median"])}</div><div class=muted>median error</div>'
        + "".join(f"<p>{escape(sentence)}</p>" for sentence in sentences if sentence)
        + "</div>"
    )


def _figures_table(evaluation: Evaluation) -> str:
    rows = [
        table_row(row.name, row.meaning, (row.text(model) for model in evaluation.models))
        for row in words.figure_rows(evaluation)
    ]
    return html_table(["", *(model.name for model in evaluation.models)], rows)


def _sites_table(evaluation: Evaluation) -> str:
    header = ("site", "model", "mean NEES", *(f"{percent} % ellipse holds" for percent in ("50", "90", "95")),
              "errors alike for")  # fmt: skip
    rows = []
    for model in evaluation.models:
        for place, replays in sites(model.replays).items():
            found = pooled_accuracy(replays)
            shares = [words.percent(share) for share in found.coverage.values()]
            alike = words.plain(found.correlation_time, "s")
            rows.append(table_row(" ".join(filter(None, place)) or words.NOTHING, "",
                                  [model.name, words.plain(found.nees_mean), *shares, alike]))  # fmt: skip
    return html_table(header, rows)


def _recordings_table(evaluation: Evaluation) -> str:
    header = ("recording", "model", "mean", "median", "p90", "largest", "available", "positions")
    rows = []
    for name, replays in _by_recording(evaluation).items():
        notes = {note: None for replay in replays for note in replay.notes}
        first, *others = replays
        rows.append(table_row(name, "; ".join(notes), _recording_figures(first)))
        rows += [table_row("", "", _recording_figures(replay)) for replay in others]
    return html_table(header, rows)


def _recording_figures(replay: Replay) -> list[str]:
    result = pooled_accuracy([replay])
    distances = [words.metres(result.ape_m[name]) for name in ("mean", "median", "p90", "max")]
    return [replay.task.model, *distances, words.percent(result.availability), str(result.n_estimates)]


def _drawn(drawn: int, of: int) -> str:
    return "" if drawn == of else f"<p>Drawn below: the {drawn} of {of} recordings with the largest mean error.</p>"


def _recording_section(evaluation: Evaluation, name: str, pictures: Pictures) -> str:
    replays = _by_recording(evaluation)[name]
    info = replays[0].info
    known = {"site": info.site, "floor": info.floor, "device": info.device}
    about = [f"{replays[0].duration:.0f} s", *(f"{what} {value}" for what, value in known.items() if value)]
    shown = [
        html_picture(pictures.trajectory[name, replay.task.model], f"{replay.task.model} on {name}")
        for replay in replays
        if (name, replay.task.model) in pictures.trajectory
    ]
    shown.append(html_picture(pictures.error[name], "Error over time; marks below the axis: no position", "wide"))
    layout = "pair" if len(replays) > 1 else "single"
    return (
        f"<h3>{escape(name)}</h3><div class=muted>{escape(', '.join(about))}</div>"
        f'<div class="{layout}">{"".join(shown)}</div>'
    )


def _provenance(evaluation: Evaluation) -> str:
    entries = [(name, value) for name, value in evaluation.provenance.items()]
    entries += [(f"model {model.name}", str(model.folder)) for model in evaluation.models]
    listed = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in entries)
    settings = "".join(
        f"<details><summary>Settings of {escape(model.name)}</summary>"
        f"<pre>{escape(json.dumps(model.settings, indent=2, default=str))}</pre></details>"
        for model in evaluation.models
    )
    return f"<dl>{listed}</dl>{settings}"


def _by_recording(evaluation: Evaluation) -> dict[str, list[Replay]]:
    groups: dict[str, list[Replay]] = {}
    for model in evaluation.models:
        for replay in model.replays:
            groups.setdefault(replay.task.recording, []).append(replay)
    return groups


def _some(names: list[str], most: int = 3) -> str:
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")
