"""What holds for every method: no sample breaks it, streaming equals replay, a bad survey is one clear line."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from methods_small import SMALL
from modal_surveys import modal_walk, without_references, write_modal_survey
from surveys import SECOND_NS, START_NS

from mail_localization.cli import main
from mail_localization.localizer import Localizer, load_localizer
from mail_localization.methods import METHODS
from mail_localization.motion.odometry_aid import OdometryAided
from mail_localization.training.options import TrainOptions
from mail_localization.types import (
    ImuSample,
    MagneticSample,
    OdometrySample,
    PoseEstimate,
    Sample,
    WifiReading,
    WifiScan,
)

LATER = START_NS + 7200 * SECOND_NS
NEEDS = {"mail": "mag", "jang": "mag", "magnetic_nn": "mag", "magicol": "mag", "maloc": "mag", "wifi_knn": "wifi"}
"""The stream without which a method cannot be made; the others of METHODS need several."""


@pytest.fixture(scope="module")
def walks(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_modal_survey(tmp_path_factory.mktemp("walks"), speeds=(0.9, 1.0, 1.1), seconds=40.0)


@pytest.fixture(scope="module", params=METHODS)
def model(request: pytest.FixtureRequest, walks: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    kind = METHODS[request.param]
    out = tmp_path_factory.mktemp("model") / request.param
    kind.train(kind.config.from_mapping(SMALL.get(request.param, {})), walks, out, TrainOptions(progress=False))
    return out


def walk(start_ns: int = LATER) -> list[Sample]:
    return without_references(modal_walk(0.95, 40.0, start_ns, seed=9))


def run(localizer: Localizer, samples: list[Sample]) -> list[PoseEstimate]:
    return [estimate for sample in samples if (estimate := localizer.add(sample)) is not None]


def test_replay_equals_streaming_and_a_reset_forgets_everything(model: Path) -> None:
    localizer = load_localizer(model)
    live = run(localizer, walk())
    localizer.reset()
    replayed = list(localizer.localize(walk()))
    assert [e.t_ns for e in replayed] == [e.t_ns for e in live]
    # A network rounds otherwise in a batch.
    np.testing.assert_allclose([e.position for e in replayed], [e.position for e in live], atol=1e-3)
    truth = np.array([0.95 * (e.t_ns - LATER) * 1e-9 for e in live])
    assert len(live) >= 3
    assert np.median(np.abs(np.array([e.position[0] for e in live]) - truth)) < 3.0
    assert all((np.linalg.eigvalsh(e.covariance) > 0).all() for e in live)


def test_late_repeated_and_broken_samples_are_counted(model: Path) -> None:
    localizer, clean = load_localizer(model), walk()
    torn: list[Sample] = []
    for k, sample in enumerate(clean):
        torn.append(sample)
        if k % 50 == 10:
            torn += [
                clean[k - 5], sample,
                MagneticSample(sample.t_ns + 1, (math.nan, 0.0, 0.0)),
                ImuSample(sample.t_ns + 1, (math.inf, 0.0, 0.0), (0.0, 0.0, 0.0)),
                WifiScan(sample.t_ns + 1, (WifiReading("", math.nan),)),
            ]  # fmt: skip
    estimates = run(localizer, torn)
    assert len(estimates) >= 0.8 * len(run(load_localizer(model), clean))
    assert sum(localizer.counters.values()) > 0
    assert all(np.isfinite(e.position).all() and np.isfinite(e.covariance).all() for e in estimates)


floats = st.floats(allow_nan=True, allow_infinity=True)
vectors = st.tuples(floats, floats, floats)
stamps = st.integers(-(2**62), 2**62) | st.integers(START_NS, START_NS + 10**9)
readings = st.builds(WifiReading, st.text(max_size=20), floats, floats)
hostile = st.one_of(
    st.builds(MagneticSample, stamps, vectors),
    st.builds(ImuSample, stamps, vectors, vectors, st.none() | st.tuples(floats, floats, floats, floats)),
    st.builds(WifiScan, stamps, st.lists(readings, max_size=5).map(tuple)),
    st.builds(OdometrySample, stamps, floats, floats, floats),
)


@pytest.mark.parametrize("aided", [False, True])
def test_no_sample_makes_it_raise_and_it_recovers(model: Path, aided: bool) -> None:
    localizer = OdometryAided(load_localizer(model)) if aided else load_localizer(model)

    @settings(max_examples=40, deadline=None)
    @given(st.lists(hostile, max_size=60))
    def feed(garbage: list[Sample]) -> None:
        run(localizer, garbage)

    feed()
    localizer.reset()
    assert len(run(localizer, walk())) >= 3


def _refusal(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """Return the one line with which a command refuses its arguments."""
    assert main([str(argument) for argument in arguments]) == 1
    lines = [line for line in capsys.readouterr().err.splitlines() if "error:" in line]
    assert len(lines) == 1
    return lines[0]


def _train(method: str, bags: list[Path], out: Path, settings: dict[str, object]) -> list[object]:
    out.parent.mkdir(exist_ok=True)
    config = out.with_suffix(".yaml")
    config.write_text(yaml.safe_dump(settings))
    return ["train", "--method", method, "--bags", *bags, "--out", out, "--config", config]


@pytest.mark.parametrize("method", METHODS)
def test_single_recording_is_refused_by_name(
    method: str, walks: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = _refusal(capsys, *_train(method, walks[:1], tmp_path / "model", SMALL.get(method, {})))
    assert "walk_0" in line


@pytest.mark.parametrize("method", METHODS)
def test_unknown_setting_is_refused_by_file_and_name(
    method: str, walks: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = _refusal(capsys, *_train(method, walks, tmp_path / "model", {"windoww": 1}))
    assert "model.yaml" in line
    assert "windoww" in line


@pytest.mark.parametrize("method", METHODS)
def test_missing_modality_is_refused_by_recording_and_topic(
    method: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = {"mag": ("imu", "wifi"), "wifi": ("imu", "mag")}.get(NEEDS.get(method, ""), ("mag",))
    bags = write_modal_survey(tmp_path / "walks", streams=kept)
    line = _refusal(capsys, *_train(method, bags, tmp_path / "model", SMALL.get(method, {})))
    assert "walk_" in line
    assert any(word in line for word in ("/imu/mag", "/wifi/scan", "/imu/data", "magnetic samples", "magnetometer"))
