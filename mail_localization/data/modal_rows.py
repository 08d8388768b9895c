"""What is read of a recording for windows of several modalities, and how a cache keeps it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mail_localization.data.cache import Array, Cache, Entry
from mail_localization.data.recording import Recording, RecordingInfo, Topics
from mail_localization.data.reference import Reference
from mail_localization.data.traces import reference_arrays, reference_from
from mail_localization.preprocess.modalities import ModalitySettings, ModalWindow, ModalWindows
from mail_localization.preprocess.wifi import Levels, WifiMemory
from mail_localization.preprocess.window_table import RowWindows, WindowTable
from mail_localization.types import WifiScan


@dataclass(frozen=True, eq=False)
class ReadWindows:
    """All windows and scans of a recording, with a label or without."""

    info: RecordingInfo
    reference: Reference
    windows: WindowTable
    scans: list[Levels]
    """Fresh results of each Wi-Fi scan."""
    received_ns: npt.NDArray[np.int64]
    """(m,) when the scans' results were received."""
    counts: dict[str, int]
    """Stream -> samples read."""
    problems: Counter[str]


def read_windows(path: Path, topics: Topics, settings: ModalitySettings, cache: Cache) -> ReadWindows:
    """Read a recording, from the cache if it is there."""
    values = settings.to_mapping()
    about = {name: values[name] for name in ModalitySettings().to_mapping()}  # a method's own settings do not matter
    about["topics"] = topics.to_mapping()
    entry = cache.kept("windows", path, about, lambda: _entry(_read(path, topics, settings)))
    return _from_entry(entry)


def _read(path: Path, topics: Topics, settings: ModalitySettings) -> ReadWindows:
    maker = ModalWindows(settings)
    windows: list[ModalWindow] = []
    scans: list[tuple[int, Levels]] = []
    counts: Counter[str] = Counter()
    memory = WifiMemory(settings.wifi)
    with Recording.opened(path, topics) as recording:
        reference = recording.reference()
        for sample in recording.samples(maker.inputs):
            counts[type(sample).__name__] += 1
            windows += maker.add(sample)
            if isinstance(sample, WifiScan) and (stamp := memory.add(sample)) is not None:
                received = stamp - round(memory.age(stamp) * 1e9)
                scans.append((received, memory.heard(stamp)))
    return ReadWindows(
        recording.info, reference, WindowTable.of(windows, maker.shapes), [levels for _, levels in scans],
        np.array([received for received, _ in scans], dtype=np.int64), dict(counts),
        recording.problems + maker.counters,
    )  # fmt: skip


def _entry(read: ReadWindows) -> Entry:
    windows = read.windows
    arrays = {
        **reference_arrays(read.reference), "received_ns": read.received_ns, "t_ns": windows.t_ns,
        "imu": windows.imu.rows, "imu_stops": windows.imu.stops, "mag": windows.mag.rows,
        "mag_stops": windows.mag.stops, "heard": windows.heard,
    }  # fmt: skip
    told = [windows.levels[number] for number in range(len(windows.levels))]
    names = _pack([*told, *read.scans], arrays)
    facts = {
        "info": read.info.to_json(), "counts": read.counts, "problems": dict(read.problems), "names": names,
        "lengths": [windows.imu.length, windows.mag.length], "scans": len(read.scans),
    }  # fmt: skip
    return Entry(arrays, facts)


def _from_entry(entry: Entry) -> ReadWindows:
    arrays, facts = entry
    levels = _PackedLevels(facts["names"], arrays["address"], arrays["level"], np.cumsum(arrays["levels"]))
    count = len(levels) - facts["scans"]
    imu, mag = (
        RowWindows(arrays[name], arrays[f"{name}_stops"], length)
        for name, length in zip(("imu", "mag"), facts["lengths"], strict=True)
    )
    return ReadWindows(
        RecordingInfo.from_json(facts["info"]), reference_from(arrays),
        WindowTable(arrays["t_ns"], imu, mag, levels, arrays["heard"]), [levels[k] for k in range(count, len(levels))],
        arrays["received_ns"], facts["counts"], Counter(facts["problems"]),
    )  # fmt: skip


def _pack(levels: Sequence[Levels], arrays: dict[str, Array]) -> list[str]:
    """Add levels to arrays, and return the addresses that they number."""
    number: dict[str, int] = {}
    readings = [reading for each in levels for reading in each.items()]
    arrays["address"] = np.array([number.setdefault(name, len(number)) for name, _ in readings], dtype=np.int32)
    arrays["level"] = np.array([level for _, level in readings], dtype=np.float64)
    arrays["levels"] = np.array([len(each) for each in levels], dtype=np.int64)
    return list(number)


@dataclass(frozen=True, eq=False)
class _PackedLevels:
    """Levels as `_pack` left them: a dictionary of each would take ten times the memory."""

    names: Sequence[str]
    address: Array
    level: Array
    stops: Array

    def __len__(self) -> int:
        return len(self.stops)

    def __getitem__(self, number: int, /) -> Levels:
        part = slice(self.stops[number - 1] if number else 0, self.stops[number])
        addresses, levels = self.address[part].tolist(), self.level[part].tolist()
        return {self.names[address]: level for address, level in zip(addresses, levels, strict=True)}
