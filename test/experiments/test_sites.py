from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mail_localization.errors import ConfigError
from mail_localization.experiments.config import CompareConfig
from mail_localization.experiments.sites import Site, load_sites

Write = Callable[[dict[str, Any]], Path]
Load = Callable[..., Site]


@pytest.fixture
def load(tiny: dict[str, Any], written: Write, root: Path) -> Load:
    """Load the site with some of its settings changed."""

    def call(folder: Path = root, **changes: object) -> Site:
        tiny["sites"]["corridor"] = {"recordings": ["a"], **changes}
        return load_sites(CompareConfig.from_yaml(written(tiny)), folder, progress=False)["corridor"]

    return call


def split(site: Site) -> tuple[str, str, str]:
    """Return the numbers of the walks for training, validation and test."""
    parts = (site.training, site.validation, site.test)
    return tuple("".join(source.name[-1] for source in part) for part in parts)  # type: ignore[return-value]


def test_recordings_are_split_by_name_by_turn_and_by_device(load: Load) -> None:
    assert split(load(test=["walk_3"], validation=["a/*_2"])) == ("01", "2", "3")
    assert split(load(test=["walk_3"])) == ("012", "", "3")
    assert split(load(test=["walk_[23]"], validation_every=2)) == ("0", "1", "23")
    assert split(load(every=3)) == ("03", "1", "2")
    assert split(load(every=2)) == ("02", "", "13")
    assert split(load(test_device="phone 1", validation=["walk_2"])) == ("0", "2", "13")
    assert split(load(test=["walk_0"], train_device="phone 1")) == ("13", "", "0")
    assert split(load(recordings=["a/walk_[013]"], every=3)) == ("0", "1", "3")
    assert split(load(floor="1", test=["walk_3"])) == ("2", "", "3")


def test_a_site_has_the_streams_that_its_recordings_have(load: Load) -> None:
    assert load(every=3).streams == {"mag", "imu"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"recordings": ["none"], "every": 2}, "sites: corridor: recordings: 'none' matches nothing under --bags"),
        ({"recordings": ["single"], "every": 2}, "recordings: only single/walk: one recording cannot be split"),
        ({"test": ["walk_9"]}, "sites: corridor: test: 'walk_9' matches none of the site's recordings, e.g. a/walk_0"),
        ({"test": ["walk_1"], "validation": ["walk_1"]}, "validation: 'walk_1' matches none"),
        ({"test": ["walk_*"]}, "no recording is left for training"),
        ({"every": 9}, "no recording is left for test"),
        ({"test_device": "phone 2"}, "test_device: no recording of 'phone 2'; there are 'phone 0', 'phone 1'"),
        ({"every": 2, "train_device": "x"}, "train_device: no recording of 'x' left; there are 'phone 0'"),
        ({"every": 2, "floor": "3"}, "floor: no recording of floor '3'; there are 0, 1"),
    ],
)
def test_what_cannot_be_split_is_named(load: Load, changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load(**changes)


def test_a_folder_without_bags_is_named(load: Load, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(ConfigError, match=r"recordings: 'a': .* no rosbag2 folder"):
        load(tmp_path, every=2)


def test_the_fingerprint_is_that_of_the_bytes(load: Load, root: Path, tmp_path: Path) -> None:
    shutil.copytree(root / "a", tmp_path / "a")
    assert load(tmp_path, every=3).test == load(every=3).test
    metadata = tmp_path / "a" / "walk_2" / "metadata.yaml"
    metadata.write_text(metadata.read_text() + "\n")
    changed, kept = load(tmp_path, every=3), load(every=3)
    assert changed.test[0].fingerprint != kept.test[0].fingerprint
    assert dataclasses.replace(changed.test[0], fingerprint="") == dataclasses.replace(kept.test[0], fingerprint="")
    assert changed.training == kept.training
