from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mail_localization.errors import EvaluationError
from mail_localization.experiments.steps import pretrain, train
from mail_localization.experiments.tasks import Context, Store, Task
from mail_localization.experiments.transfer import adapt, drawn_stretches
from mail_localization.models.artifact import load_model

SECOND = 1_000_000_000


def seconds(stretches: dict[Path, list[tuple[int, int]]]) -> float:
    return sum(end - start for parts in stretches.values() for start, end in parts) / SECOND


@pytest.fixture
def walks(root: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Four walks of 12 s, to be cut into pieces of 3 s."""
    monkeypatch.setattr("mail_localization.experiments.transfer.PIECE", 3.0)
    return [root / "a" / f"walk_{number}" for number in range(4)]


def test_a_share_of_the_time_walked_is_drawn(walks: list[Path]) -> None:
    assert seconds(drawn_stretches(walks, 1.0, seed=0)) == pytest.approx(48)
    assert seconds(drawn_stretches(walks, 0.5, seed=0)) == pytest.approx(24, abs=3)
    assert seconds(drawn_stretches(walks, 0.01, seed=0)) == pytest.approx(3), "one piece at least"
    assert drawn_stretches(walks, 0.25, seed=0) != drawn_stretches(walks, 0.25, seed=1)
    assert drawn_stretches(walks, 0.25, seed=0) == drawn_stretches(walks, 0.25, seed=0)


def test_neighbours_are_joined(walks: list[Path]) -> None:
    whole = drawn_stretches(walks, 1.0, seed=0)
    assert [len(parts) for parts in whole.values()] == [1, 1, 1, 1]


def test_a_smaller_share_is_part_of_a_larger(walks: list[Path]) -> None:
    small, large = (drawn_stretches(walks, share, seed=3) for share in (0.2, 0.6))
    for path, parts in small.items():
        for start, end in parts:
            assert any(first <= start and end <= last for first, last in large[path])


def test_lstm1_is_pretrained_and_adapted(root: Path, tmp_path: Path) -> None:
    store = Store(tmp_path)
    tiny: dict[str, Any] = {"length": 10, "frame": "sensor"}
    lstm1 = {"lstm1": {"inertial": tiny, "rate_hz": 10.0, "hidden": 4}, "training": {"epochs": 1}}
    fused = {
        "modalities": ["imu", "mag"], "window": {"rate_hz": 10.0, "length": 20, "hop": 5}, "inertial": tiny,
        "network": {"magnetic_hidden": 4, "fusion_hidden": 4}, "training": {"epochs": 1, "batch": 50},
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
    for lstm1_folder, adapted in ((made, "freeze"), ("", "scratch")):
        folder = done(f"adapted {adapted}", adapt, like=[trial], lstm1=lstm1_folder, share=0.5, **common)
        card, _ = load_model(tmp_path / folder / "model")
        assert (card.method, card.settings["network"]["adapt"]) == ("mmloc_plus", adapted)
        assert card.settings["network"]["inertial_hidden"] == (4 if lstm1_folder else 128)
    with pytest.raises(EvaluationError, match="not pretrained: not tried"):
        done("late", train, method="mmloc_plus", settings=fused, like=[], lstm1="none", **common)
