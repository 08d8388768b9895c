"""Exported networks against torch: the same numbers, of less work, and never kept where they differ."""

from __future__ import annotations

import dataclasses
import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from compiled import needs_kernel
from modal_surveys import write_modal_survey

from mail_localization.data.recording import Topics
from mail_localization.errors import MissingDependencyError, ModelError, TrainingError
from mail_localization.localizer import load_localizer, localizer_of
from mail_localization.models import backend
from mail_localization.models.artifact import CARD_FILE, ModelCard, Tensors, load_model, save_model
from mail_localization.models.backend import NETWORK_FILE
from mail_localization.models.exported import kernel
from mail_localization.models.exported import mail as exported_mail
from mail_localization.models.exported.planning import Planner, Run
from mail_localization.models.jang import Jang, JangSettings
from mail_localization.models.mail import Mail
from mail_localization.models.mail_settings import MailSettings
from mail_localization.training.export import export, network_of
from mail_localization.types import MagneticSample, PoseEstimate

LENGTH = 100
GRAPHS = {"mail": exported_mail.graph}


def made(method: str = "mail", transform: str = "raw", hop: int = 10, **network: Any) -> tuple[ModelCard, Tensors]:
    """Return a model of random weights; positions spread over 10 m."""
    torch.manual_seed(0)
    model: Mail | Jang
    if method == "mail":
        settings: Any = MailSettings(**({"scales": (10, 20, 30, 50), "hidden": 6} | network))
        model = Mail(settings, LENGTH)
    else:
        settings = JangSettings(**({"hidden": 6} | network))
        model = Jang(settings)
    model.set_inputs(np.full(3, 20.0), np.full(3, 15.0))
    model.set_positions(np.random.default_rng(0).normal(scale=10.0, size=(50, 2)))
    content = {
        "window": {"rate_hz": 50.0, "length": LENGTH, "hop": hop},
        "magnetic": {"transform": transform},
        "network": settings.to_mapping(),
    }
    tensors = {name: value.numpy() for name, value in model.state_dict().items()}
    return ModelCard(method, content, [[4.0, 0.0], [0.0, 4.0]]), tensors


def exported(card: ModelCard, tensors: Tensors) -> Tensors:
    """Return the tensors with the network exported."""
    from mail_localization.models.exported import jang

    graph = {"mail": exported_mail.graph, "jang": jang.graph}[card.method]
    return tensors | {NETWORK_FILE: np.frombuffer(graph(card, tensors), dtype=np.uint8)}


def stream(seed: int, count: int = 3000) -> list[MagneticSample]:
    """Return a random walk of the field at some 50 Hz, with gaps, and a clock that is set back."""
    rng = np.random.default_rng(seed)
    steps = rng.integers(15_000_000, 25_000_000, count)
    steps[rng.integers(0, count, 4)] = 3_000_000_000  # longer than is bridged
    steps[rng.integers(0, count, 2)] = -1_200_000_000  # into what was heard already, with another field
    stamps = 10**18 + np.cumsum(steps)
    field = np.cumsum(rng.normal(scale=1e-6, size=(count, 3)), axis=0) + 3e-5
    return [
        MagneticSample(int(t_ns), (float(x), float(y), float(z))) for t_ns, (x, y, z) in zip(stamps, field, strict=True)
    ]


def positions(estimates: list[PoseEstimate]) -> np.ndarray:
    return np.array([estimate.position for estimate in estimates])


@pytest.mark.parametrize("hop", [1, 7, 10, 25])
@pytest.mark.parametrize("transform", ["raw", "gradient", "mean_removed"])
@pytest.mark.parametrize(("stride", "compiled"), [(1, True), (5, True), (1, False)])
def test_streamed_mail_equals_whole_windows(hop: int, transform: str, stride: int, compiled: bool) -> None:
    card, tensors = made(transform=transform, hop=hop, stride=stride, attention=hop != 7)
    with nullcontext() if compiled else kernel.left_out():
        streamed = localizer_of(card, exported(card, tensors), backend="onnxruntime")
    whole = localizer_of(card, tensors, backend="torch")
    count = 0
    for number, sample in enumerate(stream(seed=hop, count=3000 if hop > 1 else 600)):
        if number in (150, 450):
            streamed.reset()
            whole.reset()
        found, expected = streamed.add(sample), whole.add(sample)
        assert (found is None) == (expected is None)
        if found is not None and expected is not None:
            count += 1
            np.testing.assert_allclose(found.position, expected.position, rtol=1e-5, atol=1e-5)
    assert count > 30


