from __future__ import annotations

from collections import Counter

import pytest

from mail_localization.ros.settings import NodeSettings
from mail_localization.ros.stamping import Stamping

NOW = 1_700_000_000_000_000_000
SECOND = 1_000_000_000


@pytest.fixture
def problems() -> Counter[str]:
    return Counter()


@pytest.fixture
def stamping(problems):
    def make(**settings) -> Stamping:
        given = NodeSettings(**settings)
        return Stamping(lambda: given, problems)

    return make


def test_stamps_of_now_are_kept(stamping, problems) -> None:
    for source in ("auto", "header"):
        assert stamping(stamp_source=source).resolve("imu", NOW - 5, NOW) == NOW - 5
    assert not problems


def test_receive_takes_the_reception(stamping, problems) -> None:
    assert stamping(stamp_source="receive").resolve("imu", 7, NOW) == NOW
    assert not problems


@pytest.mark.parametrize(("source", "expected"), [("auto", NOW), ("receive", NOW), ("header", 0)])
@pytest.mark.parametrize("stamp", [0, -SECOND])
def test_zero_stamp_is_counted_and_replaced_where_the_reception_may_be_used(
    stamping, problems, source: str, expected: int, stamp: int
) -> None:
    assert stamping(stamp_source=source).resolve("imu", stamp, NOW) == expected
    assert problems == {"imu.zero_stamp": 1}


def test_type_without_a_stamp_is_no_fault(stamping, problems) -> None:
    assert stamping(stamp_source="header").resolve("wifi", 0, NOW, stamped=False) == NOW
    assert not problems


def test_sample_without_stamp_and_clock_has_no_time(stamping, problems) -> None:
    assert stamping().resolve("imu", 0, 0) == 0
    assert problems == {"imu.zero_stamp": 1, "imu.dropped_before_clock": 1}


def test_bag_without_clock_keeps_its_stamps(stamping, problems) -> None:
    """A recording of last year, played while the node's clock says now, drops nothing."""
    policy, ago = stamping(max_sensor_age=0.5), 365 * 86400 * SECOND
    for k in range(100):
        now, stamp = NOW + k * SECOND // 50, NOW - ago + k * SECOND // 50
        assert policy.resolve("imu", stamp, now) == stamp
        assert policy.resolve("mag", stamp, now) == stamp
    assert not problems


def test_stream_of_another_clock_is_taken_at_its_reception(stamping, problems) -> None:
    """The magnetometer's microcontroller counts from its start; the IMU's stamps are current."""
    policy, taken = stamping(), []
    for k in range(10):
        now = NOW + k * SECOND // 50
        assert policy.resolve("imu", now - 1, now) == now - 1
        taken.append(policy.resolve("mag", (k + 1) * SECOND // 50, now) == now)
    assert taken == [False, False] + [True] * 8
    assert problems == {"mag.foreign_stamp": 8}
    # As soon as it is set right, its own stamps count again.
    assert policy.resolve("mag", NOW + SECOND, NOW + SECOND) == NOW + SECOND


def test_streams_that_step_together_keep_their_stamps(stamping, problems) -> None:
    """The clock of all sensors is set back by 10 min, a Wi-Fi scan 2 s ago was the last of the old time."""
    policy = stamping()
    for k in range(200):
        now = NOW + k * SECOND // 50
        stamp = now if k < 100 else now - 600 * SECOND
        for stream in ("imu", "mag"):
            assert policy.resolve(stream, stamp, now) == stamp
        if k == 99:
            assert policy.resolve("wifi", now, now) == now
    assert not problems


def test_single_wild_stamp_is_left_to_the_gates(stamping, problems) -> None:
    policy = stamping()
    for k in range(20):
        now = NOW + k * SECOND // 50
        policy.resolve("imu", now, now)
        wild = now + 3600 * SECOND if k == 10 else now
        assert policy.resolve("mag", wild, now) == wild
    assert not problems


def test_node_that_lags_behind_a_fast_replay_keeps_all_stamps(stamping, problems) -> None:
    """/clock runs ahead of the queue; the stamps of both streams recede from it alike, past the minute."""
    policy = stamping()
    for k in range(2000):
        stamp, now = NOW + k * SECOND // 50, NOW + k * SECOND
        for stream in ("imu", "mag"):
            assert policy.resolve(stream, stamp, now) == stamp
    assert not problems


def test_stream_that_waits_in_a_long_queue_keeps_its_stamps(stamping, problems) -> None:
    """500 messages at 20 Hz wait for 25 s on an overloaded node, while another sensor is taken at once."""
    policy = stamping()
    for k in range(50):
        now = NOW + k * SECOND // 20
        assert policy.resolve("mag", now, now) == now
        assert policy.resolve("imu", now - 25 * SECOND, now) == now - 25 * SECOND
    assert not problems


def test_late_samples_are_dropped_and_counted(stamping, problems) -> None:
    policy = stamping(max_sensor_age=0.5)
    assert policy.resolve("imu", NOW - SECOND // 2, NOW) == NOW - SECOND // 2
    assert policy.resolve("imu", NOW - SECOND // 2 - 1, NOW) == 0
    assert policy.resolve("imu", NOW - 3 * SECOND, NOW) == 0
    assert problems == {"imu.late": 2}
