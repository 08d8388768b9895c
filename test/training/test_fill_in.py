from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from surveys import START_NS, write_survey
from walks import write_walks

from mail_localization.data.modal_traces import ModalTrace, Stretches, load_modal_traces
from mail_localization.data.recording import Topics
from mail_localization.data.reference import Reference
from mail_localization.errors import TrainingError
from mail_localization.motion.tracker import MotionSettings
from mail_localization.preprocess.modalities import ModalitySettings, ModalWindowSettings
from mail_localization.training.fill_in import FillInSettings, filled_in, thin_parts

SECOND_NS = 1_000_000_000
WINDOWS = ModalitySettings(modalities=("mag",), window=ModalWindowSettings(rate_hz=10.0, length=10, hop=5))
FILL = FillInSettings(use=True)


@pytest.fixture(scope="module")
def traces(tmp_path_factory: pytest.TempPathFactory) -> list[ModalTrace]:
    """Three walks of some 30 s along the sides of a square, with references all the way."""
    paths = write_walks(tmp_path_factory.mktemp("walks"))
    return load_modal_traces(paths, Topics(), WINDOWS)


def ends(trace: ModalTrace, seconds: float) -> Stretches:
    """Return so many seconds at the beginning and at the end of a walk."""
    reference, span = trace.reference, round(seconds * SECOND_NS)
    return [(reference.start_ns, reference.start_ns + span), (reference.end_ns - span, reference.end_ns + 1)]


def thin_reference(trace: ModalTrace, parts: Stretches, elsewhere: float = np.nan) -> Reference:
    """Return the references of some parts alone, or those between moved by so many metres."""
    t_ns, position = trace.reference.t_ns, trace.reference.position
    # The references next to a part are those that its ends are interpolated to.
    near = np.array([any(a - SECOND_NS < t < b + SECOND_NS for a, b in parts) for t in t_ns.tolist()])
    if np.isnan(elsewhere):
        return Reference(t_ns[near], position[near])
    return Reference(t_ns, position + np.where(near, 0.0, elsewhere)[:, None])


def filled(traces: list[ModalTrace], parts: dict[Path, Stretches], settings: FillInSettings = FILL) -> list[ModalTrace]:
    return filled_in(traces, parts, MotionSettings(), settings, Topics())


def stamps(trace: ModalTrace) -> np.ndarray:
    return np.array([window.t_ns for window in trace.windows], dtype=np.int64)


def off(trace: ModalTrace, truth: ModalTrace) -> np.ndarray:
    """Return how far the labels are from where the target was, m."""
    return np.linalg.norm(trace.positions - truth.reference.at(stamps(trace)), axis=1)


def test_a_gap_is_filled_in(traces: list[ModalTrace]) -> None:
    parts = {trace.path: ends(trace, 5.0) for trace in traces}
    for made, trace in zip(filled(traces, parts), traces, strict=True):
        thin = trace.within(parts[trace.path])
        assert len(made.windows) == len(trace.windows) > 1.5 * len(thin.windows)
        assert off(made, trace).max() < 1.5, "round two corners of the square"
        told = np.isin(stamps(made), stamps(thin))
        assert (made.positions[told] == thin.positions).all(), "references stay as they are"
        straight = thin_reference(trace, parts[trace.path]).at(stamps(trace))
        assert np.linalg.norm(straight - trace.positions, axis=1).max() > 3.0, "a straight line cuts corners"


def test_nothing_unsure_is_a_label(traces: list[ModalTrace]) -> None:
    parts = {trace.path: ends(trace, 5.0)[:1] for trace in traces}
    lengths = []
    for max_stddev in (0.1, 2.0, 3.0, 100.0):
        made = filled(traces, parts, FillInSettings(use=True, max_stddev=max_stddev))
        lengths.append(sum(len(trace.windows) for trace in made))
    assert lengths[0] == sum(len(trace.within(parts[trace.path]).windows) for trace in traces)
    assert lengths[0] < lengths[1] < lengths[2] < lengths[3] == sum(len(trace.windows) for trace in traces)


def test_labels_do_not_depend_on_references_that_are_not_given(traces: list[ModalTrace]) -> None:
    parts = {trace.path: ends(trace, 5.0) for trace in traces}
    elsewhere = [
        dataclasses.replace(trace, reference=thin_reference(trace, parts[trace.path], 50.0)) for trace in traces
    ]
    for made, other in zip(filled(traces, parts), filled(elsewhere, parts), strict=True):
        assert other.positions == pytest.approx(made.positions)


def test_scans_get_places_too(traces: list[ModalTrace]) -> None:
    trace = traces[0]
    middle = (trace.reference.start_ns + trace.reference.end_ns) // 2
    heard = dataclasses.replace(
        trace, scans=[{"00:00:00:00:00:01": -50.0}], received_ns=np.array([middle]), heard_at=np.zeros((1, 2))
    )
    made = filled([heard, *traces[1:]], {t.path: ends(t, 5.0) for t in traces})[0]
    assert made.heard_at == pytest.approx(trace.reference.at(np.array([middle])), abs=1.5)
    assert len(made.scans) == 1
    assert len(heard.within(ends(trace, 5.0)).scans) == 0


def test_references_that_follow_closely_leave_no_gap() -> None:
    close = Reference(START_NS + SECOND_NS * np.array([0, 20, 40], dtype=np.int64), np.zeros((3, 2)))
    far = Reference(START_NS + SECOND_NS * np.array([0, 20, 80, 100, 200], dtype=np.int64), np.zeros((5, 2)))
    assert thin_parts({Path("a"): close}, FILL) is None
    parts = thin_parts({Path("a"): close, Path("b"): far}, FILL)
    assert parts is not None
    seconds = {p: [tuple((t - START_NS) // SECOND_NS for t in part) for part in parts[p]] for p in parts}
    assert seconds == {Path("a"): [(0, 40)], Path("b"): [(0, 20), (80, 100), (200, 200)]}


def test_a_survey_without_motion_cannot_be_filled_in(tmp_path: Path) -> None:
    paths = write_survey(tmp_path, speeds=(1.0, 1.2))
    traces = load_modal_traces(paths, Topics(), WINDOWS)
    with pytest.raises(TrainingError, match=r"walk_1: training.fill_in.use is on, but neither steps nor odometry"):
        filled(traces, {trace.path: ends(trace, 5.0) for trace in traces})
