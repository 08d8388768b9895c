from __future__ import annotations

import _thread
import json
import threading
import time
from multiprocessing import active_children
from pathlib import Path

import pytest
from clusters import cluster

from mail_localization.errors import EvaluationError
from mail_localization.experiments.runner import Outcome, _locked, _ranks, run_tasks
from mail_localization.experiments.tasks import Store, Task
from mail_localization.workers import HERE, Spread


def task(name: str, step: str = "mark", needs: tuple[str, ...] = (), alone: bool = False, **arguments: int) -> Task:
    return Task(name, f"experiment_steps:{step}", arguments, needs=needs, alone=alone)


def run(tmp_path: Path, *tasks: Task, spread: Spread = HERE, code: str = "", any_code: bool = False) -> Outcome:
    store = Store(tmp_path / "runs", code, any_code)
    return run_tasks({one.folder: one for one in tasks}, tmp_path, store, spread, progress=False)


def times_run(tmp_path: Path, one: Task) -> int:
    path = tmp_path / "runs" / one.folder / "ran"
    return len(path.read_text()) if path.exists() else 0


def test_a_task_runs_once_and_again_only_if_what_goes_into_it_changes(tmp_path: Path) -> None:
    first = task("first", value=1)
    second = task("second", needs=(first.folder,))
    assert run(tmp_path, first, second).done == 2
    assert Store(tmp_path / "runs").result(first.folder) == {"value": 1}
    outcome = run(tmp_path, first, second)
    assert (outcome.done, outcome.reused) == (0, 2)
    # Another result of the first is another input of the second.
    result = tmp_path / "runs" / first.folder / "result.json"
    content = json.loads(result.read_text())
    result.write_text(json.dumps(content | {"result": {"value": 2}}))
    outcome = run(tmp_path, first, second)
    assert (outcome.done, outcome.reused) == (1, 1)
    assert times_run(tmp_path, first) == 1
    assert times_run(tmp_path, second) == 1, "nothing is left of what was built on another result"


def test_failures_are_recorded_in_one_line_and_the_rest_goes_on(tmp_path: Path) -> None:
    refused, bug, dead = task("refused", "refuse"), task("bug", "stumble"), task("dead", "die")
    after = task("after", needs=(refused.folder,))
    outcome = run(tmp_path, refused, bug, dead, after)
    assert outcome.failed[refused.folder] == "a.yaml: no recording for this"
    assert outcome.failed[bug.folder].startswith("ValueError: invalid literal")
    assert "worker process died" in outcome.failed[dead.folder]
    assert outcome.done == 1 and times_run(tmp_path, after) == 1
    assert Store(tmp_path / "runs").error(refused.folder) == "a.yaml: no recording for this"
    assert "Traceback" in (tmp_path / "runs" / bug.folder / "log.txt").read_text()
    run(tmp_path, refused, after)
    assert times_run(tmp_path, refused) == 2, "what failed is tried again"
    assert times_run(tmp_path, after) == 1


def test_an_interrupt_ends_the_run_at_once_and_finished_tasks_stay(tmp_path: Path) -> None:
    quick = task("quick")
    slow = task("slow", "sleep", needs=(quick.folder,))
    threading.Thread(target=_interrupt_when, args=(tmp_path / "runs" / slow.folder / "log.txt",)).start()
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, quick, slow)
    ended = time.monotonic()
    while active_children():
        assert time.monotonic() - ended < 3
    assert run(tmp_path, quick).reused == 1


def _interrupt_when(path: Path) -> None:
    deadline = time.monotonic() + 30
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    _thread.interrupt_main()


def test_what_other_code_finished_is_run_anew_unless_it_is_to_be_kept(tmp_path: Path) -> None:
    first = task("first")
    second = task("second", needs=(first.folder,))
    assert run(tmp_path, first, second, code="old").done == 2
    assert run(tmp_path, first, second, code="new", any_code=True) == Outcome(reused=2, stale=2)
    assert run(tmp_path, first, second, code="new") == Outcome(stale=2, done=2)
    assert times_run(tmp_path, first) == 1, "nothing is left of what the old code had begun"
    assert run(tmp_path, first, second, code="new") == Outcome(reused=2)


def test_a_cluster_runs_the_same_tasks_and_their_output_is_logged(tmp_path: Path) -> None:
    refused, bug = task("refused", "refuse"), task("bug", "stumble")
    first = task("first", value=1)
    second = task("second", needs=(first.folder,))
    with cluster() as address:
        outcome = run(tmp_path, refused, bug, first, second, spread=Spread(1, address))
        assert run(tmp_path, first, second, spread=Spread(1, address)).reused == 2
    assert (outcome.done, set(outcome.failed)) == (2, {refused.folder, bug.folder})
    assert "Traceback" in (tmp_path / "runs" / bug.folder / "log.txt").read_text()
    assert times_run(tmp_path, first) == times_run(tmp_path, second) == 1


def test_what_must_be_alone_runs_last(tmp_path: Path) -> None:
    measured, others = task("measured", alone=True), [task(f"other{k}", value=k) for k in range(3)]
    assert run(tmp_path, measured, *others, spread=Spread(2)).done == 4
    folders = [tmp_path / "runs" / one.folder / "result.json" for one in (measured, *others)]
    assert folders[0].stat().st_mtime_ns == max(path.stat().st_mtime_ns for path in folders)


def test_the_longest_chain_comes_first() -> None:
    short = Task("short", "m:f", {}, minutes=2)
    first = Task("first", "m:f", {}, minutes=1)
    second = Task("second", "m:f", {}, needs=(first.folder,), minutes=3)
    ranks = _ranks({one.folder: one for one in (short, first, second)})
    assert ranks == {short.folder: 2, first.folder: 4, second.folder: 3}


def test_two_runs_do_not_share_a_folder(tmp_path: Path) -> None:
    with _locked(tmp_path / "runs"), pytest.raises(EvaluationError, match="another `compare` works here"):
        run(tmp_path, task("one"))
