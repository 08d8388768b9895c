"""Building the method pdr from a survey: how its carriers move, and a starter for the first pose."""

from __future__ import annotations

import hashlib
import importlib
import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mail_localization.config import Settings
from mail_localization.data.recording import Recording, RecordingInfo, Topics
from mail_localization.errors import ConfigError, TrainingError
from mail_localization.estimator import Estimator
from mail_localization.localizer import localizer_of, told_where
from mail_localization.models.artifact import ModelCard, Tensors, load_model, save_model
from mail_localization.models.embedded import STARTER, embed
from mail_localization.motion.pdr import Pdr, PdrConfig, to_tensors
from mail_localization.motion.tracker import MotionCalibration
from mail_localization.training.calibration import with_calibration
from mail_localization.training.motion import calibrate_motion
from mail_localization.training.options import TrainOptions
from mail_localization.training.probe import probe, split_survey
from mail_localization.training.provenance import error_metrics, model_card
from mail_localization.types import FloatArray

STARTERS = ("wifi_knn", "magnetic_nn")


class PdrSurveyConfig(PdrConfig):
    """Configuration of method pdr, its starters' settings checked as well."""

    def check(self) -> None:
        """Refuse an unknown starter, and settings that its method does not have."""
        for method in self.starters:
            if method not in STARTERS:
                raise ConfigError(f"starters: {method!r} is not one of {', '.join(STARTERS)}")
            self.starter(method)

    def starter(self, method: str) -> Settings:
        """Return the configuration of a starter."""
        kind: type[Settings] = importlib.import_module(f"mail_localization.training.{method}").CONFIG
        return kind.from_mapping(self.starters.get(method) or {}, f"starters: {method}")


CONFIG = PdrSurveyConfig

START_STDDEV = 0.5
"""Of a start at a reference position, m."""
_QUANTILE, _QUANTILE_NEES = 0.8, 3.219
"""This share of squared errors, in units of the covariance, lies below that value in two dimensions."""
_MIN_DRIFT = 0.01


@dataclass(frozen=True)
class _Walked:
    """A surveyed recording as the model card tells of it."""

    recording: Recording

    @property
    def info(self) -> RecordingInfo:
        return self.recording.info

    def provenance(self, role: str) -> dict[str, Any]:
        reference = self.recording.reference()
        digest = hashlib.sha256(reference.t_ns.tobytes() + reference.position.tobytes())
        digest.update(repr(sorted(self.recording.counts.items())).encode())
        name, device = self.recording.name, self.info.device
        return {"name": name, "role": role, "device": device, "hash": f"sha256:{digest.hexdigest()}"}


@dataclass(frozen=True, eq=False)
class _Built:
    """What a set of recordings teaches."""

    config: PdrConfig
    calibration: MotionCalibration
    starter: tuple[ModelCard, Tensors] | None

    def localizer(self, drift: float) -> Pdr:
        starter: Estimator | None = None
        if self.starter is not None:
            starter = localizer_of(*self.starter)
        return Pdr(self.config, self.calibration, drift, starter)


def train(config: PdrSurveyConfig, recordings: list[Path], out: Path, options: TrainOptions) -> None:
    """Learn motion and starter from a part of the recordings, the growth of the error from the others; save all.

    Raises:
        TrainingError: a single recording, neither steps nor odometry in them, or no survey for the starter.
    """
    split = split_survey(recordings, options)
    built = _build(config, split.training, replace(options, validation=tuple(split.validation)))
    drift = max(_drift(built.localizer(0.0), split.validation, options.topics), _usual_drift(built.calibration))
    judged = built.localizer(drift)
    told = probe(judged, split.validation, options.topics, options.progress, start=True)
    given = built.starter is None
    probed = told if given else probe(judged, split.validation, options.topics, options.progress)
    training, validation = split.training, split.validation
    if split.final != split.training:
        training, validation = split.final, []
        built = _build(config, split.final, options)
    told_mean = error_metrics(told.errors)["mean_m"]
    walked = [[_Walked(Recording(path, options.topics)) for path in paths] for paths in (training, validation)]
    metrics = {"drift": drift, "told_start_mean_m": told_mean}
    heard = built.starter[0].access_points if built.starter else []
    card = model_card("pdr", built.config, probed.errors, walked[0], walked[1], options.seed, heard, **metrics)
    starter = embed(*built.starter, STARTER) if built.starter else {}
    save_model(out, with_calibration(card, probed.judged), {**to_tensors(built.calibration, drift), **starter})


