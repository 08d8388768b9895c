from __future__ import annotations

import numpy as np
import pytest

from mail_localization.data.reference import Reference
from mail_localization.errors import RecordingError
from mail_localization.types import ReferencePose

T0 = 1_700_000_000_000_000_001


def test_position_between_marks_is_linear_in_time_and_absent_outside() -> None:
    reference = Reference.from_poses([ReferencePose(T0 + 100, 2.0, 4.0), ReferencePose(T0, 0.0, 0.0)])
    at = reference.at(np.array([T0 - 1, T0, T0 + 25, T0 + 100, T0 + 101]))
    np.testing.assert_allclose(at, [[np.nan] * 2, [0, 0], [0.5, 1.0], [2, 4], [np.nan] * 2])


def test_references_without_position_do_not_count() -> None:
    poses = [ReferencePose(T0, 0.0, 0.0), ReferencePose(T0 + 1, float("nan"), 0.0), ReferencePose(T0, 1.0, 0.0)]
    with pytest.raises(RecordingError, match=r"walk: 1 reference positions, at least 2"):
        Reference.from_poses(poses, "walk")
