"""The MM-Loc authors' data: 10 Hz CSV of an office loop in Edinburgh (A) and a route in Bucharest (B).

Columns: t_ms, t_ms, acc xyz, gyr xyz, mag xyz, |acc|, |gyr|, |mag|, x, y (A: a second pair follows), Wi-Fi.
Times count from the start of the log. x, y are metres in the authors' own frame, which becomes `map`.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import numpy as np

from mail_localization.data.recording import RecordingInfo
from mail_localization.data.sources import common, sensors
from mail_localization.data.sources.common import LatLon, Problems, Source, Stream, Trace
from mail_localization.types import Sample

_USED = 16
_COLUMNS_A = 100
"""A has 120 columns, B 60."""
_RUN = re.compile(r"timestep100_(\d+)$|_(\d+)_timestep100$")
_NOTES = (
    "Wi-Fi columns are not imported: their scale is undocumented, and in scenario A they were attached by true "
    "position, so that test rows are copies of training rows",
    "the magnetometers are uncalibrated: median |B| is about 134 (A) and 264 (B) microtesla",
)


def find(folder: Path) -> list[Path]:
    """Return the CSV files under a folder."""
    return common.trace_files(folder, "*.csv")


def name(path: Path) -> str:
    """Return FOLDER/run_NN, or the file's name where it is not one of the dataset's."""
    match = _RUN.search(path.stem)
    run = f"run_{int(match[1] or match[2]):02d}" if match else path.stem
    return f"{path.parent.name}/{run}" if path.parent.name.startswith("scenario_") else path.stem


def read(path: Path, origin: LatLon | None = None) -> Trace:
    """Read one run."""
    problems = Problems()
    lines = common.read_lines(path, problems)
    widths = Counter(line.count(",") + 1 for line in lines)
    width = max(_USED, max(widths, key=lambda n: widths[n], default=0))
    rows = []
    for line in lines:
        fields = line.split(",", _USED)
        if fields[:2] == ["0", "1"] or not line.strip():
            continue
        if line.count(",") + 1 < min(width, _USED + 1):
            problems["wrong number of fields"] += 1
        else:
            rows.append(fields[:_USED])
    table = common.numbers(rows, _USED, problems, "row")
    every = _consistent(common.stream(table[:, 0] * 1e-3, table[:, 2:], problems, "row"), problems)
    acc, gyro, mag, place = (Stream(every.t_ns, every.values[:, a:b]) for a, b in ((0, 3), (3, 6), (6, 9), (12, 14)))
    samples: list[Sample] = [*sensors.magnetic_samples(mag, problems), *sensors.imu_samples(acc, gyro, None, problems)]
    samples = common.usable_samples(path, samples, problems, "CSV rows of 't_ms,t_ms,acc xyz,gyr xyz,mag xyz,...'")
    references = sensors.reference_poses(place, samples, problems)
    site = "scenario_a" if width >= _COLUMNS_A else "scenario_b"
    info = RecordingInfo(site=site, source="mmloc", extra={"time": "counts from the start of the log"})
    return Trace(samples, references, info, problems, _NOTES)


def _consistent(every: Stream, problems: Problems) -> Stream:
    """Leave out rows whose |mag| column contradicts the vector: their columns are shifted or damaged."""
    norm = every.values[:, 11]
    wrong = np.abs(np.linalg.norm(every.values[:, 6:9], axis=1) - norm) > 0.05 * np.abs(norm)
    problems["magnetic vector and its norm disagree"] += int(wrong.sum())
    return every[~wrong]


SOURCE = Source("MM-Loc", find, name, read)
