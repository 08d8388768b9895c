from __future__ import annotations

from pathlib import Path

import pytest

from faults.course import write_config, write_models
from faults.disk import fill, may_mount
from faults.writes import writes


@pytest.mark.parametrize("real", [True, False], ids=["small disk", "limited files"])
def test_full_disk_is_one_clear_line_and_leaves_nothing_half_written(tmp_path: Path, real: bool) -> None:
    if real and not may_mount(tmp_path / "mount"):
        pytest.skip("mounting a tmpfs needs root")
    models = write_models(tmp_path / "made", ("magnetic_nn",))
    rounds = [tmp_path / "made" / f"round_{k}" for k in range(2)]
    config = write_config(tmp_path / "config.yaml", "magnetic_nn")
    train = next(w for w in writes(models["magnetic_nn"], rounds, config) if w.name == "model")
    failed, done = fill(train, tmp_path / "disk", real)
    assert failed >= 1
    assert done >= 1
