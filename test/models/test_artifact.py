from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from mail_localization.errors import ModelError
from mail_localization.localizer import load_localizer
from mail_localization.models.artifact import ModelCard, load_model, save_model

CARD = ModelCard(method="mail", settings={"window": {"length": 500}}, covariance=[[1.0, 0.0], [0.0, 2.0]])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "model"
    save_model(path, CARD, {"a": np.arange(6.0, dtype=np.float32).reshape(2, 3), "b": np.array([3])})
    return path


def edit(folder: Path, **changes: object) -> None:
    card = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps(card | changes))


def test_model_round_trip(folder: Path) -> None:
    card, tensors = load_model(folder)
    assert card == CARD
    np.testing.assert_array_equal(tensors["a"], [[0, 1, 2], [3, 4, 5]])
    assert sorted(path.name for path in folder.iterdir()) == ["model.json", "weights.safetensors"]


def test_saving_again_replaces_the_model(folder: Path) -> None:
    save_model(folder, CARD, {"a": np.zeros(1)})
    assert list(load_model(folder)[1]) == ["a"]


def test_missing_folder_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"nowhere: no such model folder; make one with .*train"):
        load_model(tmp_path / "nowhere")


def test_folder_that_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"not a model folder \(no model.json\)"):
        load_model(tmp_path)


@pytest.mark.parametrize(
    "content", ["", "{", "[" * 200_000, "[]", "{}", '{"schema_version": "x"}', '{"schema_version": 1}', "\x00"]
)
def test_damaged_card_is_refused(folder: Path, content: str) -> None:
    (folder / "model.json").write_text(content)
    with pytest.raises(ModelError, match=r"model.json: (damaged|schema version)"):
        load_model(folder)


def test_newer_schema_is_refused_with_the_remedy(folder: Path) -> None:
    edit(folder, schema_version=2)
    with pytest.raises(ModelError, match=r"schema version 2, this package reads up to 1; upgrade"):
        load_model(folder)


@pytest.mark.parametrize("covariance", [[[0, 0], [0, 0]], [[1.0]], "x", [[1, 2], [2, 1]], [[10**400, 0], [0, 1]]])
def test_covariance_that_is_none_is_refused(folder: Path, covariance: object) -> None:
    edit(folder, covariance=covariance)
    with pytest.raises(ModelError, match=r"model.json: damaged"):
        load_model(folder)


@pytest.mark.parametrize(
    "changes", [{"method": 7}, {"method": []}, {"settings": "fast"}, {"frame": None}, {"profile": "x"}]
)
def test_card_of_wrong_types_is_refused(folder: Path, changes: dict[str, object]) -> None:
    edit(folder, **changes)
    with pytest.raises(ModelError, match=r"model.json: damaged: \w+ is .*, expected (str|dict)"):
        load_model(folder)


def test_truncated_or_swapped_weights_are_refused(folder: Path) -> None:
    weights = folder / "weights.safetensors"
    blob = weights.read_bytes()
    weights.write_bytes(blob[:-4])
    with pytest.raises(ModelError, match=r"weights.safetensors: damaged"):
        load_model(folder)
    weights.unlink()
    with pytest.raises(ModelError, match=r"weights.safetensors: cannot be read: No such file"):
        load_model(folder)


def test_unknown_method_names_the_nearest(folder: Path) -> None:
    edit(folder, method="magnetic_n")
    with pytest.raises(ModelError, match=r"unknown method 'magnetic_n'; did you mean 'magnetic_nn'\?"):
        load_localizer(folder)


def test_weights_of_another_method_are_refused(folder: Path) -> None:
    edit(folder, method="magnetic_nn", settings={})
    with pytest.raises(ModelError, match=r"weights do not fit method 'magnetic_nn'"):
        load_localizer(folder)
