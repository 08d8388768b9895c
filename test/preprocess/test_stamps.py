from __future__ import annotations

from mail_localization.preprocess.stamps import StampGate, Step


def admit(gate: StampGate[str], *stamps: int) -> list[tuple[Step, int]]:
    return [(step, t) for stamp in stamps for step, t, _ in gate.admit(stamp, "")]


def test_samples_in_order_pass() -> None:
    assert admit(StampGate(100), 1000, 1050, 1150) == [
        (Step.GAP, 1000),
        (Step.CONTINUOUS, 1050),
        (Step.CONTINUOUS, 1150),
    ]


def test_duplicate_and_late_samples_are_refused() -> None:
    gate: StampGate[str] = StampGate(100)
    admit(gate, 1000)
    assert (admit(gate, 1000), gate.verdict) == ([], "duplicate")
    assert (admit(gate, 950), gate.verdict) == ([], "out_of_order")


def test_one_wild_stamp_is_dropped() -> None:
    gate: StampGate[str] = StampGate(100)
    admit(gate, 1000)
    assert admit(gate, 999_999) == []
    assert admit(gate, 1050) == [(Step.CONTINUOUS, 1050)]
    assert gate.verdict == "isolated"
    assert admit(gate, 3) == []
    assert admit(gate, 1100) == [(Step.CONTINUOUS, 1100)]


def test_confirmed_gap_passes_with_the_sample_held_back() -> None:
    gate: StampGate[str] = StampGate(100)
    admit(gate, 1000)
    assert admit(gate, 5000, 5050) == [(Step.GAP, 5000), (Step.CONTINUOUS, 5050)]


def test_confirmed_clock_set_back_passes() -> None:
    gate: StampGate[str] = StampGate(100)
    admit(gate, 5000)
    assert admit(gate, 1000, 1050, 1100) == [(Step.BACK, 1000), (Step.CONTINUOUS, 1050), (Step.CONTINUOUS, 1100)]


def test_two_wild_stamps_far_apart_confirm_nothing() -> None:
    gate: StampGate[str] = StampGate(100)
    admit(gate, 1000)
    assert admit(gate, 50_000, 90_000) == []
    assert admit(gate, 1050) == [(Step.CONTINUOUS, 1050)]
