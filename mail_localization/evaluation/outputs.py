"""Files of an evaluation: summary.json, errors.csv, TUM trajectories, pictures, report.html.

Each file is written beside its final name and renamed: an interrupted run leaves the earlier one whole.

    OUT/summary.json errors.csv cdf.png calibration.png report.html
    OUT/recordings/RECORDING/reference.tum error.png
    OUT/recordings/RECORDING/MODEL/estimate.tum all_estimates.tum trajectory.png
"""

from __future__ import annotations

import csv
import io
import json
import os
from pathlib import Path

import numpy as np

from mail_localization.data.reference import TimeArray
from mail_localization.errors import EvaluationError
from mail_localization.evaluation.metrics import normalized_error
from mail_localization.evaluation.replay import Replay
from mail_localization.evaluation.results import Evaluation, summary
from mail_localization.files import replace_file
from mail_localization.types import FloatArray

COLUMNS = (
    "model", "recording", "t_ns", "elapsed_s", "error_m", "reference_x", "reference_y",
    "estimate_x", "estimate_y", "variance_x", "covariance_xy", "variance_y", "age_s", "nees",
)  # fmt: skip


def prepare_folder(out: Path) -> None:
    """Create the output folder before the long work starts, or raise EvaluationError."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        if not os.access(out, os.W_OK):
            raise PermissionError(13, "Permission denied")
    except OSError as err:
        message = f"{out}: not usable as output folder: {err.strerror}; choose another --out"
        raise EvaluationError(message) from err


def write_atomic(path: Path, content: bytes | str) -> None:
    """Write a file whole or not at all, replacing an earlier one."""
    data = content.encode() if isinstance(content, str) else content
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, data)
    except OSError as err:
        raise EvaluationError(
            f"{path}: cannot be written: {err.strerror}; free some space or choose another --out"
        ) from err


def write_figures(evaluation: Evaluation, out: Path) -> None:
    """Write summary.json, errors.csv and the TUM files: everything that is text."""
    # NaN is not JSON: a figure without data is None, and anything else is a bug that must show.
    write_atomic(out / "summary.json", json.dumps(summary(evaluation), indent=2, allow_nan=False) + "\n")
    write_atomic(out / "errors.csv", errors_csv(evaluation))
    for model in evaluation.models:
        for replay in model.replays:
            _write_trajectories(replay, out)


def recording_folder(out: Path, replay: Replay) -> Path:
    """Return the folder of what concerns one recording."""
    return out / "recordings" / replay.task.recording


def model_folder(out: Path, replay: Replay) -> Path:
    """Return the folder of what concerns one model on one recording."""
    return recording_folder(out, replay) / replay.task.model


def errors_csv(evaluation: Evaluation) -> str:
    """Return one row per model, recording and instant; fields are empty where nothing was available."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for model in evaluation.models:
        for replay in model.replays:
            writer.writerows(_rows(replay))
    return text.getvalue()


def _rows(replay: Replay) -> list[list[str]]:
    pairs, task = replay.association, replay.task
    columns = (
        pairs.elapsed, pairs.error, *pairs.reference.T, *pairs.estimate.T, pairs.covariance[:, 0, 0],
        pairs.covariance[:, 0, 1], pairs.covariance[:, 1, 1], pairs.age, normalized_error(pairs),
    )  # fmt: skip
    rows = zip(pairs.t_ns, *columns, strict=True)
    return [[task.model, task.recording, str(t_ns), *map(_cell, values)] for t_ns, *values in rows]


def _cell(value: float) -> str:
    return f"{value:.6g}" if np.isfinite(value) else ""


def tum(t_ns: TimeArray, position: FloatArray) -> str:
    """Return TUM lines `t x y z qx qy qz qw` (s, m, no rotation) of (n,) stamps and (n, 2) positions."""
    # Stamps are written from integers: a float64 would round nanoseconds since the epoch.
    rows = zip(map(int, t_ns), position, strict=True)
    lines = [f"{t // 10**9}.{t % 10**9:09d} {x:.6f} {y:.6f} 0 0 0 0 1\n" for t, (x, y) in rows]
    return "".join(lines)


def _write_trajectories(replay: Replay, out: Path) -> None:
    """Write the pairs compared, stamped with their instants, and every estimate with its own stamp."""
    pairs, estimates = replay.association, replay.estimates
    seen = pairs.available
    write_atomic(recording_folder(out, replay) / "reference.tum", tum(pairs.t_ns, pairs.reference))
    folder = model_folder(out, replay)
    write_atomic(folder / "estimate.tum", tum(pairs.t_ns[seen], pairs.estimate[seen]))
    write_atomic(folder / "all_estimates.tum", tum(estimates.t_ns, estimates.position))
