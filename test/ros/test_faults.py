"""A quick selection of the faults of docs/reliability.md; `make faults` runs them all."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from faults import processes, soak
from faults.course import write_models
from faults.harness import Bench, bench
from faults.table import FAULTS, Fault

QUICK = [fault for fault in FAULTS if fault.quick]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return write_models(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def under_traffic(models: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with bench(tmp_path_factory.mktemp("bench"), models["magnetic_nn"], "magnetic_nn") as ours:
        yield ours


@pytest.mark.parametrize("fault", [f for f in QUICK if not f.recorded], ids=lambda fault: fault.name)
def test_node_bears_the_fault_and_tells(under_traffic: Bench, fault: Fault) -> None:
    under_traffic.inflict(fault)


def test_bag_that_starts_again_is_followed(models: dict[str, Path], tmp_path: Path) -> None:
    with bench(tmp_path, models["magnetic_nn"], "magnetic_nn", lead=-1e8) as ours:
        ours.inflict(next(fault for fault in QUICK if fault.recorded))


def test_node_stops_at_two_interrupts_under_traffic(models: dict[str, Path], tmp_path: Path) -> None:
    processes.stopped(processes.Place(tmp_path, models), "SIGINT twice", [signal.SIGINT] * 2)


def test_hostile_wifi_is_counted_and_survived(models: dict[str, Path], tmp_path: Path) -> None:
    processes.hostile_wifi(processes.Place(tmp_path, models), 600)


def test_soak_leaves_nothing_behind(models: dict[str, Path]) -> None:
    soak.in_process(models["magnetic_nn"], 10_000, print).check()
