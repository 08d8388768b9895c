from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mail_localization.errors import ConfigError
from mail_localization.experiments.config import CompareConfig, merged

Content = dict[str, Any]
Write = Callable[[Content], Path]


def test_a_file_is_read_whole(tiny: Content, written: Write) -> None:
    config = CompareConfig.from_yaml(written(tiny))
    assert config.seeds == (0, 1)
    assert config.seeds_of(1) == (0,) and config.seeds_of(0) == (0, 1)
    assert config.sites["corridor"].test == ("walk_3",)
    assert len(config.methods["mail"].trials) == 2
    assert list(config.sweeps["length"].variants) == [1, 2]


@pytest.mark.parametrize(
    ("place", "key", "value", "message"),
    [
        ((), "sede", 1, "compare.yaml: unknown setting 'sede'; did you mean 'seeds'"),
        (("sites", "corridor"), "tset", ["x"], "compare.yaml: sites: corridor: unknown setting 'tset'; did you"),
        (("methods", "mail"), "trails", [], "methods: mail: unknown setting 'trails'; did you mean 'trials'"),
        (("experiments",), "sweep", {}, "experiments: unknown setting 'sweep'; did you mean 'sweeps'"),
        (("experiments", "sweeps", "length"), "variant", {}, "sweeps: length: unknown setting 'variant'; did you"),
        (("experiments", "speeds"), "sites", ["coridor"], "speeds: sites: unknown site 'coridor'; did you mean 'corr"),
        (("experiments", "latency"), "methods", ["male"], "latency: methods: unknown method 'male'; did you mean"),
        (("sites", "corridor"), "overrides", {"network": {}}, "overrides: unknown method or group 'network'; did you"),
        (("methods", "flat"), "like", "fat", "methods: flat: like: unknown method 'fat'; did you mean 'flat'"),
        (("methods", "flat"), "trials", [{}], "methods: flat: like and trials"),
        (("methods", "mail"), "trials", [3], "methods: mail: trials: 3 is no mapping"),
        (("methods", "mail"), "needs", ["wifl"], "methods: mail: needs: unknown stream 'wifl'; did you mean 'wifi'"),
        (("sites", "corridor"), "every", 4, "sites: corridor: the test is chosen by one of .* found test and every"),
        (("sites", "corridor"), "test", [], "found none of them"),
        (("experiments", "speeds"), "factors", {"slow": -1}, "factors: slow: -1 is no positive number"),
        ((), "seeds", [1, 1], "seeds: .* has one twice"),
        ((), "methods", {}, "methods: none; at least one"),
        ((), "sites", {"a/b": {}}, "'a/b': a name becomes that of a folder"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_its_place(
    tiny: Content, written: Write, place: tuple[str, ...], key: str, value: object, message: str
) -> None:
    part = tiny
    for name in place:
        part = part[name]
    part[key] = value
    with pytest.raises(ConfigError, match=message):
        CompareConfig.from_yaml(written(tiny))


def test_layers_are_merged_deep_and_the_last_wins() -> None:
    below = {"a": {"x": 1, "y": 2}, "b": [1, 2]}
    assert merged(below, {"a": {"y": 3}}, {"b": [4]}) == {"a": {"x": 1, "y": 3}, "b": [4]}
    assert below == {"a": {"x": 1, "y": 2}, "b": [1, 2]}
