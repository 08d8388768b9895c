from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from surveys import corridor_walk

from mail_localization.data.recording import RecordingInfo, write_recording

NN = {"window": {"length": 100, "hop": 25}}
TINY: dict[str, Any] = {
    "seeds": [0, 1],
    "max_minutes": 1.0,
    "sites": {
        "corridor": {
            "label": "Corridor",
            "recordings": ["a"],
            "test": ["walk_3"],
            "validation": ["walk_2"],
            "overrides": {"networks": {"training": {"epochs": 2}}},
        },
    },
    "methods": {
        "mail": {
            "label": "MAIL",
            "method": "mail",
            "role": "ours",
            "group": "networks",
            "base": {
                "window": {"rate_hz": 10.0, "length": 20, "hop": 5},
                "network": {
                    "scales": [10, 20], "hidden": 4, "embedding_hidden": 4, "embedding": 4, "attention_hidden": 4,
                },
                "training": {"epochs": 1, "hop": 2, "batch": 50},
            },
            "trials": [{"magnetic": {"transform": "raw"}}, {"magnetic": {"transform": "gradient"}}],
        },
        "flat": {"method": "mail", "like": "mail", "base": {"network": {"attention": False}}, "seeds": 1},
        "nearest": {
            "label": "1-NN", "method": "magnetic_nn", "role": "competitor", "seeds": 1,
            "base": {"window": {"rate_hz": 10.0, "length": 20, "hop": 5}, "match": {"stride": 1}},
        },
        "wireless": {"method": "magnetic_nn", "needs": ["mag", "wifi"]},
    },
    "experiments": {
        "sweeps": {
            "length": {
                "title": "Length", "axis": "seconds", "sites": ["corridor"], "methods": ["nearest"],
                "variants": {1: {"window": {"length": 10}}, 2: {"window": {"length": 20}}},
            }
        },
        "training_loss": {"sites": ["corridor"], "methods": ["mail"]},
        "attention": {"sites": ["corridor"], "methods": ["mail"]},
        "speeds": {"sites": ["corridor"], "methods": ["nearest"], "factors": {"slow": 0.5, "normal": 1.0}},
        "anomalies": {"sites": ["corridor"], "window": 4.0, "scales": [1, 2, 4], "threshold": 5.0},
        "latency": {"sites": ["corridor"]},
    },
}  # fmt: skip


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four walks along a corridor by two phones in turn, and a site of a single walk."""
    folder = tmp_path_factory.mktemp("bags")
    for number, speed in enumerate((1.0, 1.2, 1.1, 0.85)):
        walk = corridor_walk(speed, 12.0, start_ns=10**15 * (number + 1), seed=number)
        info = RecordingInfo(device=f"phone {number % 2}", floor=str(number // 2))
        write_recording(folder / "a" / f"walk_{number}", walk, info)
    write_recording(folder / "single" / "walk", corridor_walk(seconds=5.0), RecordingInfo())
    return folder


@pytest.fixture
def tiny() -> dict[str, Any]:
    """A small comparison that a test may change."""
    return copy.deepcopy(TINY)


@pytest.fixture
def written(tmp_path: Path) -> Callable[[dict[str, Any]], Path]:
    """Write a comparison's file."""

    def write(content: dict[str, Any]) -> Path:
        path = tmp_path / "compare.yaml"
        path.write_text(yaml.safe_dump(content, sort_keys=False))
        return path

    return write
