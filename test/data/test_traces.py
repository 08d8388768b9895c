from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from surveys import corridor_walk, write_survey

from mail_localization.data.recording import Recording, RecordingInfo, Topics, write_recording
from mail_localization.data.traces import load_trace, load_traces
from mail_localization.errors import RecordingError
from mail_localization.preprocess.magnetic import MagneticFeatures, MagneticSettings
from mail_localization.preprocess.sensors import SensorRows
from mail_localization.preprocess.windows import SlidingWindow, WindowSettings
from mail_localization.types import MagneticSample

WINDOW = WindowSettings(length=100, hop=20)


@pytest.mark.parametrize("components", ["sensor", "gravity_aligned"])
def test_training_windows_are_those_of_the_live_stream(tmp_path: Path, components: str) -> None:
    path = write_survey(tmp_path, speeds=(1.0,), seconds=10.0)[0]
    magnetic = MagneticSettings(components=components)
    features = MagneticFeatures(magnetic, WINDOW.rate_hz)
    raw, positions = load_trace(path, Topics(), WINDOW, magnetic).windows(features, WINDOW.length, WINDOW.hop)

    sensors = SensorRows(WINDOW, magnetic)
    sliding = SlidingWindow(WINDOW.length + features.margin, WINDOW.hop, sensors.width)
    live = [w for row in sensors.all(Recording(path).samples()) if (w := sliding.push(row))]
    np.testing.assert_array_equal(raw, [w.rows for w in live])
    # The walk is at 1 m/s along x from 0 at its first reference.
    start = Recording(path).reference().start_ns
    np.testing.assert_allclose(positions[:, 0], [(w.t_ns - start) * 1e-9 for w in live], atol=1e-6)


def test_windows_outside_the_references_are_left_out(tmp_path: Path) -> None:
    samples = [s for s in corridor_walk(seconds=10.0) if type(s).__name__ != "ReferencePose" or 3 < s.x < 7]
    write_recording(tmp_path / "bag", samples, RecordingInfo())
    trace = load_trace(tmp_path / "bag", Topics(), WINDOW, MagneticSettings())
    _, positions = trace.windows(MagneticFeatures(MagneticSettings(), 50.0), 100, 20)
    # Marks lie at 1.2 m times 3, 4, 5.
    assert 3.6 <= positions[:, 0].min() <= positions[:, 0].max() <= 6.0


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
