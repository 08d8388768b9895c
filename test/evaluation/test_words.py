from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mail_localization.evaluation import words
from mail_localization.evaluation.metrics import accuracy
from mail_localization.evaluation.replay import Replay
from mail_localization.evaluation.results import Evaluation, ModelResult


def test_the_headline_names_median_p90_and_availability(make_replay: Callable[..., Replay]) -> None:
    text = words.headline(accuracy([make_replay().association], 4))
    assert text == (
        "Half of the positions are within 1.50 m of the truth, nine of ten within 2.70 m. "
        "A position was available 100 % of the time."
    )


def test_without_estimates_the_words_say_so(make_replay: Callable[..., Replay]) -> None:
    result = accuracy([make_replay(errors=()).association], 0)
    assert "No position" in words.headline(result)
    assert words.gross_errors(result) == ""
    assert "Nothing can be said" in words.calibration(result)


@pytest.mark.parametrize(
    ("errors", "verdict"), [((5.0,) * 4, "over-confident"), ((0.0,) * 4, "cautious"), ((1.0,) * 9 + (9.0,), "right")]
)
def test_calibration_in_words(make_replay: Callable[..., Replay], errors: tuple[float, ...], verdict: str) -> None:
    assert verdict in words.calibration(accuracy([make_replay(errors=errors).association], len(errors)))


def test_gross_errors_are_told_from_even_ones(make_replay: Callable[..., Replay]) -> None:
    aliased = accuracy([make_replay(errors=(0.2, 0.2, 0.2, 0.2, 40.0)).association], 5)
    even = accuracy([make_replay(errors=(2.0, 2.1, 2.2, 2.3)).association], 4)
    assert "40.00 m" in words.gross_errors(aliased)
    assert words.gross_errors(even) == ""


def test_only_a_whole_is_called_100_percent() -> None:
    assert [words.percent(v) for v in (1.0, 0.998, 0.5, 0.0, None)] == ["100 %", "99.8 %", "50 %", "0 %", words.NOTHING]


def test_the_printed_table_aligns_one_line_per_model(make_replay: Callable[..., Replay]) -> None:
    models = tuple(ModelResult(name, "mail", Path(name), (make_replay(name),)) for name in ("a", "longer_name"))
    title, *lines = words.printed_table(Evaluation(models)).splitlines()
    assert "not aligned" in title and "1 recording" in title
    assert len(lines) == 3
    assert len({len(line) for line in lines}) == 1
    assert "1.50 m" in lines[1]
