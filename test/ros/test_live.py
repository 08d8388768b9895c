from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mail_localization.data.recording import Recording, RecordingInfo, Topics, write_recording
from mail_localization.errors import EvaluationError, RecordingError
from mail_localization.localizer import load_localizer
from mail_localization.ros.live import replay_live
from mail_localization.types import PoseEstimate


def offline(survey) -> list[PoseEstimate]:
    return list(load_localizer(survey.model).localize(Recording(survey.probe).samples()))


def assert_same(live: list[PoseEstimate], reference: list[PoseEstimate]) -> None:
    by_stamp = {estimate.t_ns: estimate for estimate in reference}
    for estimate in live:
        np.testing.assert_allclose(estimate.position, by_stamp[estimate.t_ns].position, atol=1e-4)
        np.testing.assert_allclose(estimate.covariance, by_stamp[estimate.t_ns].covariance, atol=1e-4)


def test_node_gives_the_estimates_of_the_evaluator(survey) -> None:
    result = replay_live(survey.model, survey.probe)
    expected = offline(survey)
    assert_same(result.estimates, expected)
    # Best effort, as on a robot: a sample may be lost on a busy machine, and with it an estimate.
    assert len(result.estimates) >= 0.95 * len(expected)
    assert len(result.latency_ms) == len(result.estimates)
    assert 0 < np.median(result.latency_ms) < 200


def test_nothing_is_lost_however_fast_it_is_played(survey) -> None:
    result = replay_live(survey.model, survey.probe, rate=1000.0, hop=1)
    # One by one, as the node: in batches, a tie between two neighbours may be rounded the other way.
    localizer = load_localizer(survey.model, hop=1)
    expected = [e for sample in Recording(survey.probe).samples() if (e := localizer.add(sample)) is not None]
    assert [e.t_ns for e in result.estimates] == [e.t_ns for e in expected]
    assert_same(result.estimates, expected)
    assert result.problems == []


def test_topics_of_the_recording_are_remapped(survey, tmp_path) -> None:
    topics = Topics(mag="/phone/mag", imu="/phone/imu")
    path = tmp_path / "phone"
    write_recording(path, Recording(survey.probe).samples(), RecordingInfo(), topics)
    result = replay_live(survey.model, path, topics, rate=100.0)
    assert [e.t_ns for e in result.estimates] == [e.t_ns for e in offline(survey)]


def test_node_that_dies_is_an_error_with_its_last_words(survey) -> None:
    with pytest.raises(EvaluationError, match=r"ended with code 1: .*/nowhere: no such model folder"):
        replay_live(Path("/nowhere"), survey.probe)


def test_recording_that_is_none_is_refused_before_the_node_starts(survey, tmp_path) -> None:
    with pytest.raises(RecordingError, match="no such bag"):
        replay_live(survey.model, tmp_path / "none")
