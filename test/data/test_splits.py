from __future__ import annotations

import logging
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from surveys import corridor_walk, write_survey

from mail_localization.data.recording import RecordingInfo, Topics, write_recording
from mail_localization.data.splits import coverage, hold_out, load_survey, warn_if_unvisited
from mail_localization.data.traces import Trace
from mail_localization.errors import RecordingError, TrainingError
from mail_localization.preprocess.magnetic import MagneticSettings
from mail_localization.preprocess.windows import WindowSettings


def trace(name: str, y: float) -> Trace:
    """A walk of 20 m along x, at a height y."""
    positions = np.stack([np.linspace(0, 20, 100), np.full(100, y)], axis=1)
    return Trace(name, Path(name), RecordingInfo(), [], [positions], "", Counter())


def names(traces: list[Trace]) -> set[str]:
    return {t.name for t in traces}


def test_share_of_the_recordings_is_held_out_by_the_seed() -> None:
    traces = [trace(f"round_{k}", 0.1 * k) for k in range(10)]
    training, validation = hold_out(traces, 0.2, seed=1)
    assert (len(training), len(validation)) == (8, 2)
    assert names(training).isdisjoint(names(validation))
    assert names(hold_out(traces, 0.2, seed=1)[1]) == names(validation)
    assert any(names(hold_out(traces, 0.2, seed=s)[1]) != names(validation) for s in range(2, 6))


@pytest.mark.parametrize("seed", range(8))
def test_only_recordings_of_places_that_others_visit_are_held_out(seed: int) -> None:
    """Corridors at y = 0 and 50 are walked twice, those at 100 and 150 once."""
    traces = [trace("a1", 0), trace("a2", 1), trace("b1", 50), trace("b2", 51), trace("c", 100), trace("d", 150)]
    _, validation = hold_out(traces, 0.5, seed)
    assert len(validation) == 2
    assert len(names(validation) & {"a1", "a2"}) == 1
    assert len(names(validation) & {"b1", "b2"}) == 1


def test_survey_without_repeated_paths_is_split_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        training, validation = hold_out([trace("a", 0), trace("b", 50)], 0.2, seed=0)
    assert (len(training), len(validation)) == (1, 1)
    assert "only 0 % of its way lies within 2 m of a training recording" in caplog.text


def test_validation_over_surveyed_ground_gives_no_warning(caplog: pytest.LogCaptureFixture) -> None:
    warn_if_unvisited([trace("a", 0)], [trace("b", 1.5)])
    assert caplog.text == ""


def test_coverage_is_the_share_within_reach() -> None:
    along = np.stack([np.arange(10.0), np.zeros(10)], axis=1)
    assert coverage(along, [along[:5] + np.array([0, 1.0])]) == pytest.approx(0.6)
    assert coverage(along, []) == 0.0


def test_one_recording_cannot_be_split() -> None:
    with pytest.raises(TrainingError, match=r"only: one recording cannot be split .* --validation"):
        hold_out([trace("only", 0)], 0.2, seed=0)


def test_recording_given_for_validation_is_not_trained_on_however_its_path_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = write_survey(tmp_path, seconds=3.0)
    monkeypatch.chdir(tmp_path)
    settings = (Topics(), WindowSettings(length=50), MagneticSettings())
    training, validation = load_survey(paths, [Path("walk_1")], *settings)
    assert (names(training), names(validation)) == ({"walk_0"}, {"walk_1"})


def test_validation_of_another_origin_is_refused(tmp_path: Path) -> None:
    for name, origin in (("a", (60.0, 25.0)), ("b", (40.0, 0.0))):
        write_recording(tmp_path / name, corridor_walk(seconds=3.0), RecordingInfo(origin_lat_lon=origin))
    with pytest.raises(RecordingError, match=r"b: its map has the origin"):
        load_survey([tmp_path / "a"], [tmp_path / "b"], Topics(), WindowSettings(length=50), MagneticSettings())