def test_batches_equal_single_windows() -> None:
    card, tensors = made()
    tensors = exported(card, tensors)
    samples = stream(seed=3)
    lone = localizer_of(card, tensors)
    alone = [estimate for sample in samples if (estimate := lone.add(sample)) is not None]
    batched = list(localizer_of(card, tensors).localize(samples))
    np.testing.assert_allclose(positions(batched), positions(alone), rtol=1e-5, atol=1e-5)


def _computed(localizer: Any, samples: list[MagneticSample]) -> list[tuple[int, int]]:
    """Return for every estimate how many steps of a GRU were computed, and how many of them one after the other."""
    network, counts = localizer.predictor.network, []
    run = network._run

    def counted(steps: Any, part: Run) -> Any:
        counts.append((int(part.lengths.sum()), int(part.shapes[:, 0].sum())))
        return run(steps, part)

    network._run = counted
    for sample in samples:
        localizer.add(sample)
    return counts


def _steady(count: int) -> list[MagneticSample]:
    return [MagneticSample(10**18 + k * 20_000_000, (1e-5, 2e-5, 3e-5 + k * 1e-9)) for k in range(count)]


WHOLE = 10 * 10 + 5 * 20 + 4 * 30 + 2 * 50
"""Steps in the sub-sequences of a window."""


