"""Pretraining LSTM1 of MMLoc+ on any recordings that have an IMU and references, of several sites and devices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from mail_localization.config import Settings, group, setting
from mail_localization.data.modal_traces import ModalTrace, load_modal_traces, require_modalities
from mail_localization.data.splits import hold_out, separated
from mail_localization.errors import ModelError, TrainingError
from mail_localization.models.artifact import load_model, reading_tensors, save_model
from mail_localization.models.lstm1 import METHOD, Lstm1Pretext, Lstm1Settings, lstm1_part
from mail_localization.preprocess.modalities import ModalitySettings, ModalWindowSettings, inertial_features
from mail_localization.preprocess.window_table import RowWindows, joined
from mail_localization.training.loop import Limits, TrainingSettings, fit
from mail_localization.training.options import TrainOptions
from mail_localization.training.provenance import model_card, recording_entries
from mail_localization.training.windowed import make_folder, run_identity, training_device
from mail_localization.types import FloatArray

Float32 = npt.NDArray[np.float32]
Indices = npt.NDArray[np.int64]

_HEADING_STRIDE_NS = 200_000_000
_MOVED = 0.3
"""Way after which the direction of travel counts as known, m."""


class PretrainTraining(TrainingSettings):
    """How LSTM1 is trained."""

    batch: int = setting(256, "windows in a batch", minimum=1)
    learning_rate: float = setting(0.003, "initial learning rate of Adam", minimum=1e-8, maximum=10.0)
    epochs: int = setting(60, "most passes over the training windows", minimum=1)
    max_minutes: float = setting(10.0, "wall time after which training stops with the best model", minimum=0.01)
    hop: int = setting(5, "samples between the ends of training windows", minimum=1)
    patience: int = setting(5, "epochs without a better validation error before a decay", minimum=1)
    stop_after: int = setting(3, "decays without a better validation error after which training stops", minimum=1)


class PretrainConfig(Settings):
    """Configuration of the command pretrain."""

    pretext: str = setting(
        "displacement",
        "displacement: over the window, seen from the direction of travel at its start; position: as in MM-Loc",
        choices=("displacement", "position"),
    )
    lstm1: Lstm1Settings = group(Lstm1Settings)
    rotate: bool = setting(True, "turn levelled windows about the vertical at random: a case is held in any direction")
    training: PretrainTraining = group(PretrainTraining)

    @property
    def windows(self) -> ModalitySettings:
        """Settings of the inertial windows."""
        window = ModalWindowSettings(
            rate_hz=self.lstm1.rate_hz, length=self.lstm1.inertial.length, hop=self.training.hop
        )
        return ModalitySettings(modalities=("imu",), window=window, inertial=self.lstm1.inertial)


@dataclass(frozen=True, eq=False)
class InertialExamples:
    """Inertial windows with what the pretext task asks for."""

    imu: RowWindows[np.float32]
    """(n, N, 6) windows"""
    positions: FloatArray
    """(n, 2) target, m."""
    rotate: bool

    def __len__(self) -> int:
        return len(self.positions)

    def plain(self, which: Indices) -> tuple[Float32]:
        """Return some windows (b, N, 6)."""
        return (self.imu[which],)

    def augmented(self, which: Indices, rng: np.random.Generator) -> tuple[Float32]:
        """Return some windows (b, N, 6) of a sensor whose case points elsewhere."""
        imu = self.imu[which]
        return (turned(imu, rng.uniform(0, 2 * np.pi, len(which))),) if self.rotate else (imu,)


def turned(imu: Float32, angles: FloatArray) -> Float32:
    """Turn levelled windows (b, N, 6) about the vertical by angles (b,), rad."""
    cosine, sine = (f(angles)[:, None].astype(np.float32) for f in (np.cos, np.sin))
    turned_windows = imu.copy()
    for x in (0, 3):
        turned_windows[..., x] = cosine * imu[..., x] - sine * imu[..., x + 1]
        turned_windows[..., x + 1] = sine * imu[..., x] + cosine * imu[..., x + 1]
    return turned_windows


def pretrain(config: PretrainConfig, recordings: list[Path], out: Path, options: TrainOptions) -> None:
    """Train LSTM1 and write its folder.

    Raises:
        TrainingError: no IMU, a single recording, no window whole, or positions of several sites.
    """
    device = training_device(options)
    make_folder(out)
    surveyed, held_out = separated(recordings, options.validation)
    # Displacements of many sites go together, whatever the origins of their maps.
    one_map = config.pretext == "position"
    traces = load_modal_traces(
        [*surveyed, *held_out], options.topics, config.windows, options.progress, one_map, options.cache
    )
    require_modalities(traces, options.topics, ("imu",))
    training, validation = traces[: len(surveyed)], traces[len(surveyed) :]
    if not validation:
        training, validation = hold_out(training, config.training.validation_share, options.seed)
    rotate = config.rotate and config.lstm1.inertial.frame == "levelled"
    examples, probes = (_examples(part, config, rotate) for part in (training, validation))
    torch.manual_seed(options.seed)
    model = Lstm1Pretext(config.lstm1)
    model.set_positions(examples.positions)
    everything = np.arange(len(examples))
    model.lstm1.set_inputs(torch.from_numpy(examples.augmented(everything, np.random.default_rng(options.seed))[0]))
    limits = Limits(options.max_minutes or config.training.max_minutes, options.progress)
    run = run_identity(config, recording_entries(training, validation), options.seed)
    result = fit(
        model.to(device), examples, probes, config.training, seed=options.seed, out=out, run=run, limits=limits
    )
    still = float(np.linalg.norm(probes.positions - examples.positions.mean(axis=0), axis=1).mean())
    card = model_card(
        METHOD, config, result.errors, training, validation, options.seed,
        epochs=result.progress.epoch, best_epoch=result.progress.best_epoch, always_the_mean_m=still,
    )  # fmt: skip
    save_model(out, card, {name: value.numpy() for name, value in result.weights.items()})


def load_lstm1(folder: Path) -> tuple[Lstm1Settings, dict[str, npt.NDArray[np.float32]]]:
    """Return the settings and tensors of a pretrained LSTM1.

    Raises:
        ModelError: the folder is none that pretrain made.
    """
    card, tensors = load_model(folder)
    if card.method != METHOD:
        raise ModelError(f"{folder}: is a model of method {card.method!r}; --lstm1 takes a folder made by `pretrain`")
    settings = PretrainConfig.from_mapping(card.settings, f"{folder}: model.json").lstm1
    with reading_tensors(card):
        Lstm1Pretext(settings).load_state_dict({name: torch.from_numpy(t.copy()) for name, t in tensors.items()})
    return settings, lstm1_part(tensors)


def _examples(traces: Sequence[ModalTrace], config: PretrainConfig, rotate: bool) -> InertialExamples:
    frame, seconds = config.lstm1.inertial.frame, config.lstm1.inertial.length / config.lstm1.rate_hz
    parts, targets = [], [np.empty((0, 2))]
    for trace in traces:
        windows = trace.windows.imu
        target = trace.positions if config.pretext == "position" else displacements(trace, trace.windows.t_ns, seconds)
        known = (windows.stops > 0) & np.isfinite(target).all(axis=1)
        features = inertial_features(windows.rows, frame)
        parts.append(RowWindows(features, windows.stops[known], windows.length))
        targets.append(target[known])
    if not sum(map(len, parts)):
        raise TrainingError(
            f"{', '.join(str(trace.path) for trace in traces)}: no unbroken {seconds:.1f} s of inertial samples "
            "between two references; record longer walks, or lower lstm1.inertial.length"
        )
    blank = np.zeros((config.lstm1.inertial.length, 6), dtype=np.float32)
    return InertialExamples(joined(parts, blank), np.concatenate(targets), rotate)


def displacements(trace: ModalTrace, ends: npt.NDArray[np.int64], seconds: float) -> FloatArray:
    """Return how far (n, 2) the target went in the seconds before each stamp, m: x forward, y left at the start.

    Forward is the direction of its first `_MOVED` metres in the window, and of the whole way where it is shorter.
    NaN where the window begins before the references.
    """
    span = round(seconds * 1e9)
    offsets = np.arange(0, span + 1, _HEADING_STRIDE_NS)
    offsets[-1] = span
    path = trace.reference.at((ends[:, None] - span + offsets).ravel()).reshape(len(ends), len(offsets), 2)
    way = path - path[:, :1]  # (n, T, 2)
    far = np.linalg.norm(way, axis=2) >= _MOVED
    first = np.where(far.any(axis=1), far.argmax(axis=1), len(offsets) - 1)
    forward = way[np.arange(len(way)), first]
    forward = forward / np.maximum(np.linalg.norm(forward, axis=1, keepdims=True), 1e-9)
    total = way[:, -1]
    left = np.stack([-forward[:, 1], forward[:, 0]], axis=1)
    return np.stack([(total * forward).sum(axis=1), (total * left).sum(axis=1)], axis=1)
