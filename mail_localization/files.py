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
