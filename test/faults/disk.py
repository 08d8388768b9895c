"""A disk that fills up while reports, models and recordings are written."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Write:
    """A command that writes, and how to see that what it left is whole."""

    name: str
    arguments: Callable[[Path], list[str]]
    """Output path -> arguments of mail_localization."""
    sizes_kb: tuple[int, ...]
    """Room left on the disk: it gives out at another file each time."""
    check: Callable[[Path], None]
    """Raise where something half-written is taken for whole."""


@contextlib.contextmanager
def small_disk(folder: Path, size_kb: int) -> Iterator[Path]:
    """Mount a tmpfs of a few kilobytes; PermissionError where that is not allowed."""
    folder.mkdir(parents=True, exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size_kb}k,nr_inodes=1k", "faults", str(folder)]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        raise PermissionError("mounting a tmpfs needs root")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def may_mount(folder: Path) -> bool:
    """Tell whether a real full disk can be made here."""
    try:
        with small_disk(folder, 16):
            return True
    except (PermissionError, FileNotFoundError):
        return False


def limited(size_kb: int) -> Callable[[], None]:
    """Return what limits a child's files to a size instead: writing more fails with EFBIG."""

    def limit() -> None:
        import resource
        import signal

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size_kb * 1024, size_kb * 1024))

    return limit


def fill(write: Write, folder: Path, real: bool) -> tuple[int, int]:
    """Run the command with ever more room; return how often it failed, each time with one clear line, and succeeded."""
    failed = succeeded = 0
    for size in write.sizes_kb:
        out = folder / f"{write.name}_{size}"
        with small_disk(out, size) if real else contextlib.nullcontext(out):
            done = _run(write.arguments(out / "out"), None if real else limited(size))
            if done.returncode == 0:
                succeeded += 1
            else:
                failed += 1
                check_refusal(done)
            write.check(out / "out")
        shutil.rmtree(out, ignore_errors=True)
    return failed, succeeded


def check_refusal(done: subprocess.CompletedProcess[str]) -> None:
    """Require exit code 1 and one line that tells what cannot be written."""
    errors = [line for line in done.stderr.splitlines() if "error:" in line]
    assert done.returncode == 1 and len(errors) == 1, f"exit code {done.returncode}: {done.stderr[-2000:]}"
    assert "Traceback" not in done.stderr, done.stderr[-2000:]
    assert any(reason in errors[0] for reason in ("No space left", "File too large", "cannot be written")), errors[0]


def _run(arguments: list[str], before: Callable[[], None] | None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mail_localization", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, preexec_fn=before, timeout=300)