@pytest.mark.parametrize("hop", [5, 10, 20])
def test_only_new_steps_are_computed(hop: int) -> None:
    card, tensors = made(hop=hop)
    counts = _computed(localizer_of(card, exported(card, tensors)), _steady(500))
    assert counts[0] == (WHOLE, 10 + 20 + 30 + 50)
    settled = counts[100 // hop + 1 :]
    assert len(settled) >= 10
    # A sub-sequence that ends with a window had all but the hop's steps before.
    most = 10 + 20 + 30 + 50 + (0 if hop <= 10 else 90)  # a hop off the grid of 10 leaves some to be computed whole
    assert all(total <= most for total, _ in settled), settled
    assert hop > 10 or all(deep <= 4 * hop for _, deep in settled)


def test_mean_removal_leaves_nothing_to_share() -> None:
    card, tensors = made(transform="mean_removed")
    counts = _computed(localizer_of(card, exported(card, tensors)), _steady(200))
    assert len(counts) > 5
    assert all(total == WHOLE for total, _ in counts)


def test_what_is_kept_does_not_grow() -> None:
    card, tensors = made(hop=5)
    localizer: Any = localizer_of(card, exported(card, tensors))
    for sample in stream(seed=1, count=6000):
        localizer.add(sample)
    assert len(localizer.predictor.network._kept) <= 4 * LENGTH // 5 + 1


@pytest.mark.parametrize("hop", [1, 5, 7, 10, 25])
def test_regular_windows_soon_need_no_new_plan(hop: int, monkeypatch: pytest.MonkeyPatch) -> None:
    card, tensors = made(hop=hop)
    network = network_of(card, exported(card, tensors), "onnxruntime")
    features = np.zeros((1, LENGTH, 3), np.float32)
    ends = 1000 + hop * np.arange(2 * LENGTH)
    for end in ends[:LENGTH]:
        network(features, np.array([end]))
    monkeypatch.setattr(Planner, "_made", None)
    for end in ends[LENGTH:]:
        network(features, np.array([end]))


def test_plans_for_irregular_windows_are_forgotten() -> None:
    card, tensors = made(hop=5)
    network = network_of(card, exported(card, tensors), "onnxruntime")
    rng = np.random.default_rng(0)
    ends = 1000
    for _ in range(1500):
        ends += int(rng.choice([1, 2, 3, 5, 30, 99, 100, 101, 5000, int(rng.integers(1, 10**6))]))
        network(rng.normal(size=(1, LENGTH, 3)).astype(np.float32), np.array([ends]))
    assert len(network._planner._plans) <= 64


@pytest.mark.parametrize("hop", [1, 5])
def test_windows_left_out_cost_their_own_steps_only(hop: int) -> None:
    """As where a slow moment makes several windows due at once, of which the newest alone is computed."""
    card, tensors = made(hop=hop)
    tensors = exported(card, tensors)
    network, whole = network_of(card, tensors, "onnxruntime"), network_of(card, tensors, "torch")
    rng, run, steps = np.random.default_rng(0), network._run, []

    def counted(windows: Any, part: Run) -> Any:
        steps.append(len(part.rows))
        return run(windows, part)

    network._run = counted
    rows = rng.normal(size=(LENGTH + 600 * hop, 3)).astype(np.float32)
    end, most = LENGTH, []
    while end <= len(rows):
        window, before = rows[None, end - LENGTH : end], len(steps)
        np.testing.assert_allclose(
            network(window, np.array([end])), whole(window, np.array([end])), rtol=1e-5, atol=1e-5
        )
        most.append(sum(steps[before:]))
        end += hop * int(rng.integers(1, 4))
    carried = 10 + 20 + 30 + 50
    # Up to 500 steps of padding are cheaper than one more run.
    assert max(most) <= WHOLE + 3 * carried + 500
    # Three windows' steps at most, padded to the longest.
    assert max(most[LENGTH // hop :]) <= 3 * (carried + 4 * 3 * hop)


@pytest.mark.parametrize("cell", ["tanh", "relu"])
def test_exported_jang_equals_torch(cell: str) -> None:
    card, tensors = made("jang", cell=cell, stride=2)
    samples = stream(seed=5)
    found = list(localizer_of(card, exported(card, tensors), backend="onnxruntime").localize(samples))
    expected = list(localizer_of(card, tensors, backend="torch").localize(samples))
    np.testing.assert_allclose(positions(found), positions(expected), rtol=1e-5, atol=1e-5)


@pytest.fixture(scope="module")
def bags(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_modal_survey(tmp_path_factory.mktemp("walks"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_model(tmp_path / "model", *made(hop=5))
    return tmp_path / "model"


def test_export_is_written_with_what_it_was_compared_on(folder: Path, bags: list[Path]) -> None:
    before = load_model(folder)[0]
    told = export(folder, bags, Topics()).export
    card, tensors = load_model(folder)
    assert card.export == told
    assert dataclasses.replace(card, export={}) == before
    assert told["windows"] == 28 and told["batches"] == [1, 7]
    assert 0 < told["largest_difference"] < 1e-3
    assert (folder / NETWORK_FILE).read_bytes() == tensors[NETWORK_FILE].tobytes()
    assert type(network_of(card, tensors, "auto")).__name__ == "StreamedMail"


def test_graph_of_other_numbers_is_refused_and_nothing_written(
    folder: Path, bags: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(card: ModelCard, tensors: Tensors) -> bytes:
        return GRAPHS["mail"](card, tensors | {"grus.2.candidate": tensors["grus.2.candidate"] * np.float32(1.001)})

    monkeypatch.setattr(exported_mail, "graph", wrong)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(ModelError, match=r"model: not exported: at batch \d ONNX Runtime differs from torch"):
        export(folder, bags, Topics())
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@needs_kernel
def test_kernel_of_other_numbers_is_refused(folder: Path, bags: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(weights: list[tuple[Any, Any]]) -> kernel.Cells:
        return kernel.Cells([(gates, candidate * np.float32(1.001)) for gates, candidate in weights])

    monkeypatch.setattr(kernel, "cells", wrong)
    with pytest.raises(ModelError, match=r"the compiled kernel differs from torch .* install without a C compiler"):
        export(folder, bags, Topics())


@needs_kernel
def test_recurrence_of_other_sizes_is_a_model_error() -> None:
    card, tensors = made()
    tensors = exported(card, tensors)
    with pytest.raises(ModelError, match="GRUs of other than 6 units; train"):
        localizer_of(card, tensors | {"grus.1.gates": tensors["grus.1.gates"][:-1]})


def test_recordings_without_a_window_are_refused(folder: Path, tmp_path: Path) -> None:
    short = write_modal_survey(tmp_path / "short", streams=("wifi", "imu"))
    with pytest.raises(TrainingError, match="no window to compare"):
        export(folder, short[:1], Topics())


def test_damaged_or_foreign_network_is_a_model_error(folder: Path, bags: list[Path]) -> None:
    export(folder, bags, Topics())
    card, tensors = load_model(folder)
    (folder / NETWORK_FILE).write_bytes(b"torn")
    with pytest.raises(ModelError, match=rf"{NETWORK_FILE}: damaged"):
        load_localizer(folder)
    torn = tensors | {NETWORK_FILE: tensors[NETWORK_FILE][:300]}
    with pytest.raises(ModelError, match="ONNX Runtime refuses it"):
        localizer_of(card, torn)
    other_card, other = made(scales=(10, 50))
    with pytest.raises(ModelError, match="of another network"):
        localizer_of(card, tensors | {NETWORK_FILE: exported(other_card, other)[NETWORK_FILE]})
    save_model(folder, card, tensors | {NETWORK_FILE: exported(other_card, other)[NETWORK_FILE]})
    with pytest.raises(ModelError, match=f"{folder}: {NETWORK_FILE}: of another .*run `mail_localization export`"):
        load_localizer(folder)


@pytest.mark.parametrize("name", ["../network.onnx", "/tmp/network.onnx", "network.exe"])
def test_card_cannot_name_files_elsewhere(folder: Path, name: str) -> None:
    content = json.loads((folder / CARD_FILE).read_text())
    content["hashes"][name] = "sha256:0"
    (folder / CARD_FILE).write_text(json.dumps(content))
    with pytest.raises(ModelError, match="damaged"):
        load_model(folder)


def test_new_weights_remove_the_old_network(folder: Path, bags: list[Path]) -> None:
    export(folder, bags, Topics())
    save_model(folder, *made(hidden=4))
    assert not (folder / NETWORK_FILE).exists()
    assert type(network_of(*load_model(folder), "auto")).__name__ == "TorchSequences"


def test_backends_that_are_missing_say_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    card, tensors = made()
    with pytest.raises(ModelError, match="`mail_localization export MODEL --bags DIR`"):
        localizer_of(card, tensors, backend="onnxruntime")
    there = exported(card, tensors)
    monkeypatch.setattr(backend, "_installed", lambda library: library == "torch")
    assert type(network_of(card, there, "auto")).__name__ == "TorchSequences"
    with pytest.raises(MissingDependencyError, match=r"pip install 'mail_localization\[runtime\]'"):
        localizer_of(card, there, backend="onnxruntime")
    monkeypatch.setattr(backend, "_installed", lambda library: False)
    with pytest.raises(MissingDependencyError, match=r"needs onnxruntime"):
        localizer_of(card, there)
    with pytest.raises(MissingDependencyError, match=r"needs torch: pip install 'mail_localization\[models\]'"):
        localizer_of(card, tensors)


def test_targets_in_one_process_share_the_network_and_nothing_of_their_windows() -> None:
    card, tensors = made()
    tensors = exported(card, tensors)
    alone = [positions(list(localizer_of(card, tensors).localize(stream(seed)))) for seed in (1, 2)]
    pair = [localizer_of(card, dict(tensors)) for _ in alone]
    one, other = (localizer.predictor.network for localizer in pair)  # type: ignore[attr-defined]
    assert one._session._session is other._session._session
    assert one._planner is other._planner
    assert one._cells is other._cells
    together: list[list[PoseEstimate]] = [[], []]
    for samples in zip(stream(1), stream(2), strict=True):
        for localizer, sample, estimates in zip(pair, samples, together, strict=True):
            if (estimate := localizer.add(sample)) is not None:
                estimates.append(estimate)
    for expected, estimates in zip(alone, together, strict=True):
        assert len(estimates) == len(expected) > 100
        np.testing.assert_allclose(positions(estimates), expected, atol=1e-5)
