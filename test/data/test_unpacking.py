from __future__ import annotations

import struct
from pathlib import Path

import pytest
from faults.bags import read_all, serialized, write_raw
from lz4.frame import compress as lz4_compress
from rosbags.rosbag2 import reader as library
from rosbags.rosbag2 import storage_mcap as mcap

from mail_localization.data import unpacking
from mail_localization.data.recording import Recording
from mail_localization.errors import RecordingError

unpacking.bound_unpacking()


def packed_with_zstd(data: bytes) -> bytes:
    packed: bytes = mcap.zstd.compress(data)
    return packed


def test_message_that_unpacks_too_far_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacking, "CHUNK_LIMIT", 10**6)
    assert library.zstd.decompress(packed_with_zstd(bytes(10**6))) == bytes(10**6)
    with pytest.raises(ValueError, match=r"bytes unpack to more than 1000000"):
        library.zstd.decompress(packed_with_zstd(bytes(10**7)))


@pytest.mark.parametrize("compression", ["zstd", "lz4"])
def test_chunk_must_not_be_longer_than_it_says(compression: str) -> None:
    data = b"message" * 1000
    packed = lz4_compress(data) if compression == "lz4" else packed_with_zstd(data)
    assert mcap.DECOMPRESSORS[compression](packed, len(data)) == data
    with pytest.raises(ValueError, match="unpack to more than 6999"):
        mcap.DECOMPRESSORS[compression](packed, 6999)
    with pytest.raises(ValueError, match="ends early"):
        mcap.DECOMPRESSORS[compression](packed[:-5], len(data))


def test_compressed_file_that_unpacks_too_far_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_raw(tmp_path / "bag", serialized(), "mcap_file")
    read_all(tmp_path / "bag")
    monkeypatch.setattr(unpacking, "FILE_LIMIT", 10_000)
    read_all(tmp_path / "bag")
    next((tmp_path / "bag").glob("*.zstd")).write_bytes(packed_with_zstd(bytes(10**7)))
    with pytest.raises(RecordingError, match="not a readable bag: the compressed file unpacks to far more"):
        Recording(tmp_path / "bag")


def test_bag_with_a_chunk_that_lies_is_counted_not_unpacked(tmp_path: Path) -> None:
    write_raw(tmp_path / "bag", serialized(), "mcap_chunks")
    storage = next((tmp_path / "bag").glob("*.mcap"))
    blob = storage.read_bytes()
    # The last mention is in the index: the compression's name, then the compressed and the unpacked size.
    index = blob.rindex(b"\x04\x00\x00\x00zstd")
    (size,) = struct.unpack_from("<Q", blob, index + 16)
    storage.write_bytes(blob[: index + 16] + struct.pack("<Q", size - 1) + blob[index + 24 :])
    recording = Recording(tmp_path / "bag")
    assert list(recording.samples()) == []
    assert recording.problems == {"storage ends early or is damaged": 1}
