"""Several processes train what one trains."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from modal_surveys import write_modal_survey

from mail_localization.models.artifact import load_model, weights_of
from mail_localization.training.parallel import Processes

SETTINGS = {
    "window": {"rate_hz": 10.0, "length": 50, "hop": 5},
    "magnetic": {"transform": "raw"},
    "network": {"stride": 5, "hidden": 8, "layers": 2},
    # An odd batch: the two processes' shares differ.
    "training": {"epochs": 3, "hop": 5, "batch": 25, "warmup": 5},
}


def test_two_processes_end_with_the_weights_of_one(tmp_path: Path) -> None:
    bags = [str(path) for path in write_modal_survey(tmp_path / "walks")]
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump(SETTINGS))
    together = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    for name, launcher in (("one", []), ("two", together)):
        train = ["train", "--method", "jang", "--bags", *bags, "--config", str(config), "--out", str(tmp_path / name)]
        command = [sys.executable, *launcher, "-m", "mail_localization", *train, "--device", "cpu"]
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=240)
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("held-out error mean") == 1
    (one_card, one), (two_card, two) = (load_model(tmp_path / name) for name in ("one", "two"))
    assert one_card.metrics["epochs"] == two_card.metrics["epochs"] == 3
    for name, values in weights_of(one).items():
        np.testing.assert_allclose(two[name], values, rtol=1e-3, atol=1e-4, err_msg=name)


@pytest.mark.parametrize(("examples", "count"), [(25, 2), (24, 2), (7, 3), (2, 3)])
def test_shares_make_the_mean_of_the_whole_batch(examples: int, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    losses = np.random.default_rng(0).random(examples)
    monkeypatch.setattr(torch.distributed, "init_process_group", lambda backend: None)
    monkeypatch.setattr("logging.disable", lambda level: None)
    monkeypatch.setenv("WORLD_SIZE", str(count))
    means = []
    for rank in range(count):
        monkeypatch.setenv("RANK", str(rank))
        own, weight = Processes(torch.device("cpu")).share(examples)
        means.append(weight * losses[own].mean())
    assert np.mean(means) == pytest.approx(losses.mean())
