from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from walks import write_walks

from mail_localization.data.reference import Reference
from mail_localization.errors import EvaluationError
from mail_localization.experiments.steps import pretrain, train
from mail_localization.experiments.tasks import Context, Store, Task
from mail_localization.experiments.transfer import adapt, as_many_batches, drawn_stretches
from mail_localization.models.artifact import load_model
from mail_localization.training.modal_examples import ModalTrainingSettings

SECOND = 1_000_000_000


def seconds(stretches: dict[Path, list[tuple[int, int]]]) -> float:
    return sum(end - start for parts in stretches.values() for start, end in parts) / SECOND


@pytest.fixture
def walks() -> dict[Path, Reference]:
    """Four walks of 60 s each, that is 16 stretches, in the order walked."""
    stamps = np.arange(0, 61, 10, dtype=np.int64) * SECOND
    return {Path(f"walk_{number}"): Reference(stamps, np.zeros((7, 2))) for number in range(4)}


def gaps(stretches: dict[Path, list[tuple[int, int]]]) -> list[float]:
    """Return the unlabelled times between stretches, the walks taken for one after the other, round and round, s."""
    numbered = [(int(path.name[-1]), part) for path, parts in stretches.items() for part in parts]
    flat = sorted((60 * n + start / SECOND, 60 * n + end / SECOND) for n, (start, end) in numbered)
    return [start - end for (_, end), (start, _) in zip(flat, [*flat[1:], (flat[0][0] + 240, flat[0][1])], strict=True)]


def test_a_share_of_the_time_walked_is_drawn(walks: dict[Path, Reference]) -> None:
    assert seconds(drawn_stretches(walks, 1.0, seed=0)) == pytest.approx(240)
    assert seconds(drawn_stretches(walks, 0.5, seed=0)) == pytest.approx(120)
    assert seconds(drawn_stretches(walks, 0.01, seed=0)) == pytest.approx(15), "one stretch at least"
    assert drawn_stretches(walks, 0.25, seed=0) == drawn_stretches(walks, 0.25, seed=0)
    assert len({repr(drawn_stretches(walks, 0.25, seed)) for seed in range(5)}) > 1


@pytest.mark.parametrize("seed", range(5))
def test_a_share_is_spread_evenly(walks: dict[Path, Reference], seed: int) -> None:
    # Five of 16 stretches: 33 s between them in the mean; five drawn blindly leave 90 s and more somewhere.
    assert max(gaps(drawn_stretches(walks, 0.3, seed))) <= 60
    assert max(gaps(drawn_stretches(walks, 0.5, seed))) <= 30


def test_neighbours_are_joined(walks: dict[Path, Reference]) -> None:
    whole = drawn_stretches(walks, 1.0, seed=0)
    assert [len(parts) for parts in whole.values()] == [1, 1, 1, 1]


@pytest.mark.parametrize("seed", range(3))
def test_a_smaller_share_is_part_of_a_larger(walks: dict[Path, Reference], seed: int) -> None:
    small, large = (drawn_stretches(walks, share, seed) for share in (0.2, 0.6))
    for path, parts in small.items():
        for start, end in parts:
            assert any(first <= start and end <= last for first, last in large[path])


@pytest.mark.parametrize("examples", [7, 64, 130, 652, 1304])
def test_a_part_is_trained_on_in_as_many_batches(examples: int) -> None:
    settings = ModalTrainingSettings(batch=64, epochs=70)
    part = as_many_batches(settings, 1304, examples)
    assert part.epochs * math.ceil(examples / 64) == pytest.approx(70 * math.ceil(1304 / 64), rel=0.01)
    assert part.patience / part.epochs == pytest.approx(settings.patience / settings.epochs, rel=0.1)


def test_lstm1_is_pretrained_and_adapted(tmp_path: Path) -> None:
    root = tmp_path / "recordings"
    write_walks(root / "a")
    store = Store(tmp_path)
    tiny: dict[str, Any] = {"length": 10, "frame": "sensor"}
    lstm1 = {"lstm1": {"inertial": tiny, "rate_hz": 10.0, "hidden": 4}, "training": {"epochs": 1}}
    fused = {
        "modalities": ["imu", "mag"], "window": {"rate_hz": 10.0, "length": 20, "hop": 5}, "inertial": tiny,
        "network": {"magnetic_hidden": 4, "fusion_hidden": 4}, "training": {"epochs": 1, "batch": 50},
        "follow": {"use": "off"},
    }  # fmt: skip
    walks = ["a/walk_0", "a/walk_1", "a/walk_2"]

    def done(name: str, step: Callable[..., dict[str, Any]], **arguments: Any) -> str:
        task = Task(name, "m:f", {})
        result = step(Context(root, tmp_path, store.begin(task)), **arguments)
        store.write(task, result, 1.0)
        return task.folder

    made = done("lstm1", pretrain, settings=lstm1, recordings=walks, seed=0, max_minutes=1.0)
    common: dict[str, Any] = {"training": walks[:2], "validation": walks[2:], "seed": 0, "max_minutes": 1.0}
    trial = done("trial", train, method="mmloc_plus", settings=fused, like=[], lstm1=made, **common)
    learnt: dict[bool, list[Any]] = {True: [], False: []}
    for filled, (lstm1_folder, adapted) in itertools.product(learnt, ((made, "freeze"), ("", "scratch"))):
        common["settings"] = {"training": {"fill_in": {"use": filled}}}
        folder = done(f"adapted {adapted} {filled}", adapt, like=[trial], lstm1=lstm1_folder, share=0.5, **common)
        card, _ = load_model(tmp_path / folder / "model")
        assert (card.method, card.settings["network"]["adapt"]) == ("mmloc_plus", adapted)
        assert card.settings["network"]["inertial_hidden"] == (4 if lstm1_folder else 128)
        learnt[filled].append(card.training_recordings)
    assert learnt[False][0] == learnt[False][1] and learnt[True][0] == learnt[True][1], "both ways get the same labels"
    assert learnt[False][0] != learnt[True][0]
    del common["settings"]
    with pytest.raises(EvaluationError, match="not pretrained: not tried"):
        done("late", train, method="mmloc_plus", settings=fused, like=[], lstm1="none", **common)
