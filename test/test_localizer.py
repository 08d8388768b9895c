from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from surveys import SECOND_NS, START_NS, corridor_walk, write_survey

from mail_localization.errors import ConfigError
from mail_localization.localizer import Localizer, load_localizer
from mail_localization.matching.magnetic_nn import MagneticNnConfig
from mail_localization.training.magnetic_nn import train
from mail_localization.training.options import TrainOptions
from mail_localization.types import (
    ImuSample,
    MagneticSample,
    OdometrySample,
    PoseEstimate,
    Sample,
    WifiScan,
)


@pytest.fixture(scope="module", params=["sensor", "gravity_aligned"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("survey")
    config = {"window": {"length": 100, "hop": 10}, "magnetic": {"components": request.param, "transform": "raw"}}
    train(
        MagneticNnConfig.from_mapping(config),
        write_survey(folder, seconds=20.0),
        folder / "model",
        TrainOptions(progress=False),
    )
    return folder / "model"


def walk(seconds: float = 6.0, rate_hz: float = 50.0, start_ns: int = START_NS) -> list[Sample]:
    samples = corridor_walk(1.1, seconds, rate_hz, start_ns)
    return [s for s in samples if isinstance(s, (MagneticSample, ImuSample))]


def run(localizer: Localizer, samples: list[Sample]) -> list[PoseEstimate]:
    return [estimate for sample in samples if (estimate := localizer.add(sample)) is not None]


def numbers(estimates: list[PoseEstimate]) -> list[tuple[int, float, float]]:
    return [(e.t_ns, *e.position.tolist()) for e in estimates]


def test_samples_one_by_one_give_the_offline_estimates(model: Path) -> None:
    localizer = load_localizer(model)
    live = run(localizer, walk())
    localizer.reset()
    offline = list(localizer.localize(walk()))
    # 6 s at 50 Hz; the first window is full after 2 s, and one is due every 10 samples.
    assert len(live) == 21
    assert numbers(offline) == numbers(live)
    assert all(np.all(np.linalg.eigvalsh(e.covariance) > 0) for e in live)


def test_estimate_is_stamped_with_the_newest_sample_used(model: Path) -> None:
    assert numbers(run(load_localizer(model), walk()))[0][0] - START_NS in (2 * SECOND_NS, 2 * SECOND_NS - 20_000_000)


def test_nothing_is_estimated_before_the_window_is_full(model: Path) -> None:
    assert run(load_localizer(model), walk(seconds=1.9)) == []


def test_hop_can_be_chosen_at_load(model: Path) -> None:
    assert len(run(load_localizer(model, hop=50), walk())) == 5
    with pytest.raises(ConfigError, match="hop: -1 is outside 1"):
        load_localizer(model, hop=-1)


def test_late_and_repeated_samples_change_nothing(model: Path) -> None:
    clean = walk()
    torn = [s for k, sample in enumerate(clean) for s in ([sample, clean[max(k - 6, 0)]] if k % 5 == 0 else [sample])]
    localizer = load_localizer(model)
    assert numbers(run(localizer, torn)) == numbers(run(load_localizer(model), clean))
    assert localizer.counters["mag.out_of_order"] + localizer.counters["mag.duplicate"] > 20


def test_bad_values_are_counted_and_bridged(model: Path) -> None:
    clean, localizer = walk(), load_localizer(model)
    mags = [k for k, sample in enumerate(clean) if isinstance(sample, MagneticSample)]
    for k, bad in zip(mags[151:154], (math.nan, math.inf, 4.9e-3), strict=True):
        clean[k] = dataclasses.replace(clean[k], field=(bad, 0.0, 0.0))
    torn, whole = run(localizer, clean), run(load_localizer(model), walk())
    assert localizer.counters == {"mag.non_finite": 2, "mag.saturated": 1}
    assert [e.t_ns for e in torn] == [e.t_ns for e in whole]


def test_gap_longer_than_the_bridge_starts_the_window_anew(model: Path) -> None:
    localizer = load_localizer(model)
    first, second = walk(seconds=3.0), walk(seconds=3.0, start_ns=START_NS + 60 * SECOND_NS)
    estimates = run(localizer, first + second)
    assert len(estimates) == 2 * len(run(load_localizer(model), first))
    # Nothing in the two seconds after the gap.
    late = [e.t_ns - START_NS - 60 * SECOND_NS for e in estimates if e.t_ns > START_NS + 60 * SECOND_NS]
    assert min(late) >= 2 * SECOND_NS - 20_000_000
    assert localizer.counters["mag.gap"] == 1


def test_bag_loop_gives_the_same_estimates_again(model: Path) -> None:
    localizer = load_localizer(model)
    once = numbers(run(localizer, walk()))
    again = numbers(run(localizer, walk()))
    assert again == once
    assert localizer.counters["mag.clock_set_back"] == 1


def test_one_wild_stamp_does_not_empty_the_window(model: Path) -> None:
    clean, localizer = walk(), load_localizer(model)
    wild = list(clean)
    for position, t_ns in ((120, 0), (240, START_NS + 10**16), (360, 1)):
        wild.insert(position, MagneticSample(t_ns, (1e-5, 1e-5, 1e-5)))
    assert numbers(run(localizer, wild)) == numbers(run(load_localizer(model), clean))
    assert localizer.counters["mag.isolated"] == 3


@pytest.mark.parametrize("rate_hz", [10.0, 37.0, 100.0, 200.0])
def test_sensor_rate_does_not_change_the_instants(model: Path, rate_hz: float) -> None:
    estimates = run(load_localizer(model), walk(rate_hz=rate_hz))
    assert len(estimates) in (20, 21)
    truth = np.array([1.1 * (e.t_ns - START_NS) * 1e-9 for e in estimates])
    assert np.median(np.abs(np.array([e.position[0] for e in estimates]) - truth)) < 1.0


floats = st.floats(allow_nan=True, allow_infinity=True)
vectors = st.tuples(floats, floats, floats)
stamps = st.integers(-(2**62), 2**62) | st.integers(START_NS, START_NS + 10**9)
hostile = st.one_of(
    st.builds(MagneticSample, stamps, vectors),
    st.builds(ImuSample, stamps, vectors, vectors, st.none() | st.tuples(floats, floats, floats, floats)),
    st.builds(WifiScan, stamps, st.just(())),
    st.builds(OdometrySample, stamps, floats, floats, floats),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(hostile, max_size=60))
def test_no_sample_makes_it_raise_and_it_recovers(model: Path, garbage: list[Sample]) -> None:
    localizer = load_localizer(model)
    run(localizer, garbage)
    estimates = run(localizer, walk(start_ns=START_NS + 3600 * SECOND_NS))
    assert len(estimates) >= 18
