"""Recordings: rosbag2 in and out, without a ROS installation (library: rosbags).

MCAP is written; MCAP and sqlite3, compressed or not, split or single file, are read.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from mail_localization.config import Settings, group, setting
from mail_localization.data import messages
from mail_localization.data.reference import Reference
from mail_localization.data.sample_reader import SampleReader
from mail_localization.data.unpacking import bound_unpacking
from mail_localization.data.wifi_settings import WifiMappingSettings
from mail_localization.errors import RecordingError, importing
from mail_localization.types import ReferencePose, Sample

if TYPE_CHECKING:
    from rosbags.highlevel import AnyReader
    from rosbags.interfaces import Connection
    from rosbags.typesys.store import Typestore

SENSORS = ("imu", "mag", "wifi", "odom")
"""The streams of a recording that hold samples, as the fields of Topics name them."""

_INFO_KEY = "mail_localization"


class Topics(Settings):
    """Where a recording keeps what; every name can be remapped."""

    imu: str = setting("/imu/data", "topic of sensor_msgs/Imu")
    mag: str = setting("/imu/mag", "topic of sensor_msgs/MagneticField, tesla")
    wifi: str = setting("/wifi/scan", "topic of Wi-Fi scans, of any type that wifi_mapping can read")
    odom: str = setting("/odom", "topic of nav_msgs/Odometry")
    reference: str = setting("/reference", "topic of surveyed positions in `map`, geometry_msgs/PoseStamped")
    wifi_mapping: WifiMappingSettings = group(WifiMappingSettings)


@dataclasses.dataclass(frozen=True)
class RecordingInfo:
    """What is known of a recording beside its messages; kept in the bag's metadata."""

    device: str = ""
    floor: str = ""
    site: str = ""
    source: str = ""
    """Dataset or program the recording comes from."""
    origin_lat_lon: tuple[float, float] | None = None
    """Latitude and longitude of the origin of `map` (x east, y north), deg."""
    extra: dict[str, str] = dataclasses.field(default_factory=dict)

    def to_json(self) -> str:
        """Return the JSON kept in the bag's custom data."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> RecordingInfo:
        """Read what `to_json` wrote; fields of a newer version are left out."""
        values = json.loads(text)
        known = {f.name: values[f.name] for f in dataclasses.fields(cls) if f.name in values}
        if known.get("origin_lat_lon") is not None:
            latitude, longitude = known["origin_lat_lon"]
            known["origin_lat_lon"] = (float(latitude), float(longitude))
        return cls(**known)


def write_recording(
    path: Path, samples: Iterable[Sample | ReferencePose], info: RecordingInfo, topics: Topics = Topics()
) -> int:
    """Write a rosbag2 (MCAP) folder whole or not at all, sorted by stamp; return the number of messages."""
    with importing("writing recordings"):
        from rosbags.rosbag2 import StoragePlugin, Writer, WriterError

    if path.exists():
        raise RecordingError(f"{path}: exists already; remove it or choose another output folder")
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    store = messages.default_typestore()
    try:
        partial.parent.mkdir(parents=True, exist_ok=True)
        with Writer(partial, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
            writer.set_custom_data(_INFO_KEY, info.to_json())
            count = _write_samples(writer, sorted(samples, key=lambda sample: sample.t_ns), store, topics)
        # The storage file is named after the folder it was opened in: give both the final name.
        _rename_storage(partial, path.name)
        partial.replace(path)
    except (OSError, WriterError) as err:
        raise RecordingError(f"{path}: cannot be written: {err}") from err
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return count


def _write_samples(writer: Any, samples: list[Sample | ReferencePose], store: Typestore, topics: Topics) -> int:
    connections: dict[type, Any] = {}
    for sample in samples:
        kind = type(sample)
        if kind not in connections:
            stream = messages.STREAM_OF[kind]
            name, msgtype = getattr(topics, stream), messages.WRITTEN_TYPE[stream]
            connections[kind] = writer.add_connection(name, msgtype, typestore=store)
        connection = connections[kind]
        message = messages.to_message(sample, store)
        writer.write(connection, sample.t_ns, store.serialize_cdr(message, connection.msgtype))
    return len(samples)


def _rename_storage(folder: Path, name: str) -> None:
    """Rename the single storage file of a fresh bag, in the folder and in its metadata.yaml."""
    storage = next(folder.glob("*.mcap"))
    final = f"{name}.mcap"
    metadata = folder / "metadata.yaml"
    text = metadata.read_text(encoding="utf-8")
    metadata.write_text(text.replace(storage.name, final), encoding="utf-8")
    storage.rename(folder / final)


class Recording:
    """One bag, read as samples and reference positions.

    A message that cannot be read is counted in `problems` and left out; so is the rest of a truncated file.

    Raises:
        RecordingError: the path is no bag, is damaged, or holds none of the topics.
    """

    def __init__(self, path: Path, topics: Topics = Topics(), bag: AnyReader | None = None) -> None:
        """Read from `bag`, which is open, while there is one; else open the path for each look into it."""
        self.path = Path(path)
        self.topics = topics
        self.problems: Counter[str] = Counter()
        self._bag = bag
        with self._open() as reader, _sound_metadata(self.path):
            self._streams = self._find_streams(reader)
            self.counts = {c.topic: int(c.msgcount) for c in reader.connections}
            empty = reader.message_count == 0
            self.start_ns = 0 if empty else int(reader.start_time)
            self.duration = 0.0 if empty else reader.duration * 1e-9
            self.info = _read_info(reader)

    @classmethod
    @contextlib.contextmanager
    def opened(cls, path: Path, topics: Topics = Topics()) -> Iterator[Self]:
        """Yield a recording that is opened once, for what is read of it one after the other.

        Opening takes 20 ms, as long as reading 2,000 messages, and a compressed bag is unpacked each time.
        """
        with open_bag(Path(path)) as reader:
            recording = cls(path, topics, reader)
            try:
                yield recording
            finally:
                recording._bag = None

    @property
    def name(self) -> str:
        """Folder or file name without its ending."""
        return recording_name(self.path)

    def samples(self, streams: Collection[str] = SENSORS) -> Iterator[Sample]:
        """Yield the samples of the streams (of `imu`, `mag`, `wifi`, `odom`) in the order they were logged."""
        for sample in self._read(streams):
            if not isinstance(sample, ReferencePose):
                yield sample

    def reference(self) -> Reference:
        """Return the reference positions; RecordingError where there are fewer than two."""
        if "reference" not in self._streams.values():
            raise RecordingError(
                f"{self.path}: no topic {self.topics.reference!r} with reference positions; "
                "label the recording with `mail_localization survey` or remap the topic"
            )
        poses = (s for s in self._read({"reference"}) if isinstance(s, ReferencePose))
        return Reference.from_poses(poses, self.path)

    def _read(self, streams: Collection[str]) -> Iterator[Sample | ReferencePose]:
        self.problems.clear()
        with self._open() as reader:
            with _sound_metadata(self.path):
                connections = [c for c in reader.connections if self._streams.get(c.topic) in streams]
                readers = {connection.topic: self._sample_reader(reader, connection) for connection in connections}
            for connection, logged_ns, raw in _raw_messages(reader, connections, self.problems):
                yield from readers[connection.topic].read(raw, logged_ns)
            for sample_reader in readers.values():
                yield from sample_reader.end()

    def _open(self) -> contextlib.AbstractContextManager[AnyReader]:
        return open_bag(self.path) if self._bag is None else contextlib.nullcontext(self._bag)

    def _sample_reader(self, reader: AnyReader, connection: Connection) -> SampleReader:
        topic, msgtype = connection.topic, connection.msgtype
        if msgtype not in reader.typestore.fielddefs:
            raise RecordingError(
                f"{self.path}: the bag does not define {msgtype} of topic {topic!r} (recorded before ROS 2 Iron); "
                "convert it to MCAP by `ros2 bag convert` where its package is installed"
            )
        mapping, store = self.topics.wifi_mapping, reader.typestore
        return SampleReader(self._streams[topic], topic, msgtype, mapping, self.problems, store)

    def _find_streams(self, reader: AnyReader) -> dict[str, str]:
        """Return topic -> stream for the topics that are there and of a known type."""
        wanted = {getattr(self.topics, stream): stream for stream in (*SENSORS, "reference")}
        found: dict[str, str] = {}
        for connection in reader.connections:
            stream = wanted.get(connection.topic)
            if stream is None:
                continue
            if stream != "wifi" and connection.msgtype not in messages.READ_TYPES[stream]:
                raise RecordingError(
                    f"{self.path}: topic {connection.topic!r} is {connection.msgtype}, expected "
                    f"{' or '.join(messages.READ_TYPES[stream])}; remap the topic"
                )
            found[connection.topic] = stream
        if not found:
            present = ", ".join(sorted({c.topic for c in reader.connections})) or "none"
            raise RecordingError(
                f"{self.path}: none of the topics {', '.join(sorted(wanted))}; it has {present}; remap with --topic"
            )
        return found


def recording_name(path: Path) -> str:
    """Return the name of a bag's folder or file, without its ending."""
    return path.stem if path.is_file() else path.resolve().name


