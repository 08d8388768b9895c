from __future__ import annotations

from pathlib import Path

import pytest

from mail_localization.experiments.transfer import drawn_stretches

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
