"""Floor plans under the trajectories: a nav2 map (YAML with PGM or PNG) or a plain picture with its size."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mail_localization.errors import EvaluationError

WALL, UNKNOWN, FREE = 90, 232, 255
"""Grey levels a nav2 map is drawn with: walls dark enough to see, light enough for trajectories over them."""


@dataclass(frozen=True, eq=False)
class FloorPlan:
    """A picture placed in `map`."""

    pixels: npt.NDArray[np.uint8]
    """(H, W) grey or (H, W, 3) colour, first row on top."""
    width: float
    """m."""
    height: float
    """m."""
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """map_T_lower_left: x, y (m) of the lower left corner and rotation (rad)."""


def load_floorplan(path: Path, size: tuple[float, float] | None = None) -> FloorPlan:
    """Read a nav2 map YAML, or a picture of the given size (width, height, m), origin at its lower left.

    Raises:
        EvaluationError: the file is neither, or the size is missing.
    """
    if path.suffix.lower() in (".yaml", ".yml"):
        return _load_nav2(path)
    if size is None:
        raise EvaluationError(f"{path}: a picture needs --map-size WIDTH HEIGHT in metres (or give a .yaml map)")
    if min(size) <= 0:
        raise EvaluationError(f"--map-size: {size[0]} x {size[1]} is not positive; give metres")
    return FloorPlan(_read_picture(path, "RGB"), *size)


def _load_nav2(path: Path) -> FloorPlan:
    import yaml

    try:
        entries = yaml.safe_load(path.read_text(encoding="utf-8"))
        image, resolution = str(entries["image"]), float(entries["resolution"])
        x, y, yaw = map(float, entries["origin"])
        occupied, free = float(entries.get("occupied_thresh", 0.65)), float(entries.get("free_thresh", 0.25))
        negate = bool(int(entries.get("negate", 0)))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError, ValueError) as err:
        raise EvaluationError(
            f"{path}: not a nav2 map ({type(err).__name__}: {err}); it needs image, resolution and origin"
        ) from err
    if not (np.isfinite((resolution, x, y, yaw)).all() and resolution > 0):
        raise EvaluationError(f"{path}: resolution {resolution} or origin is not usable; give them in m")
    grey = _read_picture(path.parent / image, "L")
    pixels = _occupancy_picture(grey, negate, occupied, free)
    height, width = grey.shape
    return FloorPlan(pixels, width * resolution, height * resolution, (x, y, yaw))


def _occupancy_picture(
    grey: npt.NDArray[np.uint8], negate: bool, occupied: float, free: float
) -> npt.NDArray[np.uint8]:
    """Apply map_server's trinary reading: dark is occupied unless negated."""
    probability = (grey if negate else 255 - grey) / 255.0
    picture = np.full(grey.shape, UNKNOWN, dtype=np.uint8)
    picture[probability > occupied] = WALL
    picture[probability < free] = FREE
    return picture


def _read_picture(path: Path, mode: str) -> npt.NDArray[np.uint8]:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            # A plan in the thousands of pixels adds megabytes to the report and nothing to the eye.
            if mode == "RGB":
                image.thumbnail((1600, 1600))
                return _on_white(image)
            return np.asarray(image.convert(mode), dtype=np.uint8)
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError, ValueError) as err:
        raise EvaluationError(f"{path}: cannot be read as a picture: {err}") from err


def _on_white(image: Any) -> npt.NDArray[np.uint8]:
    """Flatten transparency onto white: a plan's background is often transparent."""
    from PIL import Image

    colour = image.convert("RGBA")
    white = Image.new("RGBA", colour.size, (255, 255, 255, 255))
    return np.asarray(Image.alpha_composite(white, colour).convert("RGB"), dtype=np.uint8)
