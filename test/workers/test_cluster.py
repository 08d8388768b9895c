"""What is peculiar to a cluster: whom it takes, and whom it misses."""

from __future__ import annotations

import builtins
import shutil
import socket
import time
from pathlib import Path
from typing import Any

import pytest
import worker_calls
from clusters import cluster, processes

import mail_localization
from mail_localization.errors import ClusterError, MissingDependencyError
from mail_localization.workers import Spread, open_workers
from mail_localization.workers import cluster as dask_workers

PACKAGE = Path(mail_localization.__file__).parent


def refusal(address: str) -> str:
    with pytest.raises(ClusterError) as refused, open_workers(Spread(1, address)):
        pass
    return str(refused.value)


def test_a_scheduler_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dask_workers, "REACHED", 0.5)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    assert f"{address}: no Dask scheduler answers; start one" in refusal(address)
    assert "no Dask scheduler answers" in refusal("nonsense://host")


def test_a_scheduler_without_workers_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dask_workers, "MANNED", 0.5)
    with cluster(workers=0) as address:
        assert f"it has no workers; start some with `dask worker {address} --nthreads 1`" in refusal(address)


def test_a_worker_of_several_threads_is_refused() -> None:
    with cluster(workers=1, threads=2) as address:
        assert "has 2 threads; start it with --nthreads 1" in refusal(address)


def test_another_version_is_refused(tmp_path: Path) -> None:
    other = shutil.copytree(PACKAGE, tmp_path / PACKAGE.name, ignore=shutil.ignore_patterns("__pycache__"))
    with (other / "types.py").open("a") as file:
        file.write("# Changed.\n")
    with processes(tmp_path) as (address, _):
        assert "the scheduler has another version of mail_localization; install the one" in refusal(address)


def test_a_scheduler_that_is_killed_is_said_and_nothing_hangs(tmp_path: Path) -> None:
    with processes(tmp_path) as (address, scheduler), open_workers(Spread(1, address)) as workers:
        workers.begin(0, worker_calls.sleep, tmp_path / "sleeping")
        deadline = time.monotonic() + 30
        while not (tmp_path / "sleeping").exists():
            assert workers.wait(0.05) == [] and time.monotonic() < deadline
        scheduler.kill()
        with pytest.raises(ClusterError, match="the connection is lost; what is finished is kept"):
            while time.monotonic() < deadline:
                workers.wait()


def test_a_missing_package_names_the_pip_line(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without_dask(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "mail_localization.workers.cluster":
            raise ModuleNotFoundError("No module named 'distributed'", name="distributed")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_dask)
    with (
        pytest.raises(MissingDependencyError, match=r"pip install 'mail_localization\[distributed\]'"),
        open_workers(Spread(1, "tcp://127.0.0.1:1")),
    ):
        pass
