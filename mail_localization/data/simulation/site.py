"""A simulated site: floor plan, magnetic field and Wi-Fi, all of one seed, and the files that describe it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mail_localization.config import Settings, group
from mail_localization.data.simulation.field import FieldSettings, MagneticField, build_field
from mail_localization.data.simulation.noise import generator
from mail_localization.data.simulation.plan import FloorPlan, PlanSettings, build_plan
from mail_localization.data.simulation.radio import Radios, RadioSettings, build_radios

MAP_RESOLUTION = 0.05
"""m per pixel."""
MAP_MARGIN = 1.0
"""Unknown space around the building, m."""


class SiteSettings(Settings):
    """The building and everything in it that stays."""

    plan: PlanSettings = group(PlanSettings)
    field: FieldSettings = group(FieldSettings)
    radio: RadioSettings = group(RadioSettings)


@dataclass(frozen=True)
class Site:
    """The truth that recordings are made of, frame `map`."""

    plan: FloorPlan
    field: MagneticField
    radios: Radios

    def to_json(self) -> dict[str, Any]:
        """Return the truth as plain values, SI units."""
        return {
            "size": [self.plan.width, self.plan.depth],
            "walls": self.plan.walls.tolist(),
            "wall_loss_db": self.plan.loss_db.tolist(),
            "doors": self.plan.doors.tolist(),
            "route": self.plan.route.tolist(),
            "earth_field": self.field.earth.tolist(),
            "dipoles": {"position": self.field.position.tolist(), "moment": self.field.moment.tolist()},
            "access_points": [
                {"bssid": bssid, "position": place, "power_dbm": power, "frequency_mhz": frequency}
                for bssid, place, power, frequency in zip(
                    self.radios.bssid,
                    self.radios.position.tolist(),
                    self.radios.power_dbm.tolist(),
                    self.radios.frequency_mhz,
                    strict=True,
                )
            ],
        }


def build_site(settings: SiteSettings, seed: int) -> Site:
    """Build the site of a seed."""
    plan = build_plan(settings.plan, generator(seed, "plan"))
    field = build_field(settings.field, plan, generator(seed, "field"))
    return Site(plan, field, build_radios(settings.radio, plan, generator(seed, "radio")))


def write_map(plan: FloorPlan, folder: Path) -> None:
    """Write map.yaml and map.pgm, a nav2 occupancy map (map_server): walls black, floor white, outside grey."""
    image = _raster(plan)
    header = f"P5\n{image.shape[1]} {image.shape[0]}\n255\n".encode()
    (folder / "map.pgm").write_bytes(header + image.tobytes())
    lines = [
        "image: map.pgm",
        "mode: trinary",
        f"resolution: {MAP_RESOLUTION}",
        f"origin: [{-MAP_MARGIN}, {-MAP_MARGIN}, 0.0]",
        "negate: 0",
        "occupied_thresh: 0.65",
        "free_thresh: 0.25",
    ]
    (folder / "map.yaml").write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_truth(site: Site, settings: dict[str, Any], folder: Path) -> None:
    """Write site.json: the settings with the seed, and the site they gave."""
    text = json.dumps({"schema_version": 1, "settings": settings, "site": site.to_json()}, indent=1)
    (folder / "site.json").write_text(text + "\n", encoding="utf-8")


def _raster(plan: FloorPlan) -> npt.NDArray[np.uint8]:
    """Return the floor as an image (rows from north to south)."""
    columns, rows = (round((size + 2.0 * MAP_MARGIN) / MAP_RESOLUTION) for size in (plan.width, plan.depth))
    image = np.full((rows, columns), 205, dtype=np.uint8)
    _fill(image, (0.0, 0.0, plan.width, plan.depth), 254)
    _fill(image, plan.core, 205)
    for x0, y0, x1, y1 in plan.walls:
        half = 0.075
        _fill(image, (min(x0, x1) - half, min(y0, y1) - half, max(x0, x1) + half, max(y0, y1) + half), 0)
    return image


def _fill(image: npt.NDArray[np.uint8], box: tuple[float, float, float, float], value: int) -> None:
    x0, y0, x1, y1 = (round((edge + MAP_MARGIN) / MAP_RESOLUTION) for edge in box)
    image[len(image) - y1 : len(image) - y0, x0:x1] = value
