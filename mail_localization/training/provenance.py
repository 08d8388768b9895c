"""What a trained model says of its own making: errors on held-out recordings, seed, versions."""

from __future__ import annotations

import datetime
import sys
from collections.abc import Sequence
from importlib import metadata
from typing import Any, Protocol

import numpy as np

from mail_localization.config import Settings
from mail_localization.data.recording import RecordingInfo
from mail_localization.models.artifact import ModelCard
from mail_localization.types import FloatArray

MIN_STDDEV = 0.05
"""Floor of a model's own standard deviation, m: marks on a floor are not surveyed better."""


class Surveyed(Protocol):
    """A surveyed recording as a model card tells of it."""

    @property
    def info(self) -> RecordingInfo:
        """What is known of it beside its messages."""

    def provenance(self, role: str) -> dict[str, Any]:
        """Return name, role (train or validation), device and content hash."""


def model_card(
    method: str,
    config: Settings,
    errors: FloatArray,
    training: Sequence[Surveyed],
    validation: Sequence[Surveyed],
    seed: int,
    access_points: Sequence[str] = (),
    **metrics: float,
) -> ModelCard:
    """Return the card of a model with errors (n, 2) on held-out recordings, m."""
    origin = training[0].info.origin_lat_lon
    return ModelCard(
        method=method,
        settings=config.to_mapping(),
        covariance=second_moment(errors).tolist(),
        origin_lat_lon=list(origin) if origin else None,
        access_points=list(access_points),
        training_recordings=recording_entries(training, validation),
        metrics={"held_out": error_metrics(errors), **metrics},
        provenance=provenance(seed),
    )


def recording_entries(training: Sequence[Surveyed], validation: Sequence[Surveyed]) -> list[dict[str, Any]]:
    """Return what a model card says of its recordings."""
    return [*(t.provenance("train") for t in training), *(t.provenance("validation") for t in validation)]


def second_moment(errors: FloatArray) -> FloatArray:
    """Return the mean outer product (2, 2) of errors (n, 2), m^2; bias counts as variance, and it is never zero."""
    moment = errors.T @ errors / len(errors)
    return np.asarray(moment + MIN_STDDEV**2 * np.eye(2))


def error_metrics(errors: FloatArray) -> dict[str, float]:
    """Return mean, median and p95 of the distances of errors (n, 2), m."""
    distances = np.hypot(errors[:, 0], errors[:, 1])
    return {
        "mean_m": float(distances.mean()),
        "median_m": float(np.median(distances)),
        "p95_m": float(np.quantile(distances, 0.95)),
        "windows": len(distances),
    }


def provenance(seed: int) -> dict[str, Any]:
    """Return package version, seed, date and command."""
    try:
        version = metadata.version("mail_localization")
    except metadata.PackageNotFoundError:
        version = "source tree"
    return {
        "version": version,
        "seed": seed,
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": ["mail_localization", *sys.argv[1:]],
    }