@contextlib.contextmanager
def _sound_metadata(path: Path) -> Iterator[None]:
    """Turn metadata of the wrong types into a RecordingError: the library hands on what metadata.yaml holds."""
    try:
        yield
    except (TypeError, ValueError, AttributeError, OverflowError) as err:
        raise RecordingError(f"{path}: not a readable bag: damaged metadata: {err}") from err


@contextlib.contextmanager
def open_bag(path: Path) -> Iterator[AnyReader]:
    """Open a rosbag2 folder or file for raw reading.

    Raises:
        RecordingError: it is missing, damaged or no rosbag2.
    """
    with importing("reading recordings"):
        from rosbags.highlevel import AnyReader
    bound_unpacking()
    try:
        reader = AnyReader([path], default_typestore=messages.default_typestore())
        reader.open()
    except FileNotFoundError as err:
        raise RecordingError(f"{path}: no such bag") from err
    except Exception as err:
        # Damaged storage fails anywhere in the library, not only with its own errors.
        raise RecordingError(f"{path}: not a readable bag: {err}") from err
    try:
        if not reader.is2:
            raise RecordingError(f"{path}: is a ROS 1 bag; convert it with `rosbags-convert`")
        yield reader
    finally:
        reader.close()


def decoded_messages(
    reader: AnyReader, connections: Collection[Connection], problems: Counter[str]
) -> Iterator[tuple[str, int, Any]]:
    """Yield topic, time logged (ns) and message; what is damaged is counted in `problems` and left out."""
    for connection, logged_ns, raw in _raw_messages(reader, connections, problems):
        try:
            message = reader.deserialize(raw, connection.msgtype)
        except Exception:
            # Bytes from a stranger: the decoder may fail in any way, and one bad message must not end the bag.
            problems[f"{connection.topic}: message cannot be read"] += 1
            continue
        yield connection.topic, logged_ns, message


