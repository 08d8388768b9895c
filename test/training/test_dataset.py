from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from surveys import corridor_walk, field_at, write_survey

from mail_localization.data.recording import Recording, RecordingInfo, Topics, write_recording
from mail_localization.data.traces import Trace, load_traces
from mail_localization.errors import ConfigError
from mail_localization.preprocess.magnetic import MagneticFeatures, MagneticSettings
from mail_localization.preprocess.sensors import SensorRows
from mail_localization.preprocess.windows import SlidingWindow, WindowSettings
from mail_localization.training.dataset import AugmentationSettings, WindowSet, walking_speed
from mail_localization.types import ReferencePose

WINDOW = WindowSettings(length=100, hop=10)
RAW = MagneticSettings(transform="raw")
EVERY = AugmentationSettings(share=1.0, speed_min=1.5, speed_max=1.5)


@pytest.fixture(scope="module")
def traces(tmp_path_factory: pytest.TempPathFactory) -> list[Trace]:
    paths = write_survey(tmp_path_factory.mktemp("survey"), speeds=(1.0, 1.2), seconds=20.0)
    return load_traces(paths, Topics(), WINDOW, RAW)


@pytest.mark.parametrize("components", ["sensor", "gravity_aligned"])
@pytest.mark.parametrize(("transform", "smoothing"), [("raw", 0.0), ("gradient", 0.04)])
def test_windows_are_those_of_the_live_stream(
    tmp_path: Path, components: str, transform: str, smoothing: float
) -> None:
    magnetic = MagneticSettings(components=components, transform=transform, smoothing=smoothing)
    features = MagneticFeatures(magnetic, WINDOW.rate_hz)
    paths = write_survey(tmp_path, speeds=(1.0, 1.2), seconds=10.0)
    windows = WindowSet(load_traces(paths, Topics(), WINDOW, magnetic), features, WINDOW)

    live, places = [], []
    for path, speed in zip(paths, (1.0, 1.2), strict=True):
        sensors = SensorRows(WINDOW, magnetic.streams)
        sliding = SlidingWindow(WINDOW.length + features.margin, WINDOW.hop, sensors.width)
        due = [w for row in sensors.all(Recording(path).samples()) if (w := sliding.push(row))]
        live += [features(w.rows) for w in due]
        # The walk is at constant speed along x from 0 at its first reference.
        start = Recording(path).reference().start_ns
        places += [speed * (w.t_ns - start) * 1e-9 for w in due]
    np.testing.assert_array_equal(windows.batch(np.arange(len(windows))), live)
    np.testing.assert_allclose(windows.positions[:, 0], places, atol=1e-6)


def test_walking_speed_is_read_from_the_references(traces: list[Trace]) -> None:
    assert [walking_speed(trace, 0.02) for trace in traces] == pytest.approx([1.0, 1.2], rel=1e-3)


def test_augmented_window_is_that_of_a_faster_walk(traces: list[Trace]) -> None:
    """The corridor's field at the places that a walk of 1.5 m/s to the same end would have passed."""
    windows = WindowSet(traces, MagneticFeatures(RAW, 50.0), WINDOW)
    late = np.flatnonzero(windows.positions[:, 0] > 5.0)
    features = windows.augmented(late, EVERY, np.random.default_rng(0))
    x = windows.positions[late, :1] + 1.5 * 0.02 * np.arange(-99, 1)
    expected = np.array([[field_at(value) for value in row] for row in x]) * 1e6
    assert np.abs(features - expected).max() < 1.0  # microtesla, of a field that varies by 40; noise 0.1


def test_unaugmented_windows_keep_their_numbers(traces: list[Trace]) -> None:
    windows = WindowSet(traces, MagneticFeatures(RAW, 50.0), WINDOW)
    which = np.arange(len(windows))
    same = windows.augmented(which, AugmentationSettings(share=0.0), np.random.default_rng(0))
    np.testing.assert_array_equal(same, windows.batch(which))


def test_stretch_is_limited_by_the_rows_there_are(traces: list[Trace]) -> None:
    windows = WindowSet(traces[:1], MagneticFeatures(RAW, 50.0), WINDOW, hop=1)
    stretches = windows.stretches(np.arange(len(windows)), EVERY, np.random.default_rng(0))
    assert 1.0 <= stretches[0] < 1.02
    assert stretches[-1] == pytest.approx(1.5, rel=1e-3)
    assert np.isfinite(windows.augmented(np.arange(len(windows)), EVERY, np.random.default_rng(0))).all()


def test_offset_moves_a_whole_window(traces: list[Trace]) -> None:
    windows = WindowSet(traces, MagneticFeatures(RAW, 50.0), WINDOW)
    moved = windows.augmented(np.arange(3), AugmentationSettings(share=0.0, offset=5.0), np.random.default_rng(0))
    shift = moved - windows.batch(np.arange(3))
    assert np.ptp(shift, axis=1).max() < 1e-3
    assert shift[:, 0].std() > 1.0


def test_windows_without_reference_are_dropped(tmp_path: Path) -> None:

    walk = corridor_walk(seconds=20.0)
    marks = [s for s in walk if isinstance(s, ReferencePose)]
    write_recording(tmp_path / "walk", [s for s in walk if s not in marks[13:]], RecordingInfo())
    trace = load_traces([tmp_path / "walk"], Topics(), WINDOW, RAW)
    windows = WindowSet(trace, MagneticFeatures(RAW, 50.0), WINDOW)
    assert windows.positions[:, 0].max() == pytest.approx(12 * 1.2, abs=0.3)
    assert Recording(tmp_path / "walk").duration == pytest.approx(20.0, abs=0.1)


def test_windows_outside_the_references_are_left_out(tmp_path: Path) -> None:
    samples = [s for s in corridor_walk(seconds=10.0) if type(s).__name__ != "ReferencePose" or 3 < s.x < 7]
    write_recording(tmp_path / "bag", samples, RecordingInfo())
    settings = WindowSettings(length=100, hop=20), MagneticSettings()
    traces = load_traces([tmp_path / "bag"], Topics(), *settings)
    positions = WindowSet(traces, MagneticFeatures(MagneticSettings(), 50.0), settings[0]).positions
    # Marks lie at 1.2 m times 3, 4, 5.
    assert 3.6 <= positions[:, 0].min() <= positions[:, 0].max() <= 6.0


def test_speeds_the_wrong_way_round_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"speed_min: 2\.0 exceeds speed_max: 1\.5"):
        AugmentationSettings(speed_min=2.0)


def test_walking_speed_does_not_mind_references_rounded_in_time(traces: list[Trace]) -> None:
    """A reference that stands for 0.2 s and then jumps, as some datasets have it."""
    positions = [labels[np.arange(len(labels)) // 10 * 10] for labels in traces[1].positions]
    stepped = dataclasses.replace(traces[1], positions=positions)
    assert walking_speed(stepped, 0.02) == pytest.approx(1.2, rel=0.02)
