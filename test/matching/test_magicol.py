from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from surveys import SECOND_NS, START_NS, field_at

from mail_localization.errors import ConfigError, ModelError
from mail_localization.localizer import Smoother, Startable
from mail_localization.matching.magicol import Magicol, MagicolConfig, load, to_tensors
from mail_localization.matching.polylines import PolylineMap, polyline
from mail_localization.models.artifact import ModelCard
from mail_localization.motion.tracker import MotionCalibration
from mail_localization.types import ImuSample, MagneticSample, OdometrySample, PoseEstimate, Sample, WifiScan

LENGTH = 40.0
CALIBRATION = MotionCalibration(speed_mean=1.0, speed_std=0.2)


def corridor() -> PolylineMap:
    x = np.arange(0.0, LENGTH, 0.05)
    fields = np.array([field_at(at) for at in x]) * 1e6
    return PolylineMap.joined([polyline(np.stack([x, np.zeros_like(x)], axis=1), fields, 0.25)], 0.25)


PATHS = corridor()


def magicol(source: str = "odometry", **changes: Any) -> Magicol:
    mapping = {"motion": {"source": source}, "particles": {"most": 300, "fewest": 100}, **changes}
    return Magicol(MagicolConfig.from_mapping(mapping), PATHS, 1.0, CALIBRATION)


def walk(
    start: float = 5.0, seconds: float = 20.0, speed: float = 1.0, start_ns: int = START_NS, turn: float = 0.7,
    offset: float = 0.0,
) -> list[Sample]:  # fmt: skip
    """Roll along the corridor, magnetometer and odometry at 10 Hz; the odometry's frame is turned against the map."""
    samples: list[Sample] = []
    for k in range(round(seconds * 10) + 1):
        t_ns, way = start_ns + k * SECOND_NS // 10, speed * k / 10
        x, y, z = field_at(start + way)
        samples.append(MagneticSample(t_ns, (x + offset, y, z)))
        samples.append(OdometrySample(t_ns, way * math.cos(turn), way * math.sin(turn), turn))
    return samples


def run(localizer: Magicol, samples: list[Sample]) -> list[PoseEstimate]:
    return [estimate for sample in samples if (estimate := localizer.add(sample)) is not None]


def numbers(estimates: list[PoseEstimate]) -> list[tuple[int, float, float, float]]:
    return [(e.t_ns, *e.position.tolist(), float(e.covariance[0, 0])) for e in estimates]


def errors(estimates: list[PoseEstimate], start: float = 5.0, speed: float = 1.0, start_ns: int = START_NS) -> Any:
    truth = np.array([[start + speed * (e.t_ns - start_ns) * 1e-9, 0.0] for e in estimates])
    return np.linalg.norm(np.array([e.position for e in estimates]) - truth, axis=1)


@pytest.mark.parametrize("source", ["odometry", "none"])
def test_walk_is_followed(source: str) -> None:
    localizer = magicol(source)
    estimates = run(localizer, walk())
    assert localizer.inputs == ({"mag", "odom"} if source == "odometry" else {"mag"})
    assert len(estimates) > 20
    assert np.median(errors(estimates)) < 0.5
    assert errors(estimates).max() < 2.0
    for estimate in estimates:
        assert (np.linalg.eigvalsh(estimate.covariance) > 0).all()
        assert 0 < sum(mode.weight for mode in estimate.modes) <= 1 + 1e-9
        weights = [mode.weight for mode in estimate.modes]
        assert weights == sorted(weights, reverse=True)


def test_hard_iron_of_another_phone_is_ignored() -> None:
    estimates = run(magicol(sequence={"offset_weight": 0.0}), walk(offset=40e-6))
    assert np.median(errors(estimates)) < 0.5


def test_nothing_is_told_before_a_sequence_was_matched() -> None:
    first = run(magicol(sequence={"shortest": 4.0}), walk())[0]
    assert first.t_ns - START_NS >= 4 * SECOND_NS


