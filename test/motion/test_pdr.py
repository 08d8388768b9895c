from __future__ import annotations

import dataclasses
import math
from collections import Counter

import numpy as np
import pytest
from surveys import SECOND_NS, START_NS
from walks import SQUARE, drive, walk

from mail_localization.data.reference import Reference
from mail_localization.estimator import Estimator
from mail_localization.localizer import Localizer, Startable, told_where
from mail_localization.motion.pdr import Pdr, PdrConfig
from mail_localization.motion.tracker import MotionCalibration, MotionSettings
from mail_localization.types import ImuSample, PoseEstimate, ReferencePose, Sample, WifiScan

# 60 steps of 0.6 m: swing 4 m/s^2, of which the filter leaves nearly all at 2 Hz.
CALIBRATION = MotionCalibration(weinberg_k=0.435, heading_offset=-0.4, heading_offset_std=0.1)


class Beacon(Estimator):
    """A starter that knows the truth, now and then."""

    inputs = frozenset({"mag"})

    def __init__(self, reference: Reference) -> None:
        super().__init__()
        self._reference = reference
        self._due = 0

    @property
    def counters(self) -> Counter[str]:
        return Counter()

    def _take(self, sample: Sample) -> PoseEstimate | None:
        if sample.t_ns < self._due:
            return None
        position = self._reference.at(np.array([sample.t_ns]))[0]
        self._due = sample.t_ns + SECOND_NS
        return PoseEstimate(sample.t_ns, position, np.eye(2)) if np.isfinite(position).all() else None

    def _reset(self) -> None:
        self._due = 0


def _split(made: list[Sample | ReferencePose]) -> tuple[list[Sample], Reference]:
    poses = [sample for sample in made if isinstance(sample, ReferencePose)]
    return [s for s in made if not isinstance(s, ReferencePose)], Reference.from_poses(poses)


def _pdr(reference: Reference | None = None, source: str = "steps", **motion: str) -> Pdr:
    config = PdrConfig(motion=MotionSettings(source=source, **motion))
    return Pdr(config, CALIBRATION, 0.05, None if reference is None else Beacon(reference))


def _errors(estimates: list[PoseEstimate], reference: Reference) -> np.ndarray:
    truth = reference.at(np.array([estimate.t_ns for estimate in estimates]))
    errors = np.linalg.norm([e.position for e in estimates] - truth, axis=1)
    return errors[np.isfinite(errors)]


def _told(pdr: Pdr, samples: list[Sample], reference: Reference) -> list[PoseEstimate]:
    return list(pdr.localize(told_where(pdr, samples, reference.start_ns, reference.position[0], 0.3)))


def test_follows_a_walk_from_a_told_start() -> None:
    samples, reference = _split(walk())
    pdr = _pdr()
    assert isinstance(pdr, Startable)
    estimates = _told(pdr, samples, reference)
    assert _errors(estimates, reference).max() < 2.5
    assert all((np.linalg.eigvalsh(estimate.covariance) > 0).all() for estimate in estimates)
    assert np.trace(estimates[-1].covariance) > np.trace(estimates[0].covariance)


def test_says_nothing_before_it_knows_where_it_is() -> None:
    samples, _ = _split(walk())
    assert list(_pdr().localize(samples)) == []


def test_starts_from_the_starters_positions() -> None:
    samples, reference = _split(walk())
    estimates = list(_pdr(reference).localize(samples))
    assert estimates[0].t_ns >= reference.start_ns
    assert _errors(estimates, reference).max() < 2.0


@pytest.mark.parametrize("told", [True, False])
def test_relative_headings_are_laid_onto_the_starters_positions(told: bool) -> None:
    samples, reference = _split(walk(attitude=False))
    pdr = _pdr(reference)
    estimates = _told(pdr, samples, reference) if told else list(pdr.localize(samples))
    # Five metres on, the direction is found.
    assert _errors(estimates, reference)[20:].max() < 2.5


def test_a_course_told_with_the_start_is_used() -> None:
    samples, reference = _split(walk(attitude=False))
    pdr = _pdr()
    pdr.start_at(reference.start_ns, reference.position[0], 0.3, course=0.0)
    assert _errors(list(pdr.localize(samples)), reference).max() < 2.5


def test_wheels_are_followed_too() -> None:
    samples, reference = _split(drive(turned=1.0))
    estimates = list(_pdr(reference, "odometry").localize(samples))
    assert _errors(estimates, reference)[40:].max() < 1.0


def test_standing_gives_an_estimate_every_second() -> None:
    samples, reference = _split(walk(stand=10.0))
    pdr = _pdr()
    pdr.start_at(START_NS, reference.position[0], 0.3)
    stamps = [estimate.t_ns for estimate in pdr.localize(samples)]
    assert stamps[0] == START_NS
    assert max(np.diff(stamps)) <= 1.05 * SECOND_NS
    assert samples[-1].t_ns - stamps[-1] <= 1.05 * SECOND_NS


def test_estimates_are_the_same_one_by_one_and_after_a_reset() -> None:
    samples, reference = _split(walk(attitude=False))
    pdr = _pdr(reference)
    first = [(e.t_ns, *e.position) for e in pdr.localize(samples)]
    pdr.reset()
    assert [(e.t_ns, *e.position) for s in samples if (e := pdr.add(s)) is not None] == first


def test_bad_samples_are_counted_and_change_nothing() -> None:
    samples, reference = _split(walk())
    clean = [(e.t_ns, *e.position) for e in _told(_pdr(reference), samples, reference)]
    spoilt = list(samples)
    for at in (1500, 801):
        bad = samples[at]
        spoilt[at + 1 : at + 1] = [bad, samples[at - 20], dataclasses.replace(bad, t_ns=0)]
    force = (math.nan, 0.0, 9.8)
    spoilt.insert(1000, ImuSample(spoilt[999].t_ns + 1, force, (0.0, 0.0, 0.0)))
    spoilt.insert(1000, WifiScan(5, ()))
    pdr = _pdr(reference)
    assert [(e.t_ns, *e.position) for e in _told(pdr, spoilt, reference)] == clean
    kinds = {"imu.duplicate", "imu.out_of_order", "imu.isolated", "imu.non_finite"}
    assert kinds <= set(pdr.counters)
    assert pdr.counters["imu.non_finite"] == 1


def test_a_clock_set_back_forgets_the_start() -> None:
    samples, reference = _split(walk(start_ns=START_NS + 3600 * SECOND_NS))
    again, _ = _split(walk())
    pdr = _pdr()
    assert _told(pdr, samples, reference)
    assert list(pdr.localize(again)) == []
    assert pdr.counters == {"imu.clock_set_back": 1}


def test_a_gap_widens_the_covariance() -> None:
    samples, reference = _split(walk())
    cut = START_NS + 20 * SECOND_NS
    torn = [s for s in samples if not cut < s.t_ns < cut + 5 * SECOND_NS]
    estimates = _told(_pdr(), torn, reference)
    before = [e for e in estimates if e.t_ns <= cut][-1]
    after = next(e for e in estimates if e.t_ns > cut)
    # 5 s at 1.2 m/s.
    assert after.covariance[0, 0] - before.covariance[0, 0] == pytest.approx(36.0, rel=0.2)


def test_is_a_localizer_with_the_inputs_it_uses() -> None:
    _, reference = _split(walk(SQUARE[:2]))
    localizer: Localizer = _pdr(reference)
    assert localizer.inputs == {"imu", "mag"}
    assert localizer.method == "pdr"
