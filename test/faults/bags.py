"""Damaged bags: whole containers of every storage, and messages inside a sound container."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from pathlib import Path

from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from surveys import START_NS, corridor_walk

from faults.mutations import ODD_JSON, damaged
from mail_localization.data import messages
from mail_localization.data.recording import Recording, RecordingInfo, Topics
from mail_localization.errors import RecordingError
from mail_localization.types import MagneticSample, OdometrySample, ReferencePose, WifiReading, WifiScan

MESSAGES_PER_BAG = 200
_STORAGES = {
    "mcap": (StoragePlugin.MCAP, None),
    "mcap_chunks": (StoragePlugin.MCAP, CompressionMode.STORAGE),
    "mcap_file": (StoragePlugin.MCAP, CompressionMode.FILE),
    "sqlite3": (StoragePlugin.SQLITE3, None),
    "sqlite3_message": (StoragePlugin.SQLITE3, CompressionMode.MESSAGE),
}


def small_walk() -> list[messages.Sample | ReferencePose]:
    """Return a few samples of the streams that differ most."""
    walk = [s for s in corridor_walk(seconds=1.0, rate_hz=10.0) if isinstance(s, (MagneticSample, ReferencePose))]
    return [
        *walk,
        WifiScan(START_NS, (WifiReading("aa:bb:cc:dd:ee:ff", -60.0),)),
        OdometrySample(START_NS, 1.0, 2.0, 0.1),
    ]


def write_raw(path: Path, raw: list[tuple[str, int, bytes]], storage: str = "mcap") -> None:
    """Write serialized messages (stream, time logged, bytes) into a bag of one of `_STORAGES`."""
    plugin, mode = _STORAGES[storage]
    writer = Writer(path, version=9, storage_plugin=plugin)
    if mode is not None:
        writer.set_compression(mode, CompressionFormat.ZSTD)
    with writer:
        writer.set_custom_data("mail_localization", RecordingInfo("phone", "2", origin_lat_lon=(60.0, 25.0)).to_json())
        connections = {
            stream: writer.add_connection(
                getattr(Topics(), stream), messages.WRITTEN_TYPE[stream], typestore=messages.default_typestore()
            )
            for stream in sorted({stream for stream, _, _ in raw})
        }
        for stream, t_ns, data in raw:
            writer.write(connections[stream], t_ns, data)


def serialized() -> list[tuple[str, int, bytes]]:
    """Return the small walk as (stream, time logged, bytes)."""
    store, raw = messages.default_typestore(), []
    for sample in sorted(small_walk(), key=lambda s: s.t_ns):
        stream = messages.STREAM_OF[type(sample)]
        data = store.serialize_cdr(messages.to_message(sample, store), messages.WRITTEN_TYPE[stream])
        raw.append((stream, sample.t_ns, bytes(data)))
    return raw


def read_all(path: Path) -> None:
    """Read everything that a command would read; RecordingError where it refuses."""
    recording = Recording(path)
    list(recording.samples())
    recording.reference()


class BagFiles:
    """One damaged file of a bag, opened as a folder or alone."""

    name = "bag files"
    documented = RecordingError

    def __init__(self, scratch: Path) -> None:
        self._bag = scratch / "damaged_bag"
        self._seeds: list[dict[str, bytes]] = []
        for storage in _STORAGES:
            write_raw(scratch / storage, serialized(), storage)
            self._seeds.append({file.name: file.read_bytes() for file in (scratch / storage).iterdir()})

    def cases(self, rng: random.Random) -> Iterator[None]:
        """Feed one damaged bag."""
        files = dict(rng.choice(self._seeds))
        name = rng.choice(sorted(files))
        files[name] = _damaged_yaml(files[name], rng) if name.endswith(".yaml") else damaged(files[name], rng)
        shutil.rmtree(self._bag, ignore_errors=True)
        self._bag.mkdir()
        for file, content in files.items():
            (self._bag / file).write_bytes(content)
        alone = name.endswith((".mcap", ".db3")) and rng.random() < 0.5
        yield
        read_all(self._bag / name if alone else self._bag)


def _damaged_yaml(blob: bytes, rng: random.Random) -> bytes:
    """Damage the bytes, or put an odd value (JSON is YAML) behind one of the keys."""
    if rng.random() < 0.4:
        return damaged(blob, rng)
    lines = blob.decode().split("\n")
    at = rng.randrange(len(lines))
    head, colon, _ = lines[at].partition(": ")
    lines[at] = head + (colon or ": ") + rng.choice(ODD_JSON[:-1])
    return "\n".join(lines).encode()


class BagMessages:
    """Damaged messages in a sound container."""

    name = "bag messages"
    documented = RecordingError

    def __init__(self, scratch: Path) -> None:
        self._bag = scratch / "damaged_messages"
        self._raw = serialized()

    def cases(self, rng: random.Random) -> Iterator[None]:
        """Feed one bag of MESSAGES_PER_BAG damaged messages."""
        raw = [(s, t, damaged(data, rng) or b"\0") for s, t, data in rng.choices(self._raw, k=MESSAGES_PER_BAG)]
        shutil.rmtree(self._bag, ignore_errors=True)
        write_raw(self._bag, raw)
        yield from [None] * MESSAGES_PER_BAG
        read_all(self._bag)
