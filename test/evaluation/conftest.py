from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mail_localization.data.association import Estimates, associate
from mail_localization.data.recording import RecordingInfo
from mail_localization.data.reference import Reference
from mail_localization.evaluation.replay import Replay, Task
from mail_localization.types import PoseEstimate

S = 1_000_000_000


def _replay(
    model: str = "mail",
    recording: str = "walk",
    errors: tuple[float, ...] = (0.0, 1.0, 2.0, 3.0),
    notes: tuple[str, ...] = (),
) -> Replay:
    """A walk along x at 1 m/s, estimated at each second with the given offsets in y."""
    times = np.arange(max(len(errors), 4)) * S
    reference = Reference(times, np.stack([times / S, np.zeros(len(times))], axis=1))
    poses = [PoseEstimate(k * S, np.array([float(k), error]), np.eye(2)) for k, error in enumerate(errors)]
    estimates = Estimates.from_poses(poses)
    task = Task(model, Path(model), recording, Path(recording))
    pairs = associate(reference, estimates)
    return Replay(task, RecordingInfo(floor="F1"), 3.0, 0.1, estimates, pairs, (1.0, 2.0), notes)


@pytest.fixture
def make_replay() -> Callable[..., Replay]:
    return _replay
