from __future__ import annotations

import math
from pathlib import Path

import pytest
from surveys import corridor_walk

from mail_localization.data.recording import RecordingInfo, Topics, write_recording
from mail_localization.data.traces import load_traces
from mail_localization.errors import RecordingError
from mail_localization.preprocess.magnetic import MagneticSettings
from mail_localization.preprocess.windows import WindowSettings
from mail_localization.types import MagneticSample

WINDOW = WindowSettings(length=100, hop=20)


def test_refused_samples_are_told_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    samples = corridor_walk(seconds=3.0)
    samples.append(MagneticSample(samples[0].t_ns + 1, (math.nan, 0.0, 0.0)))
    write_recording(tmp_path / "walk", samples, RecordingInfo())
    load_traces([tmp_path / "walk"], Topics(), WINDOW, MagneticSettings())
    assert "walk: left out or repaired: 1 x mag.non_finite" in caplog.text


def test_recordings_of_two_origins_are_not_mixed(tmp_path: Path) -> None:
    for name, origin in (("a", (60.0, 25.0)), ("b", (40.0, 0.0))):
        write_recording(tmp_path / name, corridor_walk(seconds=3.0), RecordingInfo(origin_lat_lon=origin))
    with pytest.raises(RecordingError, match=r"b: its map has the origin \(40.0, 0.0\), that of .*a is \(60.0, 25.0\)"):
        load_traces([tmp_path / "a", tmp_path / "b"], Topics(), WINDOW, MagneticSettings())
