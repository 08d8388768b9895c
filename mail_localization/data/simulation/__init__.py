"""Simulation of a site and of recordings made in it: for the demo, for tests, and for questions of "what if".

The models are textbook ones, named where they stand; nothing here is fitted to a dataset.
"""

from __future__ import annotations

from mail_localization.data.simulation.rounds import (
    Round,
    SimulatedRound,
    SimulationSettings,
    plan_rounds,
    simulate_round,
    with_train_rounds,
)
from mail_localization.data.simulation.site import Site, SiteSettings, build_site, write_map, write_truth

__all__ = [
    "Round",
    "SimulatedRound",
    "SimulationSettings",
    "Site",
    "SiteSettings",
    "build_site",
    "plan_rounds",
    "simulate_round",
    "with_train_rounds",
    "write_map",
    "write_truth",
]
