from __future__ import annotations

import math

import numpy as np
import pytest

from mail_localization.preprocess.access_points import survey_access_points
from mail_localization.preprocess.wifi import (
    AccessPoints,
    WifiMemory,
    WifiSettings,
    locally_administered,
    representation,
)
from mail_localization.types import WifiReading, WifiScan

T0 = 1_700_000_000_000_000_000
SECOND = 1_000_000_000


def scan(seconds: float, *readings: tuple[str, float] | tuple[str, float, float]) -> WifiScan:
    return WifiScan(T0 + round(seconds * SECOND), tuple(WifiReading(*reading) for reading in readings))


def at(seconds: float) -> int:
    return T0 + round(seconds * SECOND)


def test_stale_results_are_missing() -> None:
    memory = WifiMemory(WifiSettings(max_age=4.0))
    assert memory.add(scan(0, ("a", -50.0, 0.5), ("b", -60.0, 30.0))) == at(0)
    assert memory.heard(at(0)) == {"a": -50.0}
    assert memory.age(at(0)) == pytest.approx(0.5)


def test_results_grow_old_in_memory() -> None:
    memory = WifiMemory(WifiSettings(max_age=4.0))
    memory.add(scan(0, ("a", -50.0)))
    memory.add(scan(3, ("b", -60.0)))
    assert memory.heard(at(3)) == {"a": -50.0, "b": -60.0}
    assert memory.heard(at(4.5)) == {"b": -60.0}


def test_scan_of_stale_results_alone_is_refused() -> None:
    memory = WifiMemory(WifiSettings(max_age=4.0))
    assert memory.add(scan(0, ("a", -50.0, 60.0))) is None
    assert memory.counters == {"wifi.stale": 1}


def test_age_beyond_all_stamps_is_stale() -> None:
    memory = WifiMemory(WifiSettings())
    assert memory.add(scan(100, ("a", -50.0, 1e300))) is None
    assert memory.counters["wifi.stale"] == 1


def test_memory_is_bounded() -> None:
    memory = WifiMemory(WifiSettings())
    for k in range(20):
        memory.add(scan(100 + k / 100, *((f"{k}-{n}", -50.0) for n in range(1000))))
    heard = memory.heard(at(101))
    assert 1000 <= len(heard) <= 4096
    assert "19-999" in heard


def test_older_result_does_not_replace_a_newer_one() -> None:
    memory = WifiMemory(WifiSettings(max_age=4.0))
    memory.add(scan(0, ("a", -50.0)))
    memory.add(scan(1, ("a", -80.0, 3.0), ("b", -60.0)))
    assert memory.heard(at(1))["a"] == -50.0


def test_cached_scan_does_not_make_results_young() -> None:
    levels = [(name, -50.0 - k) for k, name in enumerate("abcde")]
    memory = WifiMemory(WifiSettings(max_age=4.0, cached_readings=5))
    memory.add(scan(0, *levels))
    assert memory.add(scan(3, *levels)) is None
    assert memory.counters == {"wifi.cached": 1}
    assert memory.heard(at(5)) == {}


def test_few_equal_results_are_no_cached_scan() -> None:
    memory = WifiMemory(WifiSettings(cached_readings=5))
    memory.add(scan(0, ("a", -50.0)))
    assert memory.add(scan(3, ("a", -50.0))) is not None


def test_refused_scans_and_results_are_counted() -> None:
    memory = WifiMemory(WifiSettings())
    assert memory.add(scan(10, ("a", -50.0), ("b", math.nan), ("c", -50.0, math.inf), ("d", 0.0))) is not None
    assert memory.add(scan(10, ("a", -51.0))) is None
    assert memory.add(scan(8, ("a", -52.0))) is None
    assert memory.heard(at(10)) == {"a": -50.0}
    assert memory.counters == {"wifi.non_finite": 2, "wifi.duplicate": 1, "wifi.out_of_order": 1}


def test_clock_set_back_starts_anew() -> None:
    memory = WifiMemory(WifiSettings())
    memory.add(scan(100, ("a", -50.0)))
    assert memory.add(scan(0, ("b", -60.0))) is None
    assert memory.add(scan(2, ("c", -60.0))) == at(2)
    assert memory.heard(at(2)) == {"b": -60.0, "c": -60.0}
    assert memory.counters == {"wifi.clock_set_back": 1}