def test_nothing_is_told_while_the_cloud_is_undecided() -> None:
    assert run(magicol(report={"first_weight": 1.0}, sequence={"shortest": 1.0}), walk(seconds=1.5)) == []


def test_samples_one_by_one_give_the_offline_estimates() -> None:
    localizer = magicol()
    live = numbers(run(localizer, walk()))
    localizer.reset()
    assert numbers(list(localizer.localize(walk()))) == live
    assert live
    stamps = [row[0] for row in live]
    assert stamps == sorted(stamps)


def test_standing_target_is_told_every_second() -> None:
    still = [
        dataclasses.replace(sample, t_ns=START_NS + 20 * SECOND_NS + k * SECOND_NS // 10)
        for k in range(1, 51)
        for sample in walk()[-2:]
    ]
    late = [e for e in run(magicol(), walk() + still) if e.t_ns > START_NS + 20 * SECOND_NS]
    assert np.diff([e.t_ns for e in late]).max() <= SECOND_NS
    assert len(late) in (5, 6)
    assert errors(late, start=25.0, speed=0.0).max() < 1.5


def test_estimate_is_carried_on_between_motions() -> None:
    """A piece of odometry every 0.5 m takes 1 s at 0.5 m/s; an estimate comes every 0.3 s, and none lags by a piece."""
    estimates = run(magicol(), walk(seconds=30.0, speed=0.5))[20:]
    assert np.diff([e.t_ns for e in estimates]).max() <= 0.4 * SECOND_NS
    assert np.median(errors(estimates, speed=0.5)) < 0.3


def test_given_start_is_told_with_the_first_motion() -> None:
    localizer = magicol()
    assert isinstance(localizer, Startable)
    localizer.start_at(START_NS, np.array([5.0, 0.0]), 0.3)
    estimates = run(localizer, walk(seconds=2.0))
    assert estimates[0].t_ns - START_NS < SECOND_NS
    assert errors(estimates).max() < 3.5


def test_lost_cloud_is_found_again() -> None:
    """Carried 15 m along the corridor between two samples: the odometry knows nothing of it."""
    localizer = magicol(evidence={"lost": 0.05})
    first = walk(seconds=12.0)
    second = [
        s if isinstance(s, MagneticSample) else OdometrySample(s.t_ns, s.x + 12.0 * math.cos(0.7), s.y, s.yaw)
        for s in walk(start=25.0, seconds=14.0, start_ns=START_NS + 12 * SECOND_NS)
        if isinstance(s, (MagneticSample, OdometrySample))
    ]
    estimates = run(localizer, first + second[2:])
    assert errors(estimates[-4:], start=25.0, start_ns=START_NS + 12 * SECOND_NS).max() < 1.5


def test_late_repeated_and_bad_samples_change_nothing() -> None:
    clean = walk()
    torn: list[Sample] = []
    for k, sample in enumerate(clean):
        torn.append(sample)
        if k % 7 == 6:
            torn += [clean[k - 4], sample, MagneticSample(sample.t_ns + 1, (math.nan, 0.0, 0.0))]
            torn.append(OdometrySample(sample.t_ns + 1, math.inf, 0.0, 0.0))
    torn.insert(101, MagneticSample(0, (1e-5, 0.0, 0.0)))
    localizer = magicol()
    assert numbers(run(localizer, torn)) == numbers(run(magicol(), clean))
    assert {"mag.duplicate", "mag.non_finite", "mag.isolated", "odom.non_finite"} <= localizer.counters.keys()


@pytest.mark.parametrize("pause", [60.0, -3600.0])
def test_gap_or_clock_set_back_starts_anew(pause: float) -> None:
    localizer = magicol()
    run(localizer, walk())
    start_ns = START_NS + round((20.0 + pause) * SECOND_NS)
    again = run(localizer, walk(start=12.0, start_ns=start_ns))
    assert again[0].t_ns - start_ns >= 2 * SECOND_NS
    assert np.median(errors(again, start=12.0, start_ns=start_ns)) < 0.5
    assert localizer.counters["mag.gap"] + localizer.counters["mag.clock_set_back"] == 1


def test_smoothing_knows_the_beginning_and_is_no_worse() -> None:
    localizer = magicol("none")
    assert isinstance(localizer, Smoother)
    online = run(localizer, walk(speed=1.15))
    smoothed = list(localizer.smooth(walk(speed=1.15)))
    assert smoothed[0].t_ns < online[0].t_ns
    assert errors(smoothed, speed=1.15).mean() <= errors(online, speed=1.15).mean()
    assert np.median(errors(smoothed, speed=1.15)) < 0.5
    assert numbers(list(localizer.smooth(walk(speed=1.15)))) == numbers(smoothed)
    # What is told online is not changed by having smoothed.
    assert numbers(list(localizer.localize(walk(speed=1.15)))) == numbers(online)


def test_smoothing_goes_around_gaps() -> None:
    first, second = walk(seconds=10.0), walk(start=20.0, seconds=10.0, start_ns=START_NS + 100 * SECOND_NS)
    stamps = [e.t_ns for e in magicol().smooth(first + second)]
    assert stamps == sorted(stamps)
    assert not any(START_NS + 11 * SECOND_NS < t_ns < START_NS + 99 * SECOND_NS for t_ns in stamps)


def test_path_walked_backwards_is_known_both_ways() -> None:
    back = [
        dataclasses.replace(sample, field=field_at(30.0 - 0.1 * (k // 2)))
        if isinstance(sample, MagneticSample)
        else sample
        for k, sample in enumerate(walk())
    ]
    estimates = run(magicol(both_ways=True), back)
    assert np.median(errors(estimates, start=30.0, speed=-1.0)) < 0.7


floats = st.floats(allow_nan=True, allow_infinity=True)
vectors = st.tuples(floats, floats, floats)
stamps = st.integers(-(2**62), 2**62) | st.integers(START_NS, START_NS + 10**10)
hostile = st.one_of(
    st.builds(MagneticSample, stamps, vectors),
    st.builds(ImuSample, stamps, vectors, vectors, st.none() | st.tuples(floats, floats, floats, floats)),
    st.builds(WifiScan, stamps, st.just(())),
    st.builds(OdometrySample, stamps, floats, floats, floats),
)
LOCALIZERS = {source: magicol(source) for source in ("odometry", "none", "steps")}


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(sorted(LOCALIZERS)), st.lists(hostile, max_size=40))
def test_no_sample_makes_it_raise(source: str, garbage: list[Sample]) -> None:
    localizer = LOCALIZERS[source]
    localizer.reset()
    for estimate in run(localizer, garbage):
        assert np.isfinite(estimate.position).all()


def test_it_recovers_from_garbage() -> None:
    localizer = magicol()
    run(localizer, [MagneticSample(START_NS - 10**15, (1e-5, 0.0, 0.0)), OdometrySample(2**62, 1e9, 0.0, 0.0)])
    assert np.median(errors(run(localizer, walk()))) < 0.5


@pytest.mark.parametrize(
    "mapping, message",
    [
        ({"sequence": {"shortest": 9.0}}, "shortest 9.0 is above longest"),
        ({"sequence": {"spacing": 2.0}}, "below two cells of spacing 2.0"),
        ({"field": {"weights": [1.0]}}, "weights: expected one for each"),
        ({"sequense": {}}, "unknown setting 'sequense'; did you mean 'sequence'"),
    ],
)
def test_contradicting_settings_are_refused(mapping: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        MagicolConfig.from_mapping(mapping)


def test_model_folder_content_gives_the_same_localizer() -> None:
    config = magicol().config
    card = ModelCard("magicol", config.to_mapping(), [[1.0, 0.0], [0.0, 1.0]])
    loaded = load(card, to_tensors(PATHS, 1.0, CALIBRATION), 0)
    # Features are kept in single precision.
    assert [row[0] for row in numbers(run(loaded, walk()))] == [row[0] for row in numbers(run(magicol(), walk()))]
    with pytest.raises(ModelError, match="train the model again"):
        load(card, {"positions": np.zeros((3, 2))}, 0)
