from __future__ import annotations

from typing import Any

import pytest

from mail_localization.experiments.outcome import _claim, _gain, _thirds, averaged, spread
from mail_localization.experiments.tables import NOTHING, Table, claim_text, transfer_table


def row(label: str, role: str, mean: float | None, way: str = "online") -> dict[str, Any]:
    return {"label": label, "role": role, "way": way, "ape_m": {"mean": mean}}


def test_figures_are_averaged_over_seeds() -> None:
    two = [{"ape_m": {"mean": 1.0, "max": None}, "n": 2}, {"ape_m": {"mean": 3.0, "max": 1.0}, "n": 4}]
    assert averaged(two) == {"ape_m": {"mean": 2.0, "max": None}, "n": 3.0}
    assert spread([1.0, 3.0]) == pytest.approx(2**0.5)
    assert spread([1.0]) is None and spread([1.0, None]) is None


def test_the_claim_compares_the_best_of_both_sides_online() -> None:
    rows = [
        row("MAIL", "ours", 2.0), row("MMLoc+", "ours", 1.2), row("MaLoc", "competitor", 2.0),
        row("Magicol", "competitor", 3.0), row("Magicol smoothed", "competitor", 1.0, "smoothed"),
        row("1-NN", "floor", 0.5), row("Jang", "competitor", None),
    ]  # fmt: skip
    claim = _claim(rows)
    assert claim == {"ours": "MMLoc+", "competitor": "MaLoc", "ratio": pytest.approx(0.6), "holds": True}
    assert "0.60 x" in claim_text(claim) and "holds" in claim_text(claim)
    assert _claim(rows[:2]) is None
    worse = _claim([row("MAIL", "ours", 2.0), row("MaLoc", "competitor", 3.0)])
    assert worse is not None and not worse["holds"] and "does not hold" in claim_text(worse)


def test_speeds_are_told_apart_at_their_edges() -> None:
    import numpy as np

    slow, normal, fast = _thirds(np.array([0.5, 0.9, 1.2, 1.3, np.nan]))
    assert slow.tolist() == [True, False, False, False, False]
    assert normal.tolist() == [False, True, True, False, False]
    assert fast.tolist() == [False, False, False, True, False]


def point(way: str, *means: float) -> dict[str, Any]:
    by_seed = dict(enumerate(means))
    judged = {"ape_m": {"mean": sum(means) / len(means), "median": 1.0}, "within_m": {"3": 0.5}, "availability": 1.0}
    return {"way": way, "share": 0.1, **judged, "spread_m": spread(means), "by_seed_m": by_seed}


def test_a_gain_by_transfer_must_exceed_the_spread_of_both_ways() -> None:
    scratch = point("scratch", 4.6, 5.4)
    gain = _gain([scratch, point("transfer", 4.3, 3.7)], 0.1)
    assert gain is not None
    assert gain["gain_m"] == pytest.approx(1.0)
    assert gain["spread_m"] == pytest.approx((0.32 + 0.18) ** 0.5)
    assert gain["beyond_spread"]
    # Seed by seed 0.3 and 1.7 m: their spread is another than that of both ways apart.
    assert gain["paired_m"] == pytest.approx([0.3, 1.7])
    assert gain["paired_spread_m"] == pytest.approx(1.4 / 2**0.5)
    within = _gain([scratch, point("transfer", 4.9, 4.3)], 0.1)
    assert within is not None and not within["beyond_spread"]
    one_seed = _gain([scratch, point("transfer", 1.0)], 0.1)
    assert one_seed is not None and not one_seed["beyond_spread"], "one seed has no spread to exceed"
    assert one_seed["paired_m"] == pytest.approx([3.6]), "only seeds that went both ways are compared"
    assert _gain([scratch], 0.1) is None


def test_the_table_of_a_transfer_tells_the_gain_seed_by_seed() -> None:
    points = [point("transfer", 4.3, 5.5), point("scratch", 4.6, 5.4)]
    table = transfer_table({"points": points, "gains": [_gain(points, 0.1)]})
    assert table.rows[0][-2:] == ("+0.10 m, within the seeds' spread", "1 of 2 better, ± 0.28 m")
    assert table.rows[1][-2:] == (NOTHING, NOTHING)


def test_a_table_is_written_as_markdown() -> None:
    assert Table(("a", "b"), [("x", "1")]).markdown() == "| a | b |\n| --- | ---: |\n| x | 1 |"
