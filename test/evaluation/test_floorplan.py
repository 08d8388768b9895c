from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mail_localization.errors import EvaluationError
from mail_localization.evaluation.floorplan import FREE, UNKNOWN, WALL, load_floorplan

MAP = "image: map.pgm\nresolution: 0.5\norigin: [-1.0, 2.0, 0.1]\n{}occupied_thresh: 0.65\nfree_thresh: 0.25\n"


def nav2_map(folder: Path, extra: str = "negate: 0\n") -> Path:
    Image.fromarray(np.array([[0, 255, 128, 255]], dtype=np.uint8)).save(folder / "map.pgm")
    (folder / "map.yaml").write_text(MAP.format(extra))
    return folder / "map.yaml"


def test_a_nav2_map_is_placed_by_resolution_and_origin(tmp_path: Path) -> None:
    plan = load_floorplan(nav2_map(tmp_path))
    assert (plan.width, plan.height, plan.origin) == (2.0, 0.5, (-1.0, 2.0, 0.1))
    assert plan.pixels.tolist() == [[WALL, FREE, UNKNOWN, FREE]]


def test_a_negated_map_has_bright_walls(tmp_path: Path) -> None:
    assert load_floorplan(nav2_map(tmp_path, "negate: 1\n")).pixels.tolist() == [[FREE, WALL, UNKNOWN, WALL]]


def test_a_picture_needs_its_size(tmp_path: Path) -> None:
    picture = tmp_path / "plan.png"
    Image.fromarray(np.zeros((4, 8, 4), dtype=np.uint8)).save(picture)
    plan = load_floorplan(picture, (80.0, 40.0))
    assert (plan.width, plan.height, plan.pixels.shape) == (80.0, 40.0, (4, 8, 3))
    assert plan.pixels.min() == 255, "transparent is white"
    with pytest.raises(EvaluationError, match="--map-size"):
        load_floorplan(picture)


@pytest.mark.parametrize(
    "content",
    ["", "a: [", "image: map.pgm", "image: map.pgm\nresolution: 0\norigin: [0, 0, 0]\n",
     "image: none.pgm\nresolution: 1\norigin: [0, 0, 0]\n"],
)  # fmt: skip
def test_a_damaged_map_is_one_clear_error(tmp_path: Path, content: str) -> None:
    path = nav2_map(tmp_path)
    path.write_text(content)
    with pytest.raises(EvaluationError, match=str(tmp_path)):
        load_floorplan(path)


def test_a_damaged_picture_is_one_clear_error(tmp_path: Path) -> None:
    path = nav2_map(tmp_path)
    (tmp_path / "map.pgm").write_bytes(b"P5 nothing")
    with pytest.raises(EvaluationError, match="picture"):
        load_floorplan(path)
