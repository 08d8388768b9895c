from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from faults.bags import BagFiles, BagMessages, read_all, serialized, write_raw
from faults.fuzzing import UndocumentedError, fuzz
from faults.models import ModelFolders
from mail_localization.errors import RecordingError


def test_damaged_bags_are_refused_or_read(tmp_path: Path) -> None:
    outcome = fuzz(BagFiles(tmp_path), 60)
    assert 0 < outcome.refusals < outcome.inputs == 60
    assert outcome.growth_mb < 100


def test_damaged_messages_are_refused_or_read(tmp_path: Path) -> None:
    assert fuzz(BagMessages(tmp_path), 400).inputs == 400


def test_damaged_models_are_refused_or_loaded(tmp_path: Path) -> None:
    outcome = fuzz(ModelFolders(tmp_path, ("magnetic_nn", "wifi_knn")), 200)
    assert 0 < outcome.refusals < outcome.inputs
    assert outcome.growth_mb < 100


@pytest.mark.parametrize("storage", ["mcap", "mcap_chunks", "mcap_file", "sqlite3", "sqlite3_message"])
def test_what_is_damaged_can_be_read_before(tmp_path: Path, storage: str) -> None:
    write_raw(tmp_path / "bag", serialized(), storage)
    read_all(tmp_path / "bag")


def test_undocumented_error_names_the_case() -> None:
    class Broken:
        name = "broken"
        documented = RecordingError

        def cases(self, rng: random.Random) -> Iterator[None]:
            yield
            if rng.random() < 0.1:
                raise KeyError("field")
            raise RecordingError("refused")

    with pytest.raises(UndocumentedError, match=r"broken, seed 3, case \d+: KeyError: 'field'"):
        fuzz(Broken(), 1000, seed=3)
