from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from modal_surveys import write_modal_survey

from mail_localization.data.recording import Recording, Topics
from mail_localization.matching.follower import FollowSettings, PositionScores, Scores
from mail_localization.models.mmloc_localizer import Instant
from mail_localization.motion.tracker import Motion, MotionCalibration, MotionSettings
from mail_localization.training.follow import NetworkWalk, best_follow
from mail_localization.training.motion import calibrate_motion

SECOND_NS = 1_000_000_000
EAST = MotionCalibration(heading_offset_std=0.1)


def walk(wrong_every: int, count: int = 60) -> NetworkWalk:
    """Return a walk along x of which every so many instants are taken for a place 10 m ahead; the rest are exact."""
    truth = np.stack([0.5 * np.arange(count), np.zeros(count)], axis=1)
    wrong = np.arange(count) % wrong_every == wrong_every - 1
    instants = [
        (None if k == 0 else [Motion(k * SECOND_NS, 0.5, 0.05, 0.0, True)],
         Instant(truth[k] + [10.0 * wrong[k], 0.0], 0.25 * np.eye(2)))
        for k in range(count)
    ]  # fmt: skip
    return NetworkWalk(instants, truth)


def scores(instant: Instant) -> Scores:
    return PositionScores(instant.position, instant.covariance)


@pytest.mark.parametrize(("wrong_every", "use"), [(1000, "off"), (3, "on")])
def test_following_is_used_where_it_helps(wrong_every: int, use: str) -> None:
    best, errors = best_follow([walk(wrong_every)], scores, FollowSettings(), EAST)
    assert best.use == use
    assert len(errors) == 60
    assert np.hypot(*errors.T).mean() < 1.0
    assert best.use == "off" or best.trust > 0


def test_following_that_is_asked_for_is_used() -> None:
    best, errors = best_follow([walk(1000)], scores, FollowSettings(use="on", trust=0.3), EAST)
    assert (best.use, best.trust) == ("on", 0.3)
    assert np.hypot(*errors.T).max() < 2.0


def test_part_of_a_survey_teaches_motion_from_its_stretches(tmp_path: Path) -> None:
    walks = write_modal_survey(tmp_path, seconds=40.0)
    settings, whole = calibrate_motion(walks, MotionSettings(), Topics())
    starts = {path: Recording(path).reference().start_ns for path in walks}
    parts = {path: [(start, start + 25 * SECOND_NS)] for path, start in starts.items() if path != walks[2]}
    same, part = calibrate_motion(list(parts), MotionSettings(), Topics(), parts)
    assert same.source == settings.source == "steps"
    assert part.weinberg_k == pytest.approx(whole.weinberg_k, rel=0.15)
    assert part != whole
