"""Traces of several modalities, read and cached."""

from __future__ import annotations

import numpy as np
import pytest
from modal_surveys import modal_walk
from surveys import SECOND_NS, START_NS

from mail_localization.data.cache import Cache
from mail_localization.data.modal_traces import load_modal_trace
from mail_localization.data.recording import Recording, RecordingInfo, Topics, write_recording
from mail_localization.preprocess.modalities import ModalitySettings
from mail_localization.training.mmloc import MmlocPlusConfig
from mail_localization.types import ReferencePose, WifiReading, WifiScan

SETTINGS = {"window": {"length": 20, "hop": 3}, "inertial": {"length": 15}}


@pytest.fixture
def walk(tmp_path):
    odd = WifiScan(START_NS + 7 * SECOND_NS, (WifiReading("caf\u00e9\udc80\0", -50.0, 0.0),))
    samples = [s for s in modal_walk() if not (isinstance(s, ReferencePose) and s.t_ns < START_NS + 5 * SECOND_NS)]
    write_recording(tmp_path / "walk", [*samples, odd], RecordingInfo(device="phone", extra={"a": "b"}))
    return tmp_path / "walk"


def _equal(a, b):
    assert a.content_hash == b.content_hash
    for name in ("name", "path", "info", "counts", "problems"):
        assert getattr(a, name) == getattr(b, name)
    for name in ("positions", "received_ns", "heard_at"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
    for each in (a, b):
        assert len(each.windows) > 50
    assert [list(levels.items()) for levels in a.scans] == [list(levels.items()) for levels in b.scans]
    assert [w.t_ns for w in a.windows] == [w.t_ns for w in b.windows]
    np.testing.assert_array_equal(a.reference.t_ns, b.reference.t_ns)
    np.testing.assert_array_equal(a.reference.position, b.reference.position)


def test_cached_windows_are_those_of_the_recording(walk, tmp_path, monkeypatch):
    cache, settings = Cache(tmp_path / "cache"), ModalitySettings.from_mapping(SETTINGS)
    read = load_modal_trace(walk, Topics(), settings)
    _equal(read, load_modal_trace(walk, Topics(), settings, cache))
    monkeypatch.setattr(Recording, "_read", None)  # from now on samples cannot be read
    cached = load_modal_trace(walk, Topics(), settings, cache)
    _equal(read, cached)
    stretch = [(START_NS + 12 * SECOND_NS, START_NS + 29 * SECOND_NS)]
    _equal(read.within(stretch), cached.within(stretch))


def test_settings_of_a_method_that_change_no_window_share_the_cache(walk, tmp_path, monkeypatch):
    cache = Cache(tmp_path / "cache")
    load_modal_trace(walk, Topics(), ModalitySettings.from_mapping(SETTINGS), cache)
    monkeypatch.setattr(Recording, "_read", None)
    load_modal_trace(walk, Topics(), MmlocPlusConfig.from_mapping({**SETTINGS, "training": {"epochs": 3}}), cache)
    with pytest.raises(TypeError):
        load_modal_trace(walk, Topics(), ModalitySettings(), cache)
