from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
from surveys import SECOND_NS, START_NS, field_at

from mail_localization.errors import ConfigError, ModelError
from mail_localization.localizer import LikelihoodLocalizer, Startable
from mail_localization.matching.magnetic_map import MagneticMap, MapSettings, SurveyRows, build_map
from mail_localization.matching.maloc import MaLoc, MalocConfig, load, to_tensors
from mail_localization.models.artifact import ModelCard
from mail_localization.motion.tracker import MotionCalibration
from mail_localization.types import (
    ImuSample,
    MagneticSample,
    OdometrySample,
    PoseEstimate,
    Sample,
    WifiReading,
    WifiScan,
)

LENGTH = 40.0
CALIBRATION = MotionCalibration(speed_mean=1.0, speed_std=0.2)


def corridor_map() -> MagneticMap:
    x = np.arange(0.0, LENGTH, 0.1)
    fields = np.array([field_at(at) for at in x]) * 1e6
    fields = np.concatenate([fields, np.linalg.norm(fields, axis=1, keepdims=True)], axis=1)
    return build_map(
        SurveyRows(np.stack([x, np.zeros_like(x)], axis=1), np.zeros_like(x), fields), MapSettings(directions=8)
    )


MAP = corridor_map()


def maloc(source: str = "odometry", **settings: Any) -> MaLoc:
    few = {"start": 1000, "particles": {"most": 500, "fewest": 200}, "recovery": {"particles": 100, "candidates": 500}}
    mapping = {"motion": {"source": source}, "filter": few, **settings}
    return MaLoc(MalocConfig.from_mapping(mapping), MAP, CALIBRATION)


