"""Building the method magnetic_nn from a survey."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from mail_localization.data.recording import find_recordings
from mail_localization.data.traces import Trace, load_traces
from mail_localization.errors import TrainingError
from mail_localization.matching.magnetic_nn import MagneticNn, MagneticNnConfig, descriptors
from mail_localization.models.artifact import ModelCard, save_model
from mail_localization.preprocess.magnetic import MagneticFeatures
from mail_localization.training.options import TrainOptions
from mail_localization.training.provenance import error_metrics, provenance, second_moment
from mail_localization.types import FloatArray

CONFIG = MagneticNnConfig

Sequences = tuple[npt.NDArray[np.float32], FloatArray]


def train(config: MagneticNnConfig, recordings: list[Path], out: Path, options: TrainOptions) -> None:
    """Store the survey's sequences; the covariance is that of matching each recording against the others.

    Raises:
        TrainingError: fewer than two recordings have windows with a reference.
    """
    held_out = find_recordings(options.validation) if options.validation else []
    surveyed = [path for path in recordings if path not in held_out]
    load = functools.partial(load_traces, topics=options.topics, window=config.window, magnetic=config.magnetic)
    traces, validation = load(surveyed, progress=options.progress), load(held_out, progress=options.progress)
    survey = {trace.name: part for trace in traces if len((part := _sequences(trace, config))[0])}
    probes = {trace.name: part for trace in validation if len((part := _sequences(trace, config))[0])} or survey
    if len(survey.keys() | probes.keys()) < 2:
        raise TrainingError(
            f"{', '.join(map(str, recordings))}: {len(survey)} recordings have a whole window with a reference, "
            "at least 2 are needed to tell how well they match each other; record a second round"
        )
    with tqdm(probes.items(), desc="matching", unit="recording", disable=None if options.progress else True) as bar:
        errors = np.concatenate([_errors(name, part, survey, config.match.stride) for name, part in bar])
    card = ModelCard(
        method="magnetic_nn",
        settings=config.to_mapping(),
        covariance=second_moment(errors).tolist(),
        origin_lat_lon=list(traces[0].info.origin_lat_lon) if traces[0].info.origin_lat_lon else None,
        training_recordings=[
            *(trace.provenance("train") for trace in traces),
            *(trace.provenance("validation") for trace in validation),
        ],
        metrics={"held_out": error_metrics(errors)},
        provenance=provenance(options.seed),
    )
    sequences, positions = _joined(survey)
    save_model(out, card, {"sequences": sequences, "positions": positions})


def _sequences(trace: Trace, config: MagneticNnConfig) -> Sequences:
    features = MagneticFeatures(config.magnetic, config.window.rate_hz)
    raw, positions = trace.windows(features, config.window.length, config.match.survey_hop)
    return descriptors(features(raw), config.match.stride), positions


def _errors(name: str, probe: Sequences, survey: dict[str, Sequences], stride: int) -> FloatArray:
    """Return errors (n, 2) of a recording matched against all others, m."""
    others = {other: part for other, part in survey.items() if other != name}
    sequences, positions = _joined(others)
    # The probe's descriptors are averaged already: a stride of 1 over them changes nothing.
    matcher = MagneticNn(sequences, positions, np.eye(2), stride=1)
    estimates, _ = matcher.predict(probe[0][:, :, None])
    return np.asarray(estimates - probe[1])


def _joined(parts: dict[str, Sequences]) -> Sequences:
    return np.concatenate([part[0] for part in parts.values()]), np.concatenate([part[1] for part in parts.values()])
