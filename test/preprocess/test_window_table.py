"""Windows that share their rows give the same numbers as copies."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from modal_surveys import modal_walk, without_references
from surveys import SECOND_NS, START_NS

from mail_localization.preprocess.access_points import survey_access_points
from mail_localization.preprocess.modal_batch import ModalFrontEnd
from mail_localization.preprocess.modalities import ModalitySettings, ModalWindows
from mail_localization.preprocess.window_table import WindowTable
from mail_localization.types import ImuSample


def _settings(modalities=("imu", "mag", "wifi"), **more):
    return ModalitySettings.from_mapping(
        {
            "modalities": modalities,
            "window": {"length": 20, "hop": 3},
            "inertial": {"length": 15},
            "magnetic": {"components": "gravity_aligned"},
            **more,
        }
    )


def _samples(seed=0):
    """Return a walk with a lost magnetometer, a pause of everything, a wild inertial sample, and its clock set back."""
    samples = without_references(modal_walk(seed=seed))
    samples = [s for s in samples if not (type(s).__name__ == "MagneticSample" and 9 < since(s) < 14)]
    samples = [s for s in samples if not 18 < since(s) < 20]
    samples = [
        replace(s, acceleration=(2e4, 0.0, 9.8)) if isinstance(s, ImuSample) and 25 <= since(s) < 25.3 else s
        for s in samples
    ]
    return [*samples, *without_references(modal_walk(seconds=8.0, start_ns=START_NS - 20 * SECOND_NS))]


def since(sample):
    return (sample.t_ns - START_NS) / SECOND_NS


def _made(settings, samples):
    maker = ModalWindows(settings)
    return list(maker.all(samples)), maker.shapes


@pytest.mark.parametrize("modalities", [("imu", "mag", "wifi"), ("imu",), ("mag",), ("wifi",), ("imu", "wifi")])
def test_views_are_the_windows_they_were_made_of(modalities):
    windows, shapes = _made(_settings(modalities), _samples())
    table = WindowTable.of(iter(windows), shapes)
    assert len(windows) == len(table) > 10
    for made, kept in zip(windows, table, strict=True):
        assert (made.t_ns, list(made.levels.items())) == (kept.t_ns, list(kept.levels.items()))
        for name in ("imu", "mag"):
            a, b = getattr(made, name), getattr(kept, name)
            assert (a is None) == (b is None)
            if a is not None:
                np.testing.assert_array_equal(a, b)
                assert np.shares_memory(b, getattr(table, name).rows)


def test_rows_are_kept_once():
    windows, shapes = _made(_settings(), without_references(modal_walk(seconds=30.0)))
    table = WindowTable.of(windows, shapes)
    assert 280 < len(table.imu.rows) <= 301  # 30 s at 10 Hz
    assert 280 < len(table.mag.rows) <= 301
    assert len(table.levels) < len(table) / 3


@pytest.mark.parametrize("frame", ["levelled", "sensor"])
@pytest.mark.parametrize("modalities", [("imu", "mag", "wifi"), ("mag", "wifi"), ("imu", "wifi"), ("wifi",)])
def test_columns_give_the_batches_of_the_windows_bit_by_bit(modalities, frame):
    settings = _settings(modalities, inertial={"length": 15, "frame": frame})
    made = [_made(settings, _samples(seed)) for seed in range(2)]
    tables = [WindowTable.of(windows, shapes) for windows, shapes in made]
    scans = [window.levels for window in made[0][0] if window.levels][::4]
    access_points = survey_access_points(scans, np.random.default_rng(0).random((len(scans), 2)), settings.wifi)
    assert len(access_points)
    front_end = ModalFrontEnd(settings, access_points, "powed")
    windows = [window for part, _ in made for window in part]
    which = np.random.default_rng(0).permutation(len(windows))
    columns = front_end.columns(tables)
    taken, wanted = columns.take(which), front_end.batch([windows[k] for k in which])
    assert len(columns) == len(windows)
    for name in ("imu", "mag", "rssi", "weights", "mask"):
        a, b = getattr(taken, name), getattr(wanted, name)
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)
    if "imu" in modalities:
        wild = [window.imu is not None and np.abs(window.imu).max() >= 1e4 for window in windows]
        assert any(wild) and not wanted.mask[np.array(wild)[which], 0].any()
    assert set(wanted.mask[:, 2]) == {0.0, 1.0} or modalities == ("wifi",)


def test_selected_windows_keep_their_rows():
    windows, shapes = _made(_settings(), _samples())
    table = WindowTable.of(windows, shapes)
    odd = np.arange(len(table)) % 2 == 1
    part = table.select(odd)
    assert part.imu.rows is table.imu.rows
    assert [window.t_ns for window in part] == [window.t_ns for window in windows[1::2]]
