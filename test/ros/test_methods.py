"""Every method runs in the real node, and says there what it says offline."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from methods_small import SMALL
from modal_surveys import write_modal_survey

from mail_localization.data.recording import Recording
from mail_localization.localizer import load_localizer
from mail_localization.methods import METHODS
from mail_localization.ros.live import replay_live
from mail_localization.training.options import TrainOptions


@pytest.fixture(scope="module")
def walks(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_modal_survey(tmp_path_factory.mktemp("walks"), speeds=(0.9, 1.0, 1.1, 0.95), seconds=40.0)


@pytest.mark.parametrize("method", METHODS)
def test_live_positions_are_those_of_the_evaluator(method: str, walks: list[Path], tmp_path: Path) -> None:
    kind = METHODS[method]
    config = kind.config.from_mapping(SMALL.get(method, {}))
    kind.train(config, walks[:3], tmp_path / method, TrainOptions(progress=False))
    recording = Recording(walks[3])
    localizer = load_localizer(tmp_path / method)
    expected = list(localizer.localize(recording.samples(localizer.inputs)))
    # At 4 x real time a busy machine mixed the streams so much that a tenth of the estimates fell away.
    live = replay_live(tmp_path / method, walks[3], rate=2.0)
    assert len(expected) >= 3
    assert len(live.estimates) >= 0.9 * len(expected)
    # Two sensors' messages may overtake each other on their way, so a filter's draws differ in detail.
    error = {}
    for name, estimates in (("offline", expected), ("live", live.estimates)):
        truth = recording.reference().at(np.array([estimate.t_ns for estimate in estimates]))
        offsets = np.array([estimate.position for estimate in estimates]) - truth
        error[name] = float(np.nanmedian(np.linalg.norm(offsets, axis=1)))
    assert error["live"] < error["offline"] + 1.0
