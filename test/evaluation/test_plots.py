from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mail_localization.evaluation import plots
from mail_localization.evaluation.floorplan import FloorPlan
from mail_localization.evaluation.replay import Replay
from mail_localization.evaluation.results import ModelResult


def model(*replays: Replay) -> ModelResult:
    return ModelResult("mail", "mail", Path("mail"), replays)


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"), dtype=float)


def test_the_shown_part_holds_reference_and_estimates(make_replay: Callable[..., Replay]) -> None:
    left, right, bottom, top = plots.shown_box([make_replay(errors=(0.0, 20.0, 0.0, 0.0))])
    assert left < 0 and right > 3
    assert bottom < 0 and top > 20


@pytest.mark.parametrize(
    ("errors", "limit"), [((0.1,) * 9, 1.0), ((3.2,) * 9, 4.0), ((80.0,) * 9, plots.GROSS), ((), 1.0)]
)
def test_the_colour_scale_ends_between_one_metre_and_gross(
    make_replay: Callable[..., Replay], errors: tuple[float, ...], limit: float
) -> None:
    assert plots.shown_error_limit([model(make_replay(errors=errors))]) == limit


def test_a_recording_without_estimates_is_drawn_too(make_replay: Callable[..., Replay]) -> None:
    silent = make_replay(errors=())
    box = plots.shown_box([silent])
    assert pixels(plots.trajectory_plot(silent, 1.0, box)).min() < 100, "the reference is there"
    assert pixels(plots.error_plot([silent], ["#000000"])).min() < 100
    assert pixels(plots.cdf_plot([model(silent)])).min() < 100


def test_a_plan_lies_where_its_origin_says(make_replay: Callable[..., Replay]) -> None:
    replay, box = make_replay(errors=(0.0,) * 9), (-5.0, 13.0, -5.0, 5.0)
    # A black square right of the walk, turned by 90 degrees about its lower left corner: it ends up left of it.
    square = np.zeros((10, 10), dtype=np.uint8)
    plain = pixels(plots.trajectory_plot(replay, 1.0, box))
    right = plain - pixels(plots.trajectory_plot(replay, 1.0, box, FloorPlan(square, 3.0, 3.0, (10.0, -5.0, 0.0))))
    turned = plain - pixels(
        plots.trajectory_plot(replay, 1.0, box, FloorPlan(square, 3.0, 3.0, (-2.0, -5.0, np.pi / 2)))
    )
    middle = plain.shape[1] // 2
    assert right[:, middle:].sum() > 2 * abs(right[:, :middle].sum())
    assert turned[:, :middle].sum() > 2 * abs(turned[:, middle:].sum())