def _raw_messages(
    reader: AnyReader, connections: Collection[Connection], problems: Counter[str]
) -> Iterator[tuple[Connection, int, bytes]]:
    """Yield connection, time logged (ns) and bytes; where the storage is damaged, up to there."""
    raw = reader.messages(connections) if connections else iter(())
    while True:
        try:
            message = next(raw)
        except StopIteration:
            return
        except Exception:
            # A damaged file fails anywhere inside the storage library; what came before it stands.
            problems["storage ends early or is damaged"] += 1
            return
        yield message


def find_recordings(paths: Iterable[Path]) -> list[Path]:
    """Return every bag at or under the paths, sorted: rosbag2 folders, and .mcap or .db3 files outside them."""
    found: set[Path] = set()
    for path in map(Path, paths):
        if not path.exists():
            raise RecordingError(f"{path}: no such file or folder")
        if path.is_file():
            found.add(path)
            continue
        folders = {file.parent for file in path.rglob("metadata.yaml")}
        files = (file for ending in ("*.mcap", "*.db3") for file in path.rglob(ending))
        found |= folders | {file for file in files if file.parent not in folders}
    visible = {path for path in found if not path.name.startswith(".")}
    if not visible:
        raise RecordingError(f"{', '.join(map(str, paths))}: no rosbag2 folder, .mcap or .db3 file there")
    return sorted(visible)


def _read_info(reader: AnyReader) -> RecordingInfo:
    storage: Any = reader.readers[0]
    custom = storage.storage.metadata.custom or {}
    try:
        return RecordingInfo.from_json(custom[_INFO_KEY])
    except (KeyError, ValueError, TypeError, OverflowError, RecursionError):
        return RecordingInfo()
