from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from surveys import SECOND_NS, START_NS
from wifi_surveys import ACCESS_POINTS, scan_at, wifi_walk, write_wifi_survey

from mail_localization.data.fingerprints import gather, load_fingerprint_trace, load_fingerprints
from mail_localization.data.recording import RecordingInfo, Topics, write_recording
from mail_localization.errors import RecordingError
from mail_localization.preprocess.wifi import WifiSettings
from mail_localization.types import ReferencePose, WifiReading, WifiScan

TOPICS, SETTINGS = Topics(), WifiSettings(max_age=1.5)


def test_scans_are_labelled_with_the_reference(tmp_path: Path) -> None:
    trace = load_fingerprint_trace(write_wifi_survey(tmp_path, speeds=(1.0,))[0], TOPICS, SETTINGS)
    assert len(trace) == 21
    assert trace.positions[3] == pytest.approx([6.0, 0.0])
    # The results are a tenth of a second old.
    assert trace.heard_at[3] == pytest.approx([5.9, 0.0], abs=1e-6)
    assert set(trace.levels[0]) == set(list(ACCESS_POINTS)[:5])
    assert trace.provenance("train")["hash"].startswith("sha256:")


def test_vectors_follow_the_access_points(tmp_path: Path) -> None:
    traces = load_fingerprints(write_wifi_survey(tmp_path, speeds=(1.0, 0.8)), TOPICS, SETTINGS)
    known = gather(traces, SETTINGS)
    vectors = traces[0].vectors(known)
    assert vectors.shape == (21, 9)
    assert np.isfinite(vectors[0]).sum() == 5
    assert known.names == list(ACCESS_POINTS)
    assert known.location[:, 0] == pytest.approx(list(ACCESS_POINTS.values()), abs=3.0)


def test_stale_scans_and_those_without_reference_are_left_out(tmp_path: Path) -> None:
    old = WifiScan(START_NS + 5 * SECOND_NS, (WifiReading("a", -50.0, 60.0),))
    late = scan_at(0.0, START_NS + 30 * SECOND_NS)
    marks = [ReferencePose(START_NS, 0.0, 0.0), ReferencePose(START_NS + 20 * SECOND_NS, 20.0, 0.0)]
    good = scan_at(3.0, START_NS + 3 * SECOND_NS)
    write_recording(tmp_path / "walk", [old, late, good, *marks], RecordingInfo())
    trace = load_fingerprint_trace(tmp_path / "walk", TOPICS, SETTINGS)
    assert trace.t_ns.tolist() == [START_NS + 3 * SECOND_NS]
    assert trace.problems == {"wifi.stale": 1}


def test_trace_without_labelled_scans_is_empty(tmp_path: Path) -> None:
    marks = [ReferencePose(START_NS, 0.0, 0.0), ReferencePose(START_NS + 2 * SECOND_NS, 2.0, 0.0)]
    write_recording(tmp_path / "walk", [scan_at(0.0, START_NS + 9 * SECOND_NS), *marks], RecordingInfo())
    trace = load_fingerprint_trace(tmp_path / "walk", TOPICS, SETTINGS)
    assert len(trace) == 0
    assert trace.positions.shape == trace.heard_at.shape == (0, 2)
    assert trace.vectors(gather([trace], SETTINGS)).shape == (0, 0)


def test_wifi_on_another_topic_is_named(tmp_path: Path) -> None:
    path = write_wifi_survey(tmp_path, speeds=(1.0,))[0]
    with pytest.raises(
        RecordingError, match=r"walk_0: no Wi-Fi scans on topic '/else' \(topics\.wifi\); it has .*/wifi/scan"
    ):
        load_fingerprint_trace(path, dataclasses.replace(TOPICS, wifi="/else"), SETTINGS)


def test_maps_of_two_origins_are_refused(tmp_path: Path) -> None:
    for number, origin in enumerate([(60.0, 24.0), (61.0, 24.0)]):
        write_recording(tmp_path / f"walk_{number}", wifi_walk(length=4), RecordingInfo(origin_lat_lon=origin))
    with pytest.raises(RecordingError, match=r"walk_1: its map has the origin"):
        load_fingerprints([tmp_path / "walk_0", tmp_path / "walk_1"], TOPICS, SETTINGS)
