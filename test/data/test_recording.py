from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from ruamel.yaml import YAML
from surveys import START_NS, corridor_walk, write_survey

from mail_localization.data import messages
from mail_localization.data.recording import (
    Recording,
    RecordingInfo,
    Topics,
    find_recordings,
    open_bag,
    write_recording,
)
from mail_localization.errors import RecordingError
from mail_localization.types import (
    ImuSample,
    MagneticSample,
    OdometrySample,
    ReferencePose,
    Sample,
    WifiReading,
    WifiScan,
)

SAMPLES: list[Sample] = [
    MagneticSample(START_NS, (1e-5, -2e-5, 4e-5)),
    ImuSample(START_NS + 1, (0.1, 0.2, 9.8), (0.01, 0.02, 0.03), (0.0, 0.6, 0.0, 0.8)),
    ImuSample(START_NS + 2, (0.1, 0.2, 9.8), (0.01, 0.02, 0.03)),
    WifiScan(START_NS + 3, (WifiReading("aa:bb:cc:dd:ee:ff", -61.0, 2.5, "lab", 2437),)),
    OdometrySample(START_NS + 4, 1.0, 2.0, 0.5),
]
REFERENCES = [ReferencePose(START_NS, 1.0, 2.0, 3.0), ReferencePose(START_NS + 4, 3.0, 2.0)]


def write_raw(path: Path, version: int = 8, storage: StoragePlugin = StoragePlugin.SQLITE3, **options: object) -> Path:
    """Write SAMPLES and REFERENCES with the library's own writer."""
    store = messages.default_typestore()
    with Writer(path, version=version, storage_plugin=storage) as writer:  # type: ignore[arg-type]
        connections = {}
        for sample in [*SAMPLES, *REFERENCES]:
            stream = messages.STREAM_OF[type(sample)]
            msgtype = messages.WRITTEN_TYPE[stream]
            if stream not in connections:
                topic = getattr(Topics(), stream)
                connections[stream] = writer.add_connection(topic, msgtype, typestore=store)
            data = store.serialize_cdr(messages.to_message(sample, store), msgtype)
            writer.write(connections[stream], sample.t_ns, data)
    return path


def test_recording_round_trip(tmp_path: Path) -> None:
    info = RecordingInfo("phone", "2", "mall", "test", (60.0, 25.0), {"round": "1"})
    path = tmp_path / "walk.1"
    assert write_recording(path, [*REFERENCES, *reversed(SAMPLES)], info) == 7
    recording = Recording(path)
    assert list(recording.samples()) == pytest.approx(SAMPLES)
    assert list(recording.samples({"mag", "wifi"})) == [SAMPLES[0], SAMPLES[3]]
    assert recording.info == info
    assert recording.name == "walk.1"
    assert recording.reference().position.tolist() == [[1.0, 2.0], [3.0, 2.0]]
    assert recording.counts["/imu/data"] == 2
    assert not recording.problems
    assert sorted(file.name for file in path.iterdir()) == ["metadata.yaml", "walk.1.mcap"]
    assert list(tmp_path.iterdir()) == [path]


def test_single_file_reads_without_its_folder(tmp_path: Path) -> None:
    write_recording(tmp_path / "walk", SAMPLES, RecordingInfo())
    assert len(list(Recording(tmp_path / "walk" / "walk.mcap").samples())) == 5


@pytest.mark.parametrize("storage", list(StoragePlugin))
def test_both_storages_read(tmp_path: Path, storage: StoragePlugin) -> None:
    assert len(list(Recording(write_raw(tmp_path / "bag", 9, storage)).samples())) == 5


