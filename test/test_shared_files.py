"""The files beside the node's own parameters: each loads, and names only what exists."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from mail_localization.evaluation.planar_ekf import EkfSettings

ROOT = Path(__file__).parents[1]
CONFIG = ROOT / "config"
PUBLISHED = {"/pose", "/path", "/modes", "/diagnostics"}
OTHERS = {"/map", "/odometry/filtered_map"}
"""nav2's map_server, and the ekf_node of launch/fused.launch.py."""
STATE = {"x": 0, "y": 1, "yaw": 5, "vx": 6, "vy": 7, "vyaw": 11}


def _parameters(name: str, node: str = "/**") -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((CONFIG / name).read_text(encoding="utf-8"))[node]["ros__parameters"]
    return loaded


def _node_parameters() -> set[str]:
    return {"model", *_parameters("localizer_node.yaml")}


def _topics_of_the_node() -> set[str]:
    """Return the topics that the node's own source publishes."""
    sources = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "mail_localization" / "ros").glob("*.py"))
    return {f"/{name.lstrip('/')}" for name in re.findall(r'create_publisher\(\w+, "([^"]+)"', sources)}


@pytest.mark.parametrize(
    ("name", "node"), [("localizer_fused.yaml", "/**"), ("nav2_localization.yaml", "localizer_node")]
)
def test_parameters_for_localizer_node_exist_in_it(name: str, node: str) -> None:
    assert set(_parameters(name, node)) <= _node_parameters()


def test_nav2_manages_the_node_without_a_bond() -> None:
    manager = _parameters("nav2_localization.yaml", "lifecycle_manager_localization")
    assert manager["bond_timeout"] == 0.0
    assert "localizer_node" in manager["node_names"]
    assert _parameters("nav2_localization.yaml", "localizer_node")["autostart"] is False


def test_ekf_takes_the_pose_and_the_speeds() -> None:
    ekf = _parameters("ekf_map.yaml")
    taken = {source: [k for k, used in enumerate(ekf[f"{source}_config"]) if used] for source in ("odom0", "pose0")}
    assert all(len(ekf[f"{source}_config"]) == 15 for source in taken)
    assert taken == {"odom0": [6, 7, 11], "pose0": [0, 1, 5]}
    assert ekf["world_frame"] == ekf["map_frame"] == "map"
    assert not ekf["pose0_differential"]


def test_ekf_is_the_one_that_evaluate_imitates() -> None:
    ekf, imitated = _parameters("ekf_map.yaml"), EkfSettings()
    for name, ours in (
        ("process_noise_covariance", imitated.process_noise),
        ("initial_estimate_covariance", imitated.initial_covariance),
    ):
        matrix = np.array(ekf[name]).reshape(15, 15)
        assert (np.linalg.eigvalsh(matrix) > 0).all()
        assert np.diag(matrix)[list(STATE.values())].tolist() == list(ours)
    assert _parameters("localizer_fused.yaml")["position_covariance_scale"] == imitated.covariance_scale
    assert ekf["pose0_rejection_threshold"] == imitated.rejection_threshold


def _panels(node: Any) -> Iterator[str]:
    if isinstance(node, str):
        yield node
    else:
        yield from (*_panels(node["first"]), *_panels(node["second"]))


def test_foxglove_layout_shows_the_panels_it_configures() -> None:
    layout = json.loads((CONFIG / "foxglove_layout.json").read_text(encoding="utf-8"))
    assert set(layout) >= {"configById", "globalVariables", "userNodes", "playbackConfig", "layout"}
    assert sorted(_panels(layout["layout"])) == sorted(layout["configById"])
    assert set(layout["configById"]["3D!pose"]["topics"]) <= PUBLISHED | OTHERS
    paths = [path["value"] for name, panel in layout["configById"].items() if "Plot" in name for path in panel["paths"]]
    assert len(paths) == 4
    assert all(path.startswith("/pose.pose.") for path in paths)


def test_rviz_shows_topics_that_are_published() -> None:
    displays = yaml.safe_load((CONFIG / "localization.rviz").read_text(encoding="utf-8"))["Visualization Manager"]
    shown = {entry["Topic"]["Value"] for entry in displays["Displays"] if "Topic" in entry}
    assert shown == {"/map", "/pose", "/path", "/modes", "/odometry/filtered_map"}
    assert displays["Global Options"]["Fixed Frame"] == "map"


def test_topics_in_these_files_are_the_nodes() -> None:
    assert _topics_of_the_node() >= PUBLISHED
