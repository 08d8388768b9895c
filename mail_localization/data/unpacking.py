"""Bounds on what a compressed bag may unpack to: a kilobyte of zeros' zeros must not fill memory or disk."""

from __future__ import annotations

import functools
import importlib
import types
from typing import IO, Any

CHUNK_LIMIT = 256 * 2**20
"""Largest chunk or message that is unpacked, bytes; recorders make chunks of about a megabyte."""
FILE_RATIO, FILE_LIMIT = 200, 2**30
"""A compressed file may unpack to this many times its size, and in any case to FILE_LIMIT bytes."""


@functools.cache
def bound_unpacking() -> None:
    """Give the library rosbags decompressors that stop; it unpacks whatever a file holds, whole, before any check."""
    mcap = importlib.import_module("rosbags.rosbag2.storage_mcap")
    folder: Any = importlib.import_module("rosbags.rosbag2.reader")
    lz4 = importlib.import_module("lz4.frame")
    zstd = folder.zstd
    mcap.DECOMPRESSORS["zstd"] = lambda data, size: _unpacked(zstd.ZstdDecompressor(), data, size)
    mcap.DECOMPRESSORS["lz4"] = lambda data, size: _unpacked(lz4.LZ4FrameDecompressor(), data, size)
    folder.zstd = types.SimpleNamespace(
        decompress=lambda data: _unpacked(zstd.ZstdDecompressor(), data, CHUNK_LIMIT),
        open=lambda file, mode: _BoundedFile(zstd.open(file, mode), file),
    )


def _unpacked(decompressor: Any, data: bytes, limit: int) -> bytes:
    # One byte more than allowed tells a frame that is too long from one that ends there.
    unpacked: bytes = decompressor.decompress(data, min(limit, CHUNK_LIMIT) + 1)
    if len(unpacked) > min(limit, CHUNK_LIMIT):
        raise ValueError(f"{len(data)} bytes unpack to more than {min(limit, CHUNK_LIMIT)}")
    if not decompressor.eof:
        raise ValueError("compressed data ends early")
    return unpacked


class _BoundedFile:
    """A compressed file that refuses to go on for ever."""

    def __init__(self, unpacked: IO[bytes], packed: IO[bytes]) -> None:
        self._unpacked = unpacked
        self._left = max(FILE_LIMIT, FILE_RATIO * packed.seek(0, 2))
        packed.seek(0)

    def __enter__(self) -> _BoundedFile:
        return self

    def __exit__(self, *args: object) -> None:
        self._unpacked.close()

    def read(self, size: int = -1) -> bytes:
        data = self._unpacked.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise ValueError("the compressed file unpacks to far more than recordings do")
        return data
