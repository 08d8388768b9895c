"""Training the method mmloc_plus."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch

from mail_localization.config import Settings, group
from mail_localization.data.modal_traces import (
    ModalTrace,
    Stretches,
    gather_access_points,
    load_modal_traces,
    require_modalities,
)
from mail_localization.data.recording import Topics
from mail_localization.data.splits import hold_out, separated, warn_if_unvisited
from mail_localization.errors import TrainingError
from mail_localization.models.artifact import Tensors, save_model
from mail_localization.models.heatmap import surveyed_cells
from mail_localization.models.heatmap_head import HeatmapHead
from mail_localization.models.mmloc import MmlocPlus, predictor_of
from mail_localization.models.mmloc_localizer import METHOD, MmlocLocalizer, MmlocPredictor
from mail_localization.models.mmloc_settings import NETWORK, MmlocModelConfig
from mail_localization.models.regressor import state
from mail_localization.motion.tracker import MotionCalibration
from mail_localization.preprocess.modal_batch import ModalFrontEnd
from mail_localization.preprocess.wifi import AccessPoints
from mail_localization.training.fill_in import filled_in, thin_parts
from mail_localization.training.follow import NetworkWalk, best_follow
from mail_localization.training.loop import Limits, fit, held_out_errors
from mail_localization.training.modal_errors import covariances_by_modality
from mail_localization.training.modal_examples import ModalExamples, ModalTrainingSettings
from mail_localization.training.motion import calibrate_motion
from mail_localization.training.options import TrainOptions
from mail_localization.training.pretrain import load_lstm1
from mail_localization.training.probe import calibrated
from mail_localization.training.provenance import model_card, recording_entries
from mail_localization.training.windowed import (
    make_folder,
    run_identity,
    training_device,
    warn_if_no_better_than_a_guess,
)
from mail_localization.types import FloatArray


class MmlocPlusConfig(MmlocModelConfig):
    """Configuration of method mmloc_plus."""

    training: ModalTrainingSettings = group(ModalTrainingSettings)


CONFIG = MmlocPlusConfig
S = TypeVar("S", bound=Settings)


@dataclass(frozen=True)
class Survey:
    """Recordings as they are trained on."""

    training: list[ModalTrace]
    validation: list[ModalTrace]
    """What tells the errors."""
    parts: Mapping[Path, Stretches] | None = None
    """Stretches of the training recordings that have references; None: all of them."""
    partial: bool = False
    """Whether there are no labels but in the parts: most places of the held-out recordings are unknown then."""

    def within(self, stretches: Mapping[Path, Stretches]) -> Survey:
        """Return the survey with labels in these stretches of the training recordings alone."""
        training = [trace.within(stretches[trace.path]) for trace in self.training if trace.path in stretches]
        return Survey(training, self.validation, stretches, partial=True)

    def filled_in(self, stretches: Mapping[Path, Stretches], config: MmlocPlusConfig, topics: Topics) -> Survey:
        """Return the survey with the references in these stretches alone, and labels reckoned between them."""
        training = [trace for trace in self.training if trace.path in stretches]
        labels = filled_in(training, stretches, config.follow.motion, config.training.fill_in, topics)
        return Survey(labels, self.validation, stretches)

    @property
    def labels(self) -> int:
        """Windows to train on."""
        return sum(len(trace.windows) for trace in self.training)


def train(config: MmlocPlusConfig, recordings: list[Path], out: Path, options: TrainOptions) -> None:
    """Train on recordings and write the model folder; the covariances are those of the errors on held-out recordings.

    Raises:
        TrainingError: too few recordings, none long enough, a modality missing in all of them, no access point, or
            `out` holds the checkpoint of another run.
        ModelError: `--lstm1` is no folder made by pretrain.
    """
    config, lstm1 = with_lstm1(config, options.lstm1)
    make_folder(out)
    survey = read_survey(config, recordings, options)
    fill_in = config.training.fill_in
    if fill_in.use and (parts := thin_parts({trace.path: trace.reference for trace in survey.training}, fill_in)):
        survey = survey.filled_in(parts, config, options.topics)
    train_on(config, survey, lstm1, out, options)


def changed(settings: S, **values: object) -> S:
    """Return settings with other values."""
    return dataclasses.replace(settings, **values)  # type: ignore[type-var]


def with_lstm1(config: MmlocPlusConfig, folder: Path | None) -> tuple[MmlocPlusConfig, Tensors]:
    """Return the configuration with what a pretrained LSTM1 fixes, and its tensors; none without a folder."""
    if folder is None:
        # There is nothing to freeze.
        return changed(config, network=changed(config.network, adapt="scratch")), {}
    settings, tensors = load_lstm1(folder)
    if settings.rate_hz != config.window.rate_hz:
        raise TrainingError(
            f"{folder}: LSTM1 was pretrained at lstm1.rate_hz {settings.rate_hz}, window.rate_hz is "
            f"{config.window.rate_hz}; give both the same"
        )
    if "imu" not in config.modalities:
        raise TrainingError(f"{folder}: LSTM1 is of no use without imu among the modalities; add it, or drop --lstm1")
    network = changed(config.network, inertial_hidden=settings.hidden, inertial_step=settings.step)
    return changed(config, network=network, inertial=settings.inertial), tensors


def read_survey(config: MmlocPlusConfig, recordings: list[Path], options: TrainOptions) -> Survey:
    """Read recordings, those given for validation or a share of the others held out."""
    surveyed, held_out = separated(recordings, options.validation)
    settings = changed(config, window=changed(config.window, hop=config.training.hop))
    traces = load_modal_traces([*surveyed, *held_out], options.topics, settings, options.progress, cache=options.cache)
    require_modalities(traces, options.topics, config.modalities)
    training, validation = traces[: len(surveyed)], traces[len(surveyed) :]
    if validation:
        warn_if_unvisited(training, validation)
    else:
        training, validation = hold_out(training, config.training.validation_share, options.seed)
    return Survey(training, validation)


def train_on(config: MmlocPlusConfig, survey: Survey, lstm1: Tensors, out: Path, options: TrainOptions) -> None:
    """Train the network on recordings that are read already, and write the model folder."""
    device = training_device(options)
    access_points = _access_points(config, survey)
    front_end = ModalFrontEnd(config, access_points, config.network.representation)
    examples, validation = (_examples(part, config, front_end) for part in (survey.training, survey.validation))

    torch.manual_seed(options.seed)
    model = _network(config, examples, len(access_points) if access_points is not None else 0, lstm1)
    if config.network.adapt == "freeze":
        examples, validation = (_with_features(part, model) for part in (examples, validation))
    limits = Limits(options.max_minutes or config.training.max_minutes, options.progress)
    run = run_identity(config, recording_entries(survey.training, survey.validation), options.seed)
    run["lstm1"] = _hash(lstm1)
    # Most places of whole recordings are unknown to a part of a survey: their errors would choose weights that always
    # say the survey's middle.
    selection = examples if survey.partial else validation
    result = fit(
        model.to(device), examples, selection, config.training, seed=options.seed, out=out, run=run, limits=limits
    )
    errors = result.errors
    if selection is not validation:
        errors = held_out_errors(model, validation, config.training.batch)
    warn_if_no_better_than_a_guess(errors, validation.positions, examples.positions)
    tensors = {f"{NETWORK}{name}": value.numpy() for name, value in result.weights.items()}
    model.cpu().load_state_dict(result.weights)
    covariances = covariances_by_modality(model, validation, errors)
    predictor = predictor_of(model, covariances)
    config, calibration, errors = _followed(config, front_end, predictor, survey, errors, options)
    done = result.progress
    card = model_card(
        METHOD, config, errors, survey.training, survey.validation, options.seed,
        access_points.names if access_points is not None else (),
        epochs=done.epoch, best_epoch=done.best_epoch, minutes=round(done.minutes, 2),
    )  # fmt: skip
    tensors |= {**calibration.to_tensors(), "covariances": covariances}
    tensors |= access_points.tensors() if access_points is not None else {}
    save_model(out, calibrated(card, tensors, [trace.path for trace in survey.validation], options), tensors)


def _followed(
    config: MmlocPlusConfig, front_end: ModalFrontEnd, predictor: MmlocPredictor, survey: Survey, errors: FloatArray,
    options: TrainOptions,
) -> tuple[MmlocPlusConfig, MotionCalibration, FloatArray]:  # fmt: skip
    """Return the configuration with `follow` decided, how the target moves, and the errors on held-out recordings."""
    follow = config.follow
    if follow.use == "off" or (follow.use == "auto" and "imu" not in config.modalities):
        return changed(config, follow=changed(follow, use="off")), MotionCalibration(), errors
    surveyed = [trace.path for trace in survey.training]
    motion, calibration = calibrate_motion(surveyed, follow.motion, options.topics, survey.parts)
    told = changed(config, follow=changed(follow, motion=motion))
    localizer = MmlocLocalizer(told, front_end, predictor, calibration)
    walks = [NetworkWalk.read(localizer, trace.path, options.topics) for trace in survey.validation]
    best, followed = best_follow(walks, localizer.scores, told.follow, calibration)
    return changed(told, follow=best), calibration, followed if best.use == "on" else errors


def _access_points(config: MmlocPlusConfig, survey: Survey) -> AccessPoints | None:
    if "wifi" not in config.modalities:
        return None
    access_points = gather_access_points(survey.training, config)
    if not len(access_points):
        raise TrainingError(
            f"{', '.join(str(trace.path) for trace in survey.training)}: no access point was heard in "
            f"wifi.min_fingerprints = {config.wifi.min_fingerprints} scans; survey longer, lower it, or leave wifi out "
            "of modalities"
        )
    return access_points


def _examples(traces: Sequence[ModalTrace], config: MmlocPlusConfig, front_end: ModalFrontEnd) -> ModalExamples:
    told = [np.array([front_end.tells_a_place(window) for window in trace.windows], dtype=bool) for trace in traces]
    if not any(kept.any() for kept in told):
        seconds = config.window.length / config.window.rate_hz
        raise TrainingError(
            f"{', '.join(str(trace.path) for trace in traces)}: no unbroken {seconds:.1f} s of magnetic samples and no "
            "fresh Wi-Fi scan between two references; record longer walks, or lower window.length"
        )
    labels = np.concatenate([trace.positions[kept] for trace, kept in zip(traces, told, strict=True)])
    columns = front_end.columns([trace.windows.select(kept) for trace, kept in zip(traces, told, strict=True)])
    return ModalExamples(columns, labels, front_end, config.training.augmentation)


def _network(config: MmlocPlusConfig, examples: ModalExamples, access_points: int, lstm1: Tensors) -> MmlocPlus:
    """Return the network with the survey's statistics and, where it is used, the given LSTM1."""
    cells = surveyed_cells(examples.positions, config.network.heatmap.cell)
    model = MmlocPlus(config.network, config.modalities, access_points, len(cells))
    model.set_positions(examples.positions)
    if isinstance(model.head, HeatmapHead):
        model.head.set_cells(cells)
    which = np.unique(np.linspace(0, len(examples) - 1, min(2000, len(examples))).astype(np.int64))
    imu, mag, _, mask = examples.plain(which)
    for name, sequences, there in (("lstm1", imu, mask[:, 0] > 0), ("lstm2", mag, mask[:, 1] > 0)):
        if hasattr(model, name) and there.any():
            getattr(model, name).set_inputs(torch.from_numpy(sequences[there]))
    if lstm1 and config.network.adapt != "scratch":
        model.lstm1.load_state_dict(state(lstm1))
        model.lstm1.requires_grad_(config.network.adapt == "fine_tune")
    return model


def _with_features(examples: ModalExamples, model: MmlocPlus) -> ModalExamples:
    """Replace inertial windows by what the frozen LSTM1 makes of them: once, not in every epoch."""
    with torch.no_grad():
        parts = [
            model.lstm1(torch.from_numpy(examples.columns.imu[part])).numpy()
            for part in np.array_split(np.arange(len(examples)), 1 + len(examples) // 512)
        ]
    return dataclasses.replace(examples, columns=dataclasses.replace(examples.columns, imu=np.concatenate(parts)))


def _hash(tensors: Tensors) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(name.encode() + np.ascontiguousarray(tensors[name]).tobytes())
    return digest.hexdigest() if tensors else ""