def test_gap_of_minutes_needs_no_second_scan() -> None:
    memory = WifiMemory(WifiSettings())
    memory.add(scan(0, ("a", -50.0)))
    assert memory.add(scan(300, ("b", -50.0))) == at(300)
    assert memory.heard(at(300)) == {"b": -50.0}


def test_locally_administered_addresses_are_dropped_when_asked() -> None:
    assert locally_administered("da:a1:19:00:00:01")
    assert not locally_administered("00:a1:19:00:00:01")
    assert not locally_administered("hidden")
    memory = WifiMemory(WifiSettings(drop_randomised=True))
    memory.add(scan(0, ("da:a1:19:00:00:01", -50.0), ("00:a1:19:00:00:01", -60.0)))
    assert list(memory.heard(at(0))) == ["00:a1:19:00:00:01"]


def test_survey_knows_where_access_points_are_heard() -> None:
    scans = [{"a": -60.0}, {"a": -60.0, "b": -70.0}, {"a": -60.0}]
    positions = np.array([[0.0, 0.0], [3.0, 0.0], [6.0, 0.0]])
    found = survey_access_points(scans, positions, WifiSettings(min_fingerprints=2))
    assert found.names == ["a"]
    assert found.location == pytest.approx(np.array([[3.0, 0.0]]))
    assert found.spread == pytest.approx([math.sqrt(6.0)])


def test_access_point_heard_far_apart_is_left_out_when_asked() -> None:
    scans = [{"still": -50.0, "moved": -50.0}, {"still": -60.0}, {"moved": -50.0}]
    positions = np.array([[0.0, 0.0], [5.0, 0.0], [100.0, 0.0]])
    settings = WifiSettings(min_fingerprints=2, max_spread=20.0)
    assert survey_access_points(scans, positions, settings).names == ["still"]


def test_twins_share_a_column() -> None:
    """2.4 and 5 GHz radios of one box, 6 dB apart, and a stranger whose address differs in the last digit too."""
    rng = np.random.default_rng(0)
    levels = rng.uniform(-80, -50, 20)
    strange = rng.uniform(-80, -50, 20)
    box, twin, other = "00:11:22:33:44:50", "00:11:22:33:44:51", "00:11:22:33:44:52"
    scans = [{box: a, twin: a - 6.0, other: b} for a, b in zip(levels, strange, strict=True)]
    found = survey_access_points(scans, np.zeros((20, 2)), WifiSettings(merge_twins=True))
    assert found.names == [box, other]
    assert found.vector({box: -50.0, twin: -60.0}).tolist()[0] == pytest.approx((-50.0 - 54.0) / 2)
    assert found.vector({twin: -60.0})[0] == pytest.approx(-54.0)
    apart = survey_access_points(scans, np.zeros((20, 2)), WifiSettings(merge_twins=False))
    assert len(apart) == 3


def test_unknown_access_points_are_ignored() -> None:
    known = survey_access_points([{"a": -50.0}] * 3, np.zeros((3, 2)), WifiSettings())
    memory = WifiMemory(WifiSettings(), known)
    memory.add(scan(0, ("stranger", -40.0)))
    assert memory.vector(at(0)) is None
    memory.add(scan(1, ("a", -55.0)))
    rssi, weights = memory.vector(at(1)) or (None, None)
    assert rssi is not None and rssi.tolist() == [-55.0]
    assert weights is not None and weights.tolist() == [1.0]


def test_access_points_pass_through_tensors() -> None:
    scans = [{"00:11:22:33:44:50": -50.0, "0a:b": -60.0}] * 3
    known = survey_access_points(scans, np.arange(6.0).reshape(3, 2), WifiSettings())
    again = AccessPoints.from_tensors(known.tensors())
    assert again.addresses == known.addresses
    assert again.names == known.names
    for name in ("columns", "offsets", "location", "spread", "reach"):
        assert np.array_equal(getattr(again, name), getattr(known, name))
    none = survey_access_points([], np.empty((0, 2)), WifiSettings())
    assert len(AccessPoints.from_tensors(none.tensors())) == 0


@pytest.mark.parametrize("kind", ["positive", "exponential", "powed"])
def test_representation_is_0_unheard_and_rises_with_the_level(kind: str) -> None:
    values = representation(np.array([np.nan, -120.0, -100.0, -60.0, 0.0]), kind)
    assert values.dtype == np.float32
    assert values[0] == values[1] == 0.0
    assert 0.0 < values[2] < values[3] < values[4] == pytest.approx(1.0)