@pytest.mark.parametrize("storage", list(StoragePlugin))
def test_opened_bag_is_opened_once_and_read_as_often_as_asked(
    tmp_path: Path, storage: StoragePlugin, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_raw(tmp_path / "bag", 9, storage)
    openings = []
    monkeypatch.setattr("mail_localization.data.recording.open_bag", lambda bag: openings.append(bag) or open_bag(bag))
    with Recording.opened(path) as recording:
        left_half_way = recording.samples()
        assert next(left_half_way) == SAMPLES[0]
        for _ in range(2):
            assert recording.reference().position.tolist() == [[1.0, 2.0], [3.0, 2.0]]
            assert list(recording.samples()) == pytest.approx(SAMPLES)
        assert openings == [path]
    assert list(recording.samples({"mag", "wifi"})) == [SAMPLES[0], SAMPLES[3]]
    assert openings == [path, path]


@pytest.mark.parametrize(
    ("storage", "mode"),
    [
        (StoragePlugin.SQLITE3, CompressionMode.FILE),
        (StoragePlugin.SQLITE3, CompressionMode.MESSAGE),
        (StoragePlugin.MCAP, CompressionMode.FILE),
        (StoragePlugin.MCAP, CompressionMode.STORAGE),
    ],
)
def test_compressed_bags_read(tmp_path: Path, storage: StoragePlugin, mode: CompressionMode) -> None:
    store = messages.default_typestore()
    writer = Writer(tmp_path / "bag", version=9, storage_plugin=storage)
    writer.set_compression(mode, CompressionFormat.ZSTD)
    with writer:
        connection = writer.add_connection("/imu/mag", "sensor_msgs/msg/MagneticField", typestore=store)
        data = store.serialize_cdr(messages.to_message(SAMPLES[0], store), connection.msgtype)
        writer.write(connection, START_NS, data)
    assert list(Recording(tmp_path / "bag").samples()) == [SAMPLES[0]]


def test_humble_bag_without_message_definitions_reads(tmp_path: Path) -> None:
    path = write_raw(tmp_path / "bag")
    with sqlite3.connect(next(path.glob("*.db3"))) as database:
        database.execute("DROP TABLE message_definitions")
        database.execute("DROP TABLE metadata")
        database.execute("UPDATE schema SET schema_version = 3")
    metadata = path / "metadata.yaml"
    content = YAML(typ="safe").load(metadata.read_text())
    bag = content["rosbag2_bagfile_information"]
    bag["version"] = 5
    for topic in bag["topics_with_message_count"]:
        del topic["topic_metadata"]["type_description_hash"]
    del bag["custom_data"], bag["ros_distro"]
    with metadata.open("w") as file:
        YAML(typ="safe").dump(content, file)
    recording = Recording(path)
    assert len(list(recording.samples())) == 5
    assert recording.info == RecordingInfo()


def test_split_bag_reads_as_one(tmp_path: Path) -> None:
    """Two storage files under one metadata.yaml, as `ros2 bag record --max-bag-size` leaves them."""
    walk = corridor_walk(seconds=2.0)
    half = START_NS + 1_000_000_000
    write_recording(tmp_path / "bag", [s for s in walk if s.t_ns < half], RecordingInfo())
    write_recording(tmp_path / "rest", [s for s in walk if s.t_ns >= half], RecordingInfo())
    (tmp_path / "rest" / "rest.mcap").rename(tmp_path / "bag" / "bag_1.mcap")
    metadata = tmp_path / "bag" / "metadata.yaml"
    text = metadata.read_text().replace("  - bag.mcap\n", "  - bag.mcap\n  - bag_1.mcap\n")
    metadata.write_text(text)
    stamps = [s.t_ns for s in Recording(tmp_path / "bag").samples() if isinstance(s, MagneticSample)]
    assert stamps == [s.t_ns for s in walk if isinstance(s, MagneticSample)]


def test_topics_can_be_remapped(tmp_path: Path) -> None:
    topics = Topics(mag="/phone/mag")
    write_recording(tmp_path / "bag", SAMPLES[:1], RecordingInfo(), topics)
    with pytest.raises(RecordingError, match=r"none of the topics .*; it has /phone/mag; remap"):
        Recording(tmp_path / "bag")
    assert len(list(Recording(tmp_path / "bag", topics).samples())) == 1


def test_topic_of_another_type_is_refused(tmp_path: Path) -> None:
    write_recording(tmp_path / "bag", SAMPLES, RecordingInfo())
    with pytest.raises(
        RecordingError, match=r"'/imu/mag' is sensor_msgs/msg/MagneticField, expected sensor_msgs/msg/Imu"
    ):
        Recording(tmp_path / "bag", Topics(imu="/imu/mag", mag="/x"))


def test_truncated_bag_gives_what_is_left_and_counts(tmp_path: Path) -> None:
    whole = write_survey(tmp_path, speeds=(1.0,), seconds=20.0)[0]
    storage = whole / "walk_0.mcap"
    storage.write_bytes(storage.read_bytes()[: storage.stat().st_size // 2])
    try:
        recording = Recording(whole)
        read = len(list(recording.samples()))
    except RecordingError as err:
        assert "not a readable bag" in str(err)
    else:
        assert 0 < read < 2002
        assert recording.problems == {"storage ends early or is damaged": 1}


def test_message_that_cannot_be_read_is_counted(tmp_path: Path) -> None:
    store = messages.default_typestore()
    with Writer(tmp_path / "bag", version=9) as writer:
        connection = writer.add_connection("/imu/mag", "sensor_msgs/msg/MagneticField", typestore=store)
        good = store.serialize_cdr(messages.to_message(SAMPLES[0], store), connection.msgtype)
        zero = store.serialize_cdr(messages.to_message(MagneticSample(0, (1.0, 2.0, 3.0)), store), connection.msgtype)
        for k, data in enumerate([good, bytes(good)[:20], zero]):
            writer.write(connection, START_NS + k, data)
    recording = Recording(tmp_path / "bag")
    assert [sample.t_ns for sample in recording.samples()] == [START_NS, START_NS + 2]
    assert recording.problems == {
        "/imu/mag: message cannot be read": 1,
        "/imu/mag: no stamp, logged time used": 1,
    }


@pytest.mark.parametrize("content", [b"", b"not a bag", b"\x89MCAP0\r\n"])
def test_file_that_is_no_bag_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "walk.mcap"
    path.write_bytes(content)
    with pytest.raises(RecordingError, match=r"walk.mcap: (not a readable bag|none of the topics)"):
        Recording(path)


def test_output_that_exists_is_not_overwritten(tmp_path: Path) -> None:
    write_recording(tmp_path / "bag", SAMPLES, RecordingInfo())
    with pytest.raises(RecordingError, match=r"bag: exists already"):
        write_recording(tmp_path / "bag", SAMPLES, RecordingInfo())


def test_recording_without_reference_says_what_to_do(tmp_path: Path) -> None:
    write_recording(tmp_path / "bag", SAMPLES, RecordingInfo())
    with pytest.raises(RecordingError, match=r"no topic '/reference' .* `mail_localization survey`"):
        Recording(tmp_path / "bag").reference()


def test_recordings_are_found_at_and_under_paths(tmp_path: Path) -> None:
    paths = write_survey(tmp_path / "site", seconds=2.0)
    single = tmp_path / "single.mcap"
    single.write_bytes((paths[0] / "walk_0.mcap").read_bytes())
    assert find_recordings([tmp_path]) == [single, *paths]
    assert find_recordings([paths[1], single, paths[1]]) == [single, paths[1]]
    (tmp_path / "empty").mkdir()
    with pytest.raises(RecordingError, match=r"empty: no rosbag2 folder"):
        find_recordings([tmp_path / "empty"])
    with pytest.raises(RecordingError, match=r"nowhere: no such file"):
        find_recordings([tmp_path / "nowhere"])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("message_count: 7", "message_count: many"),
        ("nanoseconds: 4", "nanoseconds: " + "9" * 400),
        ("name: /imu/mag", "name: [1, 2]"),
        ("mail_localization: '{", "mail_localization: '" + "[" * 200_000 + "{"),
    ],
    ids=["text for a number", "huge number", "list for a name", "deep JSON"],
)
def test_metadata_of_wrong_types_is_refused_or_left_out(tmp_path: Path, old: str, new: str) -> None:
    write_recording(tmp_path / "bag", [*SAMPLES, *REFERENCES], RecordingInfo("phone"))
    metadata = tmp_path / "bag" / "metadata.yaml"
    text = metadata.read_text()
    assert old in text
    metadata.write_text(text.replace(old, new))
    try:
        assert Recording(tmp_path / "bag").info == RecordingInfo()
    except RecordingError as err:
        assert "bag: not a readable bag" in str(err)
