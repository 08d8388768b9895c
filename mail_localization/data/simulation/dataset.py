"""A whole simulated dataset on disk: recordings for training and for test, floor plan, and the truth."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from mail_localization.data.recording import RecordingInfo, write_recording
from mail_localization.data.simulation.rounds import Round, SimulationSettings, plan_rounds, simulate_round
from mail_localization.data.simulation.site import build_site, write_map, write_truth
from mail_localization.errors import RecordingError


def write_simulation(
    out: Path, settings: SimulationSettings, seed: int, report: Callable[[Path, int], None] = lambda path, count: None
) -> list[Path]:
    """Write OUT/train/NAME, OUT/test/NAME, OUT/map.yaml, OUT/map.pgm and OUT/site.json.

    `report` is called with each recording's path and number of messages once it is written.

    Raises:
        RecordingError: OUT holds a simulation or is no folder that can be written.
    """
    taken = [name for name in ("train", "test", "site.json") if (out / name).exists()]
    if taken:
        raise RecordingError(f"{out}: {taken[0]} exists already; remove it or choose another output folder")
    site = build_site(settings.site, seed)
    try:
        out.mkdir(parents=True, exist_ok=True)
        write_map(site.plan, out)
        write_truth(site, {"seed": seed, **settings.to_mapping()}, out)
    except OSError as err:
        raise RecordingError(f"{out}: cannot be written: {err}; choose another output folder") from err
    paths = []
    for walk in plan_rounds(settings.rounds, seed):
        simulated = simulate_round(site, settings, walk, seed)
        path = out / walk.part / walk.name
        count = write_recording(path, [*simulated.samples, *simulated.marks], _info(walk, seed))
        report(path, count)
        paths.append(path)
    return paths


def _info(walk: Round, seed: int) -> RecordingInfo:
    extra = {"seed": str(seed), "round": str(walk.number), "part": walk.part, "speed_m_s": f"{walk.speed:.3f}"}
    return RecordingInfo(device=walk.device, floor="0", site=f"simulated-{seed}", source="simulate", extra=extra)