def walk(
    start: float = 5.0, seconds: float = 20.0, speed: float = 1.0, start_ns: int = START_NS, turn: float = 0.7,
    offset: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> list[Sample]:  # fmt: skip
    """Roll along the corridor, magnetometer and odometry at 10 Hz; the odometry's frame is turned against the map."""
    samples: list[Sample] = []
    for k in range(round(seconds * 10) + 1):
        t_ns = start_ns + k * SECOND_NS // 10
        way = speed * k / 10
        field = field_at(start + way)
        samples.append(MagneticSample(t_ns, tuple(f + o for f, o in zip(field, offset, strict=True))))  # type: ignore[arg-type]
        samples.append(OdometrySample(t_ns, way * math.cos(turn), way * math.sin(turn), turn))
    return samples


def run(localizer: MaLoc, samples: list[Sample]) -> list[PoseEstimate]:
    return [estimate for sample in samples if (estimate := localizer.add(sample)) is not None]


def numbers(estimates: list[PoseEstimate]) -> list[tuple[int, float, float]]:
    return [(e.t_ns, *e.position.tolist()) for e in estimates]


def final_error(estimates: list[PoseEstimate], x: float) -> float:
    return math.hypot(estimates[-1].position[0] - x, estimates[-1].position[1])


def test_odometry_in_a_frame_of_its_own_finds_the_place() -> None:
    estimates = run(maloc(), walk())
    assert final_error(estimates, 25.0) < 0.6
    assert all((np.linalg.eigvalsh(e.covariance) > 0).all() for e in estimates)


def test_without_motion_the_usual_speed_finds_the_place() -> None:
    estimates = run(maloc("none"), walk(seconds=25.0))
    assert final_error(estimates, 30.0) < 1.5


def test_the_hard_iron_of_another_device_does_not_matter() -> None:
    estimates = run(maloc(), walk(seconds=25.0, offset=(6e-6, -5e-6, 4e-6)))
    assert final_error(estimates, 30.0) < 0.8


def test_nothing_is_estimated_before_the_cloud_has_converged() -> None:
    estimates = run(maloc(), walk())
    assert estimates[0].t_ns - START_NS >= SECOND_NS
    assert math.sqrt(np.trace(estimates[0].covariance)) < 4.5
    assert run(maloc(estimate={"converged": 0.1}), walk(seconds=3.0)) == []


def test_modes_come_heaviest_first_and_the_first_is_the_estimate() -> None:
    for estimate in run(maloc(), walk()):
        weights = [mode.weight for mode in estimate.modes]
        assert weights == sorted(weights, reverse=True)
        assert np.array_equal(estimate.modes[0].mean, estimate.position)


def test_a_given_start_is_estimated_from_the_first_motion_on() -> None:
    localizer = maloc()
    assert isinstance(localizer, Startable)
    localizer.start_at(START_NS, np.array([5.0, 0.0]), 0.5)
    estimates = run(localizer, walk(seconds=5.0))
    assert estimates[0].t_ns - START_NS <= SECOND_NS
    assert final_error(estimates, 10.0) < 0.6


def test_a_lost_track_is_found_again() -> None:
    lost = maloc(filter={"recovery": {"distance": 5.0}})
    lost.start_at(START_NS, np.array([30.0, 0.0]), 0.2)
    estimates = run(lost, walk(start=2.0, seconds=30.0))
    assert abs(estimates[0].position[0] - 30.0) < 3.0
    assert final_error(estimates, 32.0) < 1.0
    stubborn = maloc(filter={"recovery": {"particles": 0}})
    stubborn.start_at(START_NS, np.array([30.0, 0.0]), 0.2)
    assert final_error(run(stubborn, walk(start=2.0, seconds=20.0)), 22.0) > 3.0


def test_between_two_motions_the_newest_is_carried_on() -> None:
    estimates = run(maloc(), walk(speed=0.8))
    stamps = np.array([e.t_ns for e in estimates])
    # Odometry ends a piece of 0.5 m every 0.7 s; the clock's rows fall on whole tenths.
    assert np.diff(stamps).max() <= 0.35e9
    way = np.array([e.position[0] - 5.0 for e in estimates[-20:]])
    assert way == pytest.approx((stamps[-20:] - START_NS) * 0.8e-9, abs=0.5)
    assert (np.diff(way) > 0).mean() > 0.8


def test_standing_repeats_the_estimate() -> None:
    localizer = maloc()
    before = run(localizer, walk())[-1]
    standing = [MagneticSample(START_NS + 20 * SECOND_NS + k * SECOND_NS // 10, field_at(25.0)) for k in range(1, 61)]
    repeated = [e for e in run(localizer, standing) if e.t_ns > START_NS + 21 * SECOND_NS]
    assert len(repeated) == 6
    assert all(np.array_equal(e.position, repeated[0].position) for e in repeated)
    assert repeated[0].position == pytest.approx(before.position, abs=0.6)


def test_offline_live_and_again_after_reset_are_the_same_numbers() -> None:
    localizer = maloc()
    live = numbers(run(localizer, walk()))
    localizer.reset()
    assert numbers(list(localizer.localize(walk()))) == live
    assert numbers(run(maloc(), walk())) == live
    assert numbers(run(maloc(seed=1), walk())) != live


def test_clock_set_back_starts_anew() -> None:
    localizer = maloc()
    run(localizer, walk())
    again = run(localizer, walk(start=12.0))
    assert again[0].t_ns < START_NS + 20 * SECOND_NS
    assert final_error(again, 32.0) < 0.8
    assert localizer.counters["mag.clock_set_back"] == 1


def test_a_long_gap_starts_anew() -> None:
    localizer = maloc()
    run(localizer, walk())
    later = START_NS + 120 * SECOND_NS
    after = run(localizer, walk(start=12.0, start_ns=later))
    assert after[0].t_ns - later >= SECOND_NS // 2
    assert final_error(after, 32.0) < 0.8


def test_bad_samples_are_counted_and_left_out() -> None:
    clean, torn = walk(), []
    for k, sample in enumerate(clean):
        torn += [sample, clean[max(k - 4, 0)]] if k % 5 == 0 else [sample]
    torn.insert(60, MagneticSample(START_NS + 3 * SECOND_NS + 1, (math.nan, 0.0, 0.0)))
    torn.insert(61, OdometrySample(START_NS + 3 * SECOND_NS + 1, math.inf, 0.0, 0.0))
    torn.insert(62, MagneticSample(0, (0.0, 0.0, 0.0)))
    torn.insert(63, WifiScan(0, (WifiReading("aa:bb:cc:dd:ee:ff", -50.0),)))
    torn.insert(64, ImuSample(START_NS, (math.nan, 0.0, 0.0), (0.0, 0.0, 0.0)))
    localizer = maloc()
    assert numbers(run(localizer, torn)) == numbers(run(maloc(), clean))
    for name in ("mag.non_finite", "mag.out_of_order", "mag.isolated", "odom.non_finite", "odom.out_of_order"):
        assert localizer.counters[name] >= 1, name


def test_log_likelihood_is_highest_where_the_cloud_is() -> None:
    localizer = maloc()
    assert isinstance(localizer, LikelihoodLocalizer)
    places = np.array([[25.0, 0.0], [10.0, 0.0], [35.0, 0.0]])
    assert localizer.log_likelihood(places).tolist() == [0.0, 0.0, 0.0]
    run(localizer, walk())
    assert localizer.log_likelihood(places).argmax() == 0


def test_a_transform_of_sequences_is_refused() -> None:
    with pytest.raises(ConfigError, match="transform is 'gradient'"):
        MalocConfig.from_mapping({"magnetic": {"transform": "gradient"}})


def test_the_model_folder_holds_everything() -> None:
    localizer = maloc()
    card = ModelCard("maloc", localizer.config.to_mapping(), np.eye(2).tolist())
    tensors = to_tensors(MAP, CALIBRATION)
    assert numbers(run(load(card, tensors, 0), walk(seconds=8.0))) == numbers(run(localizer, walk(seconds=8.0)))
    with pytest.raises(ModelError, match="map_cells"):
        load(card, {name: tensor for name, tensor in tensors.items() if name != "map_cells"}, 0)
    other = dataclasses.replace(card, settings={"magnetic": {"components": "gravity_aligned", "transform": "raw"}})
    with pytest.raises(ModelError, match="4 channels for gravity_aligned"):
        load(other, tensors, 0)
