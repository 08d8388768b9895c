"""Floor plan of the simulated building: walls, doors and the survey route that people and robots follow.

An office floor: a closed core (lifts, shafts) inside a ring corridor, with a row of rooms to the south and to
the north and one room at either end. Frame `map`: x east along the long side, y north, origin at a corner.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mail_localization.config import Settings, setting
from mail_localization.errors import ConfigError
from mail_localization.types import FloatArray

Point = tuple[float, float]


class PlanSettings(Settings):
    """Size and build of the floor."""

    width: float = setting(36.0, "extent along x, m", minimum=24.0, maximum=200.0)
    depth: float = setting(22.0, "extent along y, m", minimum=18.0, maximum=200.0)
    room_depth: float = setting(5.5, "depth of the rooms, m", minimum=5.0, maximum=20.0)
    corridor: float = setting(2.2, "width of the corridor, m", minimum=1.8, maximum=6.0)
    rooms: int = setting(4, "rooms in the southern and in the northern row", minimum=2, maximum=20)
    door: float = setting(1.2, "clear width of a door, m", minimum=1.0, maximum=3.0)
    outer_loss_db: float = setting(12.0, "Wi-Fi loss of the outer wall (concrete), dB", minimum=0.0)
    inner_loss_db: float = setting(3.5, "Wi-Fi loss of a partition (plasterboard), dB", minimum=0.0)
    core_loss_db: float = setting(9.0, "Wi-Fi loss of a wall of the core (reinforced concrete), dB", minimum=0.0)

    def check(self) -> None:
        """Refuse a floor on which the core would have no size or a door no wall."""
        inset = 2.0 * (self.room_depth + self.corridor)
        if min(self.width, self.depth) < inset + 2.0:
            raise ConfigError(f"width, depth: each needs {inset:g} m for rooms and corridors and 2 m for the core")
        if self.width / self.rooms < self.room_depth + self.door + 0.5:
            raise ConfigError(f"rooms: {self.rooms} on {self.width:g} m leave no wall for the corner rooms' doors")


@dataclass(frozen=True)
class FloorPlan:
    """Walls, doors and route; every length in m, frame `map`."""

    width: float
    depth: float
    walls: FloatArray
    """(W, 4) segments x0, y0, x1, y1."""
    loss_db: FloatArray
    """(W,) Wi-Fi loss of each wall."""
    core: tuple[float, float, float, float]
    """x0, y0, x1, y1 of the closed core."""
    doors: FloatArray
    """(D, 2) centres."""
    route: FloatArray
    """(K, 2) corners of the survey route."""

    def crossings(self, start: FloatArray, end: FloatArray) -> npt.NDArray[np.bool_]:
        """Return (n, W): which walls the straight lines from `start` to `end`, both (n, 2), cross."""
        a, b = self.walls[None, :, :2], self.walls[None, :, 2:]
        p, q = start[:, None, :], end[:, None, :]
        apart = _side(a, b, p) * _side(a, b, q) < 0.0
        return np.asarray(apart & (_side(p, q, a) * _side(p, q, b) < 0.0))


def build_plan(settings: PlanSettings, rng: np.random.Generator) -> FloorPlan:
    """Lay out the floor; `rng` shifts the doors along their walls."""
    near, width, depth = settings.room_depth, settings.width, settings.depth
    far_x, far_y = width - near, depth - near
    edges = np.linspace(0.0, width, settings.rooms + 1)
    south, north = (_door_centres(settings, edges, rng) for _ in range(2))
    ends = near + (depth - 2.0 * near) * rng.uniform(0.4, 0.6, 2)
    outer = _rectangle(0.0, 0.0, width, depth)
    core = (near + settings.corridor, near + settings.corridor, far_x - settings.corridor, far_y - settings.corridor)
    inner = _wall_with_doors((0.0, near), (width, near), south, settings.door)
    inner += _wall_with_doors((0.0, far_y), (width, far_y), north, settings.door)
    inner += _wall_with_doors((near, near), (near, far_y), ends[:1] - near, settings.door)
    inner += _wall_with_doors((far_x, near), (far_x, far_y), ends[1:] - near, settings.door)
    inner += [(x, y0, x, y1) for x in edges[1:-1] for y0, y1 in ((0.0, near), (far_y, depth))]
    losses = (settings.outer_loss_db, settings.inner_loss_db, settings.core_loss_db)
    parts = list(zip((outer, inner, _rectangle(*core)), losses, strict=True))
    doors = [(x, near) for x in south] + [(x, far_y) for x in north] + [(near, ends[0]), (far_x, ends[1])]
    return FloorPlan(
        width,
        depth,
        walls=np.array([wall for walls, _ in parts for wall in walls]),
        loss_db=np.concatenate([np.full(len(walls), loss) for walls, loss in parts]),
        core=core,
        doors=np.array(doors),
        route=np.array(_route(settings, float(south[0]), float(north[settings.rooms // 2]))),
    )


def _route(settings: PlanSettings, first: float, visit: float) -> list[Point]:
    """Return the survey route.

    Out of the first southern room, once round the corridor with one northern room on the way, and back.
    """
    low = settings.room_depth + settings.corridor / 2.0
    right, top = settings.width - low, settings.depth - low
    inside, back, side = 1.2, settings.room_depth - 1.3, 1.5
    wall = settings.depth - settings.room_depth
    start = [(first - side, settings.room_depth - back), (first, settings.room_depth - back), (first, low)]
    room = [(0.0, inside), (side, inside), (side, back), (-side, back), (-side, inside), (0.0, inside)]
    loop = [(visit, top), *((visit + x, wall + y) for x, y in room), (visit, top)]
    return [*start, (right, low), (right, top), *loop, (low, top), (low, low + 1.5)]


def _door_centres(settings: PlanSettings, edges: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Return x of one door for each room of a row, where its wall meets the corridor."""
    left = np.maximum(edges[:-1], settings.room_depth) + settings.door / 2.0 + 0.2
    right = np.minimum(edges[1:], settings.width - settings.room_depth) - settings.door / 2.0 - 0.2
    middle, spread = (left + right) / 2.0, np.minimum((right - left) / 2.0, 1.0)
    return np.asarray(middle + spread * rng.uniform(-1.0, 1.0, len(middle)))


def _rectangle(x0: float, y0: float, x1: float, y1: float) -> list[tuple[float, float, float, float]]:
    return [(x0, y0, x1, y0), (x1, y0, x1, y1), (x1, y1, x0, y1), (x0, y1, x0, y0)]


def _wall_with_doors(
    start: Point, end: Point, doors: FloatArray, clear: float
) -> list[tuple[float, float, float, float]]:
    """Split a wall at its doors, given as distances of their centres from `start`."""
    a, b = np.array(start), np.array(end)
    length = float(np.linalg.norm(b - a))
    gaps = [(d - clear / 2.0, d + clear / 2.0) for d in np.sort(doors)]
    bounds = [0.0, *(edge for gap in gaps for edge in gap), length]
    ends = [a + (b - a) * distance / length for distance in bounds]
    return [(*map(float, p), *map(float, q)) for p, q in zip(ends[::2], ends[1::2], strict=True)]  # type: ignore[misc]


def _side(a: FloatArray, b: FloatArray, p: FloatArray) -> FloatArray:
    """Return on which side of the line a-b the point p lies: the sign of the cross product."""
    u, v = b - a, p - a
    return np.asarray(u[..., 0] * v[..., 1] - u[..., 1] * v[..., 0])
