from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from surveys import START_NS, corridor_walk

from mail_localization.data.cache import Cache
from mail_localization.data.recording import Recording, RecordingInfo, Topics, write_recording
from mail_localization.data.traces import load_trace, load_traces
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


def test_cached_rows_are_those_of_the_recording(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    samples = [sample for sample in corridor_walk(seconds=9.0) if not 3 < (sample.t_ns - START_NS) / 1e9 < 4]
    samples.append(MagneticSample(samples[0].t_ns + 1, (math.nan, 0.0, 0.0)))
    write_recording(tmp_path / "walk", samples, RecordingInfo(device="phone", origin_lat_lon=(60.0, 25.0)))
    cache = Cache(tmp_path / "cache")
    read = load_trace(tmp_path / "walk", Topics(), WINDOW, MagneticSettings())
    load_trace(tmp_path / "walk", Topics(), WINDOW, MagneticSettings(), cache=cache)
    monkeypatch.setattr(Recording, "_read", None)  # from now on samples cannot be read
    cached = load_trace(tmp_path / "walk", Topics(), WINDOW, MagneticSettings(), cache=cache)
    assert len(read.segments) == len(cached.segments) == 2
    for a, b in zip(read.segments, cached.segments, strict=True):
        assert a.first_index == b.first_index
        np.testing.assert_array_equal(a.t_ns, b.t_ns)
        np.testing.assert_array_equal(a.rows, b.rows)
    for c, d in zip(read.positions, cached.positions, strict=True):
        np.testing.assert_array_equal(c, d)
    for name in ("name", "path", "info", "content_hash", "problems"):
        assert getattr(read, name) == getattr(cached, name)
    with pytest.raises(TypeError):
        load_trace(tmp_path / "walk", Topics(), WINDOW, MagneticSettings(components="gravity_aligned"), cache=cache)
