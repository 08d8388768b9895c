"""Magnetic field of the building: the Earth's uniform field and the dipoles of its iron.

Every source is a point dipole, so div B = curl B = 0 outside the sources, and the field at the height of a
phone and at that of a robot belong to one another. An anomaly's extent is about its distance from the path:
reinforcement and furniture within 1 m, beams at 1 to 3 m, lifts and machines at 3 to 15 m.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mail_localization.config import Settings, setting
from mail_localization.data.simulation.plan import FloorPlan
from mail_localization.types import FloatArray

MU0_OVER_4PI = 1e-7
"""Magnetic constant over 4 pi, T m/A."""


class FieldSettings(Settings):
    """Earth's field and numbers and strengths of the ferromagnetic sources."""

    earth: float = setting(48e-6, "magnitude of the Earth's field, T", minimum=1e-6, maximum=1e-4)
    inclination: float = setting(1.134, "dip of the Earth's field below the horizontal (65 degrees), rad", maximum=1.57)
    north: float = setting(1.92, "direction of magnetic north in map, counter-clockwise from x, rad")
    columns: int = setting(170, "columns, door frames, cabinets and radiators at the walls", minimum=0)
    column_moment: float = setting(40.0, "median moment of a column, A m^2", minimum=0.0)
    beams: int = setting(120, "steel beams and ducts above the ceiling", minimum=0)
    beam_moment: float = setting(160.0, "median moment of a beam, A m^2", minimum=0.0)
    slabs: int = setting(160, "reinforcement and pipes in the floor slab", minimum=0)
    slab_moment: float = setting(35.0, "median moment of a piece in the slab, A m^2", minimum=0.0)
    machines: int = setting(9, "lifts in the core, machines and steel frames outside", minimum=0)
    machine_moment: float = setting(1300.0, "median moment of a machine, A m^2", minimum=0.0)
    spread: float = setting(0.5, "standard deviation of a moment's logarithm", minimum=0.0, maximum=2.0)
    strongest: float = setting(30e-6, "largest anomaly of one source on the route, T", minimum=1e-6, maximum=1e-3)


