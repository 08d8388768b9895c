from __future__ import annotations

import numpy as np
import pytest

from mail_localization.errors import ModelError
from mail_localization.models.artifact import ModelCard
from mail_localization.models.embedded import embed, embedded

CARD = ModelCard("magnetic_nn", {"match": {"stride": 3}}, [[1.0, 0.0], [0.0, 2.0]], access_points=["aa"])


def test_a_model_comes_out_as_it_went_in() -> None:
    tensors = {"sequences": np.ones((2, 3), np.float32), "own/name": np.arange(3)}
    outer = {"drift": np.array([0.1]), **embed(CARD, tensors, "starter")}
    found = embedded(outer, "starter")
    assert found is not None
    assert found[0] == CARD
    assert {name: tensor.tolist() for name, tensor in found[1].items()} == {k: v.tolist() for k, v in tensors.items()}


def test_nothing_is_there_where_nothing_was_put() -> None:
    assert embedded({"drift": np.array([0.1])}, "starter") is None


@pytest.mark.parametrize("text", [b"{", b"[]", b'{"colour": 1}'])
def test_a_damaged_card_is_an_error(text: bytes) -> None:
    with pytest.raises(ModelError, match="'starter' is damaged"):
        embedded({"starter/card": np.frombuffer(text, np.uint8)}, "starter")
