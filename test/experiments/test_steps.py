from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from surveys import START_NS

from mail_localization.errors import EvaluationError
from mail_localization.experiments.steps import _faster, best_trial, evaluate, latency, read_errors, train
from mail_localization.experiments.tasks import Context, Store, Task
from mail_localization.models.artifact import load_model
from mail_localization.types import ImuSample, MagneticSample

NEAREST = {"window": {"rate_hz": 10.0, "length": 20, "hop": 5}, "match": {"stride": 1}}


def trained(runs: Path, name: str, mean_m: float) -> str:
    one = Task(name, "m:f", {})
    result = {"settings": {"name": name}, "metrics": {"held_out": {"mean_m": mean_m}}}
    Store(runs).write(one, result, 1.0)
    return one.folder


def test_the_trial_with_the_least_validation_error_is_kept(tmp_path: Path) -> None:
    context = Context(tmp_path, tmp_path, tmp_path)
    failed = Task("failed", "m:f", {})
    Store(tmp_path).write_failure(failed, "too short")
    folders = [trained(tmp_path, "worse", 2.0), failed.folder, trained(tmp_path, "better", 1.0)]
    best = best_trial(context, folders)
    assert (best["trial"], best["folder"], best["settings"]) == (2, folders[2], {"name": "better"})
    with pytest.raises(EvaluationError, match="not trained: too short"):
        best_trial(context, [failed.folder])


@pytest.fixture(scope="module")
def nearest(root: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Context, str]:
    """A trained 1-NN: where it is, and the folder of its task."""
    runs = tmp_path_factory.mktemp("runs")
    one = Task("nearest", "m:f", {})
    context = Context(root, runs, runs / one.folder)
    settings: dict[str, Any] = {**NEAREST, "magnetic": {"transform": "raw"}}
    result = train(context, "magnetic_nn", settings, [], ["a/walk_0", "a/walk_1"], ["a/walk_2"], 0, 1.0)
    Store(runs).write(one, result, 1.0)
    return context, one.folder


def test_a_setting_is_laid_over_the_kept_trial(nearest: tuple[Context, str], tmp_path: Path) -> None:
    context, folder = nearest
    again = Context(context.root, context.runs, tmp_path)
    changes = {"match": {"stride": 2}}
    result = train(again, "magnetic_nn", changes, [folder], ["a/walk_0", "a/walk_1"], [], 0, 1.0)
    assert result["settings"] == {**NEAREST, "magnetic": {"transform": "raw"}, "match": {"stride": 2}}


def test_a_filter_draws_its_particles_by_the_seed(root: Path, tmp_path: Path) -> None:
    context = Context(root, tmp_path, tmp_path)
    settings = {"filter": {"start": 100, "particles": {"most": 100, "fewest": 50}}}
    result = train(context, "maloc", settings, [], ["a/walk_0", "a/walk_1"], ["a/walk_2"], 7, 1.0)
    card, _ = load_model(tmp_path / "model")
    assert card.settings["seed"] == 7 and result["settings"] == settings


def test_every_instant_is_kept(nearest: tuple[Context, str], tmp_path: Path) -> None:
    context, folder = nearest
    context = Context(context.root, context.runs, tmp_path)
    result = evaluate(context, [folder], ["a/walk_3", "a/walk_2", "single/walk"])
    assert set(result["per_recording"]) == {"a/walk_3", "a/walk_2", "single/walk"}
    assert result["smoothed"] is None and not result["told_start"]
    errors = read_errors(tmp_path)
    # 12 s have 13 instants and 5 s have 6.
    assert np.bincount(errors.recording).tolist() == [13, 13, 6]
    error = errors.error()
    assert np.nanmean(error) == pytest.approx(result["online"]["ape_m"]["mean"])
    assert np.isfinite(error).mean() == pytest.approx(result["online"]["availability"])


def test_a_recording_that_cannot_be_read_is_left_out_with_its_reason(
    nearest: tuple[Context, str], tmp_path: Path
) -> None:
    context, folder = nearest
    context = Context(context.root, context.runs, tmp_path)
    result = evaluate(context, [folder], ["a/none", "a/walk_3"])
    assert list(result["per_recording"]) == ["a/walk_3"] and "no such bag" in result["notes"][0]
    with pytest.raises(EvaluationError, match=r"no test recording could be judged: .*no such bag"):
        evaluate(context, [folder], ["a/none"])


def test_another_speed_is_judged_at_the_same_places(nearest: tuple[Context, str], tmp_path: Path) -> None:
    context, folder = nearest
    context = Context(context.root, context.runs, tmp_path)
    result = evaluate(context, [folder], ["a/walk_2"], speed=0.5)
    errors = read_errors(tmp_path)
    # Twice as long, and as far.
    assert len(errors.t_ns) == 25
    assert errors.reference[-1] == pytest.approx([1.1 * 12, 0])
    assert result["online"]["ape_m"]["median"] > 0


def test_faster_brings_stamps_closer_and_turns_quicker() -> None:
    at = START_NS + 3_000_000_000
    samples = [ImuSample(at, (0.0, 0.0, 9.8), (0.0, 0.1, 0.2)), MagneticSample(at, (1e-5, 0.0, 0.0))]
    imu, mag = _faster(iter(samples), START_NS, 1.5)
    assert isinstance(imu, ImuSample) and imu.angular_velocity == pytest.approx((0.0, 0.15, 0.3))
    assert imu.t_ns == mag.t_ns == START_NS + 2_000_000_000
    assert list(_faster(iter(samples), START_NS, 1.0)) == samples


def test_latency_is_that_of_the_samples_that_give_estimates(nearest: tuple[Context, str]) -> None:
    context, folder = nearest
    found = latency(context, [folder], ["a/walk_3"])
    assert found["latency_ms"]["p99"] >= found["latency_ms"]["p50"] > 0
    assert found["estimates"] == 21, "each 0.5 s from the first whole window of 2 s to the end at 12 s"
    assert 0 < found["cpu_share"] < 1
