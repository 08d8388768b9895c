from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mail_localization.data.recording import RecordingInfo, write_recording
from mail_localization.errors import EvaluationError
from mail_localization.experiments.analyses import anomalies
from mail_localization.experiments.tasks import Context
from mail_localization.types import MagneticSample, ReferencePose


def walk(path: Path, step_at: float | None, ramp: float = 0.0) -> None:
    """Write 10 s in which |B| is 50 microtesla, rises by `ramp` a second, and steps up by 20 for good."""
    samples: list[MagneticSample | ReferencePose] = []
    for k in range(101):
        t = k / 10
        field = 50 + ramp * t + (20 if step_at is not None and t >= step_at else 0)
        samples.append(MagneticSample(10**15 + k * 100_000_000, (0.0, 0.0, field * 1e-6)))
    samples += [ReferencePose(10**15 + k * 10**10, 10.0 * k, 0.0) for k in range(2)]
    write_recording(path, samples, RecordingInfo())


def shares(tmp_path: Path, name: str) -> tuple[list[float], list[float]]:
    context = Context(tmp_path, tmp_path, tmp_path)
    found = anomalies(context, [name], window=8.0, scales=[4.0, 1.0, 8.0], threshold=10.0)
    assert found["scales"] == [1.0, 4.0, 8.0] and found["windows"] == 5
    return found["share"], found["first"]


def test_anomalies_are_found_at_the_scale_they_have(tmp_path: Path) -> None:
    walk(tmp_path / "flat", None)
    assert shares(tmp_path, "flat") == ([0, 0, 0], [0, 0, 0])
    # 2 microtesla a second: 8 in 4 s are too few, 16 in 8 s are enough.
    walk(tmp_path / "ramp", None, ramp=2.0)
    assert shares(tmp_path, "ramp") == ([0, 0, 1], [0, 0, 1])
    # A step in all five windows lies within one of the sub-sequences of 1 s unless it falls between two of them.
    walk(tmp_path / "step", 5.05)
    share, first = shares(tmp_path, "step")
    assert share[2] == 1 and share[0] > 0
    assert sum(first) == pytest.approx(1)


def test_a_site_shorter_than_the_window_is_refused(tmp_path: Path) -> None:
    walk(tmp_path / "flat", None)
    with pytest.raises(EvaluationError, match=r"no recording is as long as the window of 30 s"):
        anomalies(Context(tmp_path, tmp_path, tmp_path), ["flat"], window=30.0, scales=[1.0], threshold=np.inf)