@dataclass(frozen=True)
class MagneticField:
    """The Earth's field and D dipoles, frame `map`, z up from the floor."""

    earth: FloatArray
    """(3,) T."""
    position: FloatArray
    """(D, 3) m."""
    moment: FloatArray
    """(D, 3) A m^2."""

    def __call__(self, points: FloatArray) -> FloatArray:
        """Return the flux density (n, 3) at `points` (n, 3), T."""
        parts = np.array_split(points, max(1, len(points) * len(self.position) // 200_000))
        return np.concatenate([self.earth + self._iron(part) for part in parts])

    def _iron(self, points: FloatArray) -> FloatArray:
        """Return the sum of `dipoles`, by matrix products over (n, D) instead of arrays of (n, D, 3)."""
        p, q, m = points, self.position, self.moment
        squared = (p * p).sum(axis=1)[:, None] + (q * q).sum(axis=1) - 2.0 * p @ q.T  # (n, D)
        cubed = 1.0 / (squared * np.sqrt(squared))
        along = 3.0 * (p @ m.T - (q * m).sum(axis=1)) * cubed / squared
        return np.asarray(MU0_OVER_4PI * (p * along.sum(axis=1)[:, None] - along @ q - cubed @ m))


def dipoles(points: FloatArray, position: FloatArray, moment: FloatArray) -> FloatArray:
    """Return each dipole's flux density (n, D, 3) at `points` (n, 3), T.

    B = mu0/(4 pi) (3 (m.r) r - r^2 m) / r^5 with r from the dipole to the point (Jackson,
    Classical Electrodynamics, 3rd edition, eq. 5.56).
    """
    r = points[:, None, :] - position[None, :, :]
    squared = (r * r).sum(axis=-1)  # (n, D)
    along = np.einsum("ndc,dc->nd", r, moment)
    numerator = 3.0 * along[..., None] * r - squared[..., None] * moment[None, :, :]
    return np.asarray(MU0_OVER_4PI * numerator / (squared**2 * np.sqrt(squared))[..., None])


def earth_field(settings: FieldSettings) -> FloatArray:
    """Return the Earth's field (3,) in `map`, T: inclined downwards, as on the northern hemisphere."""
    horizontal = np.cos(settings.inclination)
    toward = [horizontal * np.cos(settings.north), horizontal * np.sin(settings.north), -np.sin(settings.inclination)]
    return settings.earth * np.array(toward)


def build_field(settings: FieldSettings, plan: FloorPlan, rng: np.random.Generator) -> MagneticField:
    """Place the sources; those too strong for their distance from the route are weakened to `strongest`."""
    earth = earth_field(settings)
    groups = (
        (_at_walls(settings.columns, plan, rng), settings.column_moment),
        (_in_layer(settings.beams, (2.8, 3.6), plan, rng), settings.beam_moment),
        (_in_layer(settings.slabs, (-1.0, -0.4), plan, rng), settings.slab_moment),
        (_far_away(settings.machines, plan, rng), settings.machine_moment),
    )
    position = np.concatenate([places for places, _ in groups])
    median = np.concatenate([np.full(len(places), moment) for places, moment in groups])
    strength = median * rng.lognormal(0.0, settings.spread, len(median))
    # The moment has a part induced along the Earth's field and a remanent part that points anywhere.
    remanent = _unit(rng.normal(size=(len(median), 3)))
    moment = strength[:, None] * _unit(0.7 * earth / settings.earth + 0.7 * remanent)
    moment *= _weakening(settings, plan, position, moment)[:, None]
    return MagneticField(earth, position, moment)


def _weakening(settings: FieldSettings, plan: FloorPlan, position: FloatArray, moment: FloatArray) -> FloatArray:
    """Return factors (D,) that keep each source's anomaly on the route, at 0.3 and 1.2 m, below the limit."""
    steps = np.linspace(0.0, 1.0, 40)[:, None]
    legs = [a + (b - a) * steps for a, b in zip(plan.route[:-1], plan.route[1:], strict=True)]
    ground = np.concatenate(legs)
    points = np.concatenate([np.insert(ground, 2, height, axis=1) for height in (0.3, 1.2)])
    peak = np.linalg.norm(dipoles(points, position, moment), axis=-1).max(axis=0)
    return np.asarray(np.minimum(1.0, settings.strongest / np.maximum(peak, 1e-12)))


def _at_walls(count: int, plan: FloorPlan, rng: np.random.Generator) -> FloatArray:
    """Return places (count, 3) inside walls, from the skirting board to above a door."""
    start, end = plan.walls[:, :2], plan.walls[:, 2:]
    length = np.linalg.norm(end - start, axis=1)
    wall = rng.choice(len(length), count, p=length / length.sum())
    ground = start[wall] + (end - start)[wall] * rng.uniform(0.0, 1.0, (count, 1))
    return np.column_stack([ground, rng.uniform(0.1, 2.2, count)])


def _in_layer(count: int, heights: tuple[float, float], plan: FloorPlan, rng: np.random.Generator) -> FloatArray:
    """Return places (count, 3) anywhere on the floor plan between two heights."""
    return rng.uniform([0.0, 0.0, heights[0]], [plan.width, plan.depth, heights[1]], (count, 3))


def _far_away(count: int, plan: FloorPlan, rng: np.random.Generator) -> FloatArray:
    """Return places (count, 3): two of three in the core, the others 2 to 6 m outside the building."""
    x0, y0, x1, y1 = plan.core
    # One stretch of the core for each lift: side by side they would make one great anomaly.
    x = x0 + (x1 - x0) * (np.arange(count) + rng.uniform(0.2, 0.8, count)) / max(count, 1)
    core = np.column_stack([x, (y0 + y1) / 2.0 + rng.uniform(-0.5, 0.5, count)])
    beside = np.where(rng.uniform(size=count) < 0.5, -1.0, 1.0) * rng.uniform(2.0, 6.0, count)
    outside = np.column_stack([rng.uniform(0.0, plan.width, count), np.where(beside < 0, beside, plan.depth + beside)])
    ground = np.where((np.arange(count) % 3 < 2)[:, None], core, outside)
    return np.column_stack([ground, rng.uniform(-3.0, 5.0, count)])


def _unit(vectors: FloatArray) -> FloatArray:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True))
