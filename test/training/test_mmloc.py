from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from modal_surveys import modal_walk, scan_at, without_references, write_modal_survey
from surveys import SECOND_NS, START_NS
from walks import write_walks

from mail_localization.data.recording import Recording, RecordingInfo, write_recording
from mail_localization.errors import TrainingError
from mail_localization.localizer import load_localizer
from mail_localization.matching.follower import FollowSettings
from mail_localization.models.artifact import load_model
from mail_localization.training.fill_in import FillInSettings
from mail_localization.training.mmloc import MmlocPlusConfig, read_survey, train, train_on
from mail_localization.training.options import TrainOptions
from mail_localization.training.pretrain import PretrainConfig, pretrain
from mail_localization.types import ImuSample, MagneticSample, PoseEstimate, ReferencePose, Sample, WifiScan

SMALL = {
    "window": {"length": 20},
    "inertial": {"length": 20},
    "network": {
        "inertial_hidden": 8, "inertial_step": 2, "magnetic_hidden": 16, "magnetic_step": 2, "wifi_hidden": [16, 16],
        "fusion_hidden": 16,
    },
    "training": {
        "epochs": 50, "batch": 16, "warmup": 0, "learning_rate": 0.01,
        "augmentation": {"offset": 0.3, "noise": 0.1, "without_mag": 0.5, "unheard": 0.0},
    },
}  # fmt: skip
QUIET = TrainOptions(progress=False)


def config(head: str = "regression", **network: object) -> MmlocPlusConfig:
    changed = {**SMALL, "network": {**SMALL["network"], "head": head, **network}}  # type: ignore[dict-item]
    return MmlocPlusConfig.from_mapping(changed)


