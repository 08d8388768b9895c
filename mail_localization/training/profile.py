"""Adding to a model what its survey's input looked like, for the diagnostics of a running localizer."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

from tqdm import tqdm

from mail_localization.data.recording import Recording
from mail_localization.localizer import load_localizer
from mail_localization.models.artifact import load_model, save_model
from mail_localization.preprocess.excerpt import Excerpt, Excerpts
from mail_localization.preprocess.profile import survey_profile
from mail_localization.training.options import TrainOptions


def add_profile(out: Path, recordings: list[Path], options: TrainOptions) -> None:
    """Write into the model folder `out` the profile of the recordings it was made from, of the streams it uses."""
    streams = load_localizer(out).inputs & {"mag", "imu", "wifi"}
    excerpts, rates = [], []
    with tqdm(recordings, desc="profile", unit="recording", disable=None if options.progress else True) as bar:
        for path in bar:
            excerpt, rate = _read(path, streams, options)
            excerpts.append(excerpt)
            rates.append(rate)
    card, tensors = load_model(out)
    save_model(out, dataclasses.replace(card, profile=survey_profile(excerpts, rates).to_mapping()), tensors)


def _read(path: Path, streams: frozenset[str], options: TrainOptions) -> tuple[Excerpt, Mapping[str, float]]:
    """Return a recording's samples, thinned, and the rates of its streams."""
    excerpts = Excerpts()
    with Recording.opened(path, options.topics) as recording:
        for sample in recording.samples(streams):
            excerpts.add(sample)
    counts = {stream: recording.counts.get(getattr(options.topics, stream), 0) for stream in streams}
    return excerpts.excerpt(), {
        stream: count / recording.duration for stream, count in counts.items() if count and recording.duration > 0
    }