def _build(config: PdrSurveyConfig, recordings: list[Path], options: TrainOptions) -> _Built:
    motion, calibration = calibrate_motion(recordings, config.motion, options.topics)
    if motion.source == "none":
        raise TrainingError(
            f"{', '.join(map(str, recordings))}: neither steps (topic {options.topics.imu!r}) nor odometry "
            f"({options.topics.odom!r}) that follow the reference positions; method pdr needs one of them"
        )
    start = _start(config, recordings, options.topics)
    resolved = PdrConfig.from_mapping({**config.to_mapping(), "motion": motion.to_mapping(), "start": start}, "pdr")
    return _Built(
        resolved, calibration, None if start == "given" else _train_starter(start, config, recordings, options)
    )


def _start(config: PdrSurveyConfig, recordings: list[Path], topics: Topics) -> str:
    """Return the starter: wifi_knn where most of the recordings have scans."""
    if config.start != "auto":
        return config.start
    scanned = sum(bool(Recording(path, topics).counts.get(topics.wifi)) for path in recordings)
    return "wifi_knn" if 2 * scanned > len(recordings) else "magnetic_nn"


def _train_starter(
    method: str, config: PdrSurveyConfig, recordings: list[Path], options: TrainOptions
) -> tuple[ModelCard, Tensors]:
    module = importlib.import_module(f"mail_localization.training.{method}")
    with tempfile.TemporaryDirectory(prefix="mail_localization-") as folder:
        module.train(config.starter(method), recordings, Path(folder) / method, options)
        return load_model(Path(folder) / method)


def _drift(localizer: Pdr, recordings: Sequence[Path], topics: Topics) -> float:
    """Return the growth of each axis' standard deviation with the way, such that held-out errors are as they say.

    The localizer is one without drift, told where each recording begins.
    """
    offsets, covariances, distances = [], [], []
    for path in recordings:
        localizer.reset()
        with Recording.opened(path, topics) as recording:
            reference = recording.reference()
            samples = recording.samples(localizer.inputs)
            for sample in told_where(localizer, samples, reference.start_ns, reference.position[0], START_STDDEV):
                estimate = localizer.add(sample)
                if estimate is not None and reference.start_ns <= estimate.t_ns <= reference.end_ns:
                    offsets.append(estimate.position - reference.at(np.array([estimate.t_ns]))[0])
                    covariances.append(estimate.covariance)
                    distances.append(localizer.reckoning.distance)
    if not offsets:
        return MotionCalibration().step_std
    return fitting_drift(np.array(offsets), np.array(covariances), np.array(distances))


def _usual_drift(calibration: MotionCalibration) -> float:
    """Return the drift of an attitude that is off by what it usually is: a single lucky walk must not hide that."""
    known = calibration.heading_offset_std < math.pi
    return calibration.heading_offset_std / math.sqrt(2.0) if known else 0.0


def fitting_drift(offsets: FloatArray, covariances: FloatArray, distances: FloatArray) -> float:
    """Return the least drift with which enough of the errors (n, 2) lie inside their covariances, by bisection."""
    low, high = _MIN_DRIFT, 1.0
    for _ in range(20):
        middle = 0.5 * (low + high)
        grown = covariances + ((middle * distances) ** 2)[:, None, None] * np.eye(2)
        nees = np.einsum("ni,nij,nj->n", offsets, np.linalg.inv(grown), offsets)
        low, high = (middle, high) if np.quantile(nees, _QUANTILE) > _QUANTILE_NEES else (low, middle)
    return float(high)
