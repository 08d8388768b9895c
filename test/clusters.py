"""A Dask cluster of this machine, as real as one of many: its scheduler and workers talk through TCP."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def cluster(workers: int = 2, threads: int = 1) -> Iterator[str]:
    """Start a scheduler here and worker processes; yield its address."""
    import dask
    from distributed import LocalCluster

    options = {
        "n_workers": workers, "threads_per_worker": threads, "processes": True, "host": "127.0.0.1",
        "dashboard_address": ":0", "scheduler_port": 0, "silence_logs": 60,
    }  # fmt: skip
    with dask.config.set({"distributed.scheduler.allowed-failures": 1}), LocalCluster(**options) as running:
        yield running.scheduler_address


@contextmanager
def processes(folder: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Start scheduler and worker in a folder as docs/clusters.md says; yield the address and the scheduler."""
    command = [sys.executable, "-m", "dask"]
    file = folder / "scheduler.json"
    options = ["--host", "127.0.0.1", "--port", "0", "--dashboard-address", "127.0.0.1:0", "--scheduler-file", file]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    log = (folder / "dask.log").open("wb")
    scheduler = subprocess.Popen([*command, "scheduler", *options], stderr=log, env=environment, cwd=folder)
    deadline = time.monotonic() + 30
    while not (address := _address(file)):
        assert scheduler.poll() is None and time.monotonic() < deadline, (folder / "dask.log").read_text()
        time.sleep(0.05)
    worker = subprocess.Popen([*command, "worker", address, "--nthreads", "1"], stderr=log, env=environment, cwd=folder)
    try:
        yield address, scheduler
    finally:
        for process in (worker, scheduler):
            process.kill()
            process.wait(30)
        log.close()


def _address(file: Path) -> str:
    """Return the address that a scheduler has written; empty while it has not, or not to the end."""
    try:
        return str(json.loads(file.read_text())["address"])
    except (FileNotFoundError, json.JSONDecodeError):
        return ""
