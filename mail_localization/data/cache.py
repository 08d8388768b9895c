"""What was made of recordings, kept between runs: as plain .npy files that are mapped into memory, not read."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

LIMIT = 4 << 30
"""Size beyond which the entries that were not used for longest are removed, bytes."""
_MAPPED = 1 << 20
"""Size from which a file is mapped, bytes: each mapping takes one of the process's file handles."""
_FACTS = "entry.json"
_log = logging.getLogger(__name__)


class Entry(NamedTuple):
    """What is kept of one recording."""

    arrays: dict[str, Array]
    facts: dict[str, Any]
    """All else, as JSON can hold it."""


@dataclass(frozen=True)
class Cache:
    """A folder of entries, or none.

    The key of an entry is a hash of the recording's bytes, of the settings, and of the code that makes it. Any number
    of processes may share the folder. An entry that is damaged is made anew, and where nothing can be written, runs go
    on without.
    """

    folder: Path | None = None
    """None keeps nothing."""

    def kept(self, kind: str, bag: Path, settings: Mapping[str, Any], make: Callable[[], Entry]) -> Entry:
        """Return the entry of a recording, made now if there is none; errors are those of `make`."""
        if self.folder is None:
            return make()
        try:
            folder = self.folder / _key(kind, bag, settings)
        except OSError:
            return make()  # it knows what to say of a recording that cannot be read
        if (found := _read(folder)) is not None:
            return found
        made = make()
        try:
            _write(folder, made)
            _trim(self.folder)
        except OSError as err:
            _warn(self.folder, err.strerror or str(err))
            return made
        # From now on the rows may leave memory whenever it is short.
        return _read(folder) or made


NO_CACHE = Cache()


def default_folder() -> Path | None:
    """Return where caches belong by the XDG specification; None without a home."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"))
    return base / "mail_localization" if base.is_absolute() else None


def _key(kind: str, bag: Path, settings: Mapping[str, Any]) -> str:
    files = sorted(path for path in bag.rglob("*") if path.is_file()) if bag.is_dir() else [bag]
    parts = [kind, _code(), json.dumps(settings, sort_keys=True)]
    for path in files:
        with path.open("rb") as file:
            parts += [path.name, hashlib.file_digest(file, "sha256").hexdigest()]
    return f"{kind}-{hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]}"


@lru_cache(maxsize=1)
def _code() -> str:
    """Return a hash of the code that reads and resamples recordings: when it changes, so may the numbers."""
    package = Path(__file__).parents[1]
    files = [path for name in ("data", "preprocess") for path in sorted((package / name).glob("*.py"))]
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in files)).hexdigest()


def _read(folder: Path) -> Entry | None:
    """Return an entry whose every byte is as it was written; None if there is none."""
    try:
        content = json.loads((folder / _FACTS).read_bytes())
        arrays = {name: _load(folder / f"{name}.npy") for name in content["arrays"]}
        if {name: _digest(array) for name, array in arrays.items()} != content["arrays"]:
            return None
        os.utime(folder)
        return Entry(arrays, dict(content["facts"]))
    except (OSError, ValueError, TypeError, KeyError, EOFError):
        return None


def _load(path: Path) -> Array:
    try:
        array: Array = np.load(path, mmap_mode="r" if path.stat().st_size >= _MAPPED else None)
    except OSError:
        array = np.load(path)  # no file handle is left to map it
    return array


def _digest(array: Array) -> str:
    digest = hashlib.sha256(f"{array.dtype.str} {array.shape}".encode())
    digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _write(folder: Path, entry: Entry) -> None:
    """Write an entry whole or not at all, in the place of a damaged one; OSError where it cannot be."""
    partial = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    content = {"arrays": {name: _digest(array) for name, array in entry.arrays.items()}, "facts": entry.facts}
    try:
        partial.mkdir(parents=True, exist_ok=True)
        for name, array in entry.arrays.items():
            np.save(partial / f"{name}.npy", array)
        (partial / _FACTS).write_text(json.dumps(content), encoding="utf-8")
        if folder.exists() and _read(folder) is None:
            shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
    except OSError:
        # Another process may have been quicker: what it wrote is the same.
        if _read(folder) is None:
            raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _trim(cache: Path) -> None:
    """Remove the entries that were not used for longest, while all are larger than the limit."""
    entries = []
    for path in cache.iterdir():
        with contextlib.suppress(FileNotFoundError):  # another process removes entries, too
            if not path.name.startswith("."):
                size = sum(file.stat().st_size for file in path.iterdir())
                entries.append((path.stat().st_mtime_ns, path, size))
    total = sum(size for _, _, size in entries)
    for _, path, size in sorted(entries)[:-1]:
        if total <= LIMIT:
            return
        shutil.rmtree(path, ignore_errors=True)
        total -= size


@lru_cache
def _warn(folder: Path, reason: str) -> None:
    _log.warning("%s: recordings are not cached: %s; free some space, or give another --cache", folder, reason)
