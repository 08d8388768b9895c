"""Files that are never seen half written."""

from __future__ import annotations

import os
from pathlib import Path


def replace_file(path: Path, content: bytes, durable: bool = False) -> None:
    """Replace a file's content at once: a reader sees the old or the new, never a part.

    Args:
        durable: wait until the content is on the disk, so that a power cut cannot take it either.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as file:
            file.write(content)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def file_stamps(path: Path) -> tuple[tuple[str, int, int], ...]:
    """Return name, size (bytes) and time of change (ns) of a file, or of each file in a folder.

    They tell whether the content may have changed, without reading it.
    """
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    stats = [(file.name, file.stat()) for file in files if file.is_file()]
    return tuple((name, stat.st_size, stat.st_mtime_ns) for name, stat in stats)