@pytest.fixture(scope="module")
def survey(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_modal_survey(tmp_path_factory.mktemp("survey"))


@pytest.fixture(scope="module")
def lstm1(survey: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("pretrained") / "lstm1"
    settings = {"lstm1": {"inertial": {"length": 20}, "hidden": 8, "step": 2}, "training": {"epochs": 2, "batch": 16}}
    pretrain(PretrainConfig.from_mapping(settings), survey, out, QUIET)
    return out


@pytest.fixture(scope="module", params=["regression", "heatmap"])
def model(
    request: pytest.FixtureRequest, survey: list[Path], lstm1: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    out = tmp_path_factory.mktemp("model") / request.param
    # One of them follows the way walked.
    follow = FollowSettings(use="on" if request.param == "heatmap" else "off")
    settings = dataclasses.replace(config(request.param), follow=follow)
    train(settings, survey, out, dataclasses.replace(QUIET, lstm1=lstm1))
    return out


def live(model: Path, samples: list[Sample]) -> list[PoseEstimate]:
    localizer = load_localizer(model)
    return [estimate for sample in samples if (estimate := localizer.add(sample)) is not None]


def error_of(estimates: list[PoseEstimate], speed: float) -> np.ndarray:
    truth = np.array([[speed * (e.t_ns - START_NS) / SECOND_NS, 0.0] for e in estimates])
    return np.linalg.norm(np.array([e.position for e in estimates]) - truth, axis=1)


def test_another_walk_is_located(model: Path) -> None:
    estimates = live(model, without_references(modal_walk(1.05, seconds=28.0, seed=9)))
    assert len(estimates) > 50
    assert error_of(estimates, 1.05).mean() < 2.0
    assert all(np.linalg.eigvalsh(e.covariance).min() > 0 for e in estimates)
    # Calibrated, a point is its own only mode; a map tells of several.
    assert min(len(e.modes) for e in estimates) == 1
    assert (max(len(e.modes) for e in estimates) > 1) == (model.name == "heatmap")


def test_live_and_offline_give_the_same_estimates_and_again_after_a_reset(model: Path) -> None:
    walk = without_references(modal_walk(seconds=20.0, seed=5))
    localizer, one_by_one = load_localizer(model), live(model, walk)
    for _ in range(2):
        offline = list(localizer.localize(walk))
        assert [e.t_ns for e in offline] == [e.t_ns for e in one_by_one]
        # Equal up to the float32 rounding of a batch.
        np.testing.assert_allclose([e.position for e in offline], [e.position for e in one_by_one], atol=1e-3)
        np.testing.assert_allclose([e.covariance for e in offline], [e.covariance for e in one_by_one], rtol=1e-2)
        localizer.reset()


def test_stale_wifi_is_as_none(model: Path) -> None:
    walk = without_references(modal_walk(seconds=12.0))
    stale = without_references(modal_walk(seconds=12.0, wifi_age=60.0))
    none = [s for s in walk if not isinstance(s, WifiScan)]
    np.testing.assert_array_equal([e.position for e in live(model, stale)], [e.position for e in live(model, none)])
    assert len(live(model, none)) > 15


def test_scans_of_a_strange_site_are_as_none(model: Path) -> None:
    walk = [s for s in without_references(modal_walk(seconds=12.0)) if not isinstance(s, WifiScan)]
    strange: list[Sample] = [*walk, *(scan_at(START_NS + k * SECOND_NS, 3.0, prefix="9") for k in range(0, 12, 2))]
    strange.sort(key=lambda sample: sample.t_ns)
    np.testing.assert_array_equal([e.position for e in live(model, strange)], [e.position for e in live(model, walk)])


def test_estimates_go_on_without_the_magnetometer(model: Path) -> None:
    walk = without_references(modal_walk(seconds=20.0))
    torn = [s for s in walk if not (isinstance(s, MagneticSample) and s.t_ns > START_NS + 8 * SECOND_NS)]
    after = [e for e in live(model, torn) if e.t_ns > START_NS + 9 * SECOND_NS]
    assert len(after) >= 20
    assert error_of(after, 1.0).mean() < 5.0


def test_wifi_alone_is_enough(model: Path) -> None:
    scans: list[Sample] = [scan_at(START_NS + k * 3 * SECOND_NS, 3.0 * k) for k in range(8)]
    estimates = live(model, scans)
    assert len(estimates) == 8
    assert error_of(estimates, 1.0).mean() < 5.0


def test_inertial_sensors_alone_give_no_estimate(model: Path) -> None:
    walk = without_references(modal_walk(seconds=10.0))
    assert live(model, [s for s in walk if isinstance(s, ImuSample)]) == []


def test_bad_samples_are_counted_and_never_raise(model: Path) -> None:
    walk, localizer = without_references(modal_walk(seconds=10.0)), load_localizer(model)
    bad = float("nan")
    torn: list[Sample] = []
    for k, sample in enumerate(walk):
        torn += [sample, walk[max(k - 9, 0)]] if k % 7 == 0 else [sample]
    torn[100:100] = [
        MagneticSample(0, (1e-5, 0.0, 0.0)), MagneticSample(START_NS, (bad, 0.0, 0.0)),
        ImuSample(START_NS, (bad, 0.0, 0.0), (0.0, 0.0, 0.0)), WifiScan(START_NS + 10**9, ()),
    ]  # fmt: skip
    estimates = [e for s in torn if (e := localizer.add(s)) is not None]
    assert [e.t_ns for e in estimates] == [e.t_ns for e in live(model, walk)]
    assert localizer.counters["mag.non_finite"] == localizer.counters["imu.non_finite"] == 1
    assert localizer.counters["mag.out_of_order"] + localizer.counters["mag.duplicate"] > 5


def test_wild_values_give_no_wild_estimate(model: Path) -> None:
    walk = without_references(modal_walk(seconds=10.0))
    torn = [dataclasses.replace(s, acceleration=(1e300, 0.0, 9.8)) if isinstance(s, ImuSample) else s for s in walk]
    estimates = live(model, torn)
    assert len(estimates) > 15
    assert np.isfinite([e.position for e in estimates]).all()


def test_frozen_lstm1_is_kept_and_a_trained_one_is_not(survey: list[Path], lstm1: Path, tmp_path: Path) -> None:
    given = load_model(lstm1)[1]["lstm1.lstm.weight_hh_l0"]
    few = dataclasses.replace(config().training, epochs=2)
    for adapt, kept in (("freeze", True), ("fine_tune", False), ("scratch", False)):
        settings = dataclasses.replace(config(adapt=adapt), training=few)
        train(settings, survey, tmp_path / adapt, dataclasses.replace(QUIET, lstm1=lstm1))
        after = load_model(tmp_path / adapt)[1]["network.lstm1.lstm.weight_hh_l0"]
        assert np.array_equal(after, given) == kept, adapt


def test_model_without_wifi_reads_none(survey: list[Path], tmp_path: Path) -> None:
    settings = MmlocPlusConfig.from_mapping(
        {**SMALL, "modalities": ["imu", "mag"], "training": {"epochs": 2, "batch": 16}}
    )
    train(settings, survey, tmp_path / "model", QUIET)
    assert load_localizer(tmp_path / "model").inputs == {"imu", "mag"}
    assert load_model(tmp_path / "model")[0].access_points == []


def test_missing_modality_is_one_clear_line(tmp_path: Path) -> None:
    paths = write_modal_survey(tmp_path, streams=("imu", "mag"))
    with pytest.raises(TrainingError, match=r"walk_0.*'/wifi/scan' \(topics\.wifi\).* leave wifi out of it"):
        train(config(), paths, tmp_path / "model", QUIET)


def test_no_access_point_is_one_clear_line(tmp_path: Path) -> None:
    paths = write_modal_survey(tmp_path, wifi_age=60.0)
    with pytest.raises(TrainingError, match=r"walk_0.*no access point was heard in wifi\.min_fingerprints"):
        train(config(), paths, tmp_path / "model", QUIET)


def test_one_recording_cannot_be_split(survey: list[Path], tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="one recording cannot be split"):
        train(config(), survey[:1], tmp_path / "model", QUIET)


def test_lstm1_of_another_rate_is_refused(survey: list[Path], lstm1: Path, tmp_path: Path) -> None:
    settings = MmlocPlusConfig.from_mapping({**SMALL, "window": {"rate_hz": 20.0, "length": 20}})
    with pytest.raises(TrainingError, match=r"pretrained at lstm1\.rate_hz 10\.0, window\.rate_hz is 20\.0"):
        train(settings, survey, tmp_path / "model", dataclasses.replace(QUIET, lstm1=lstm1))


def test_part_of_a_survey_is_labelled_while_the_sensors_run_on(survey: list[Path], tmp_path: Path) -> None:
    settings = dataclasses.replace(config(), training=dataclasses.replace(config().training, epochs=2))
    stretches = {survey[0]: [(START_NS + 5 * SECOND_NS, START_NS + 12 * SECOND_NS)]}
    whole = read_survey(settings, survey[:2], dataclasses.replace(QUIET, validation=(survey[2],)))
    part = whole.within(stretches)
    [trace] = part.training
    x = trace.positions[:, 0] / 0.9
    assert 5.0 <= x.min() < 5.6
    assert 11.4 < x.max() < 12.0
    # The phone was on before: a window looks back over the way there.
    assert all(window.mag is not None and window.imu is not None for window in trace.windows)
    assert len(trace.windows) == part.labels < whole.labels
    # What was heard elsewhere is not of the survey.
    assert 0 < len(trace.scans) < len(whole.training[0].scans)
    assert (trace.heard_at[:, 0] / 0.9 >= 5.0).all()
    assert (trace.heard_at[:, 0] / 0.9 < 12.0).all()
    assert trace.content_hash != whole.training[0].content_hash
    # Weights are chosen where the survey was; the errors told are those of the whole validation recording.
    train_on(settings, part, {}, tmp_path / "model", QUIET)
    card, _ = load_model(tmp_path / "model")
    assert card.metrics["held_out"]["windows"] > 3 * len(x)


def test_a_survey_with_far_marks_is_filled_in_where_that_is_asked_for(tmp_path: Path) -> None:
    close = write_walks(tmp_path)
    far = [tmp_path / f"far_{number}" for number in range(len(close))]
    for path, thin in zip(close, far, strict=True):
        recording = Recording(path)
        marks = recording.reference()
        poses = [
            ReferencePose(t, *place) for t, place in zip(marks.t_ns.tolist(), marks.position.tolist(), strict=True)
        ]
        write_recording(thin, [*recording.samples(), *poses[:10], *poses[-10:]], RecordingInfo(site="test"))
    fill_in = FillInSettings(use=True, longest=10.0)
    settings = config()
    settings = dataclasses.replace(
        settings, modalities=("imu", "mag"), follow=FollowSettings(use="off"),
        training=dataclasses.replace(settings.training, epochs=1, fill_in=fill_in),
    )  # fmt: skip
    for recordings, changes in ((close, False), (far, True)):
        out = tmp_path / f"model_{changes}"
        options = dataclasses.replace(QUIET, validation=(recordings[2],))
        train(settings, recordings[:2], out, options)
        [learnt, *_] = load_model(out)[0].training_recordings
        straight = read_survey(settings, recordings[:2], options).training[0]
        assert (learnt["hash"] != straight.content_hash) == changes


def test_shipped_config_is_read() -> None:
    shipped = MmlocPlusConfig.from_yaml(Path(__file__).parents[2] / "config" / "mmloc_plus.yaml")
    assert shipped.network.head == "heatmap"
