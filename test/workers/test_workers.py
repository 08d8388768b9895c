"""What holds for workers of either kind."""

from __future__ import annotations

import os
import time
from multiprocessing import active_children
from pathlib import Path

import pytest
import worker_calls

from mail_localization.workers import HERE, Spread, each, open_workers
from mail_localization.workers.calls import Answer


def test_every_item_has_its_answer_once(spread: Spread) -> None:
    answers = list(each(worker_calls.doubled, range(20), spread))
    assert sorted(index for index, _ in answers) == list(range(20))
    assert {index: answer.value for index, answer in answers} == {k: 2 * k for k in range(20)}


def test_work_is_spread_over_other_processes(spread: Spread) -> None:
    processes = {answer.value for _, answer in each(worker_calls.own_process, range(40), spread)}
    assert len(processes) == 2 and os.getpid() not in processes


def test_an_item_that_fails_is_a_line_and_the_others_go_on(spread: Spread) -> None:
    answers = dict(each(worker_calls.doubled, [1, -1, 3], spread))
    assert answers == {0: Answer(2), 1: Answer(error="bag_-1: no such file"), 2: Answer(6)}
    bugs = dict(each(worker_calls.stumble, ["1", "many"], spread))
    assert bugs[0] == Answer(1)
    assert bugs[1].error.startswith("ValueError: invalid literal") and "(worker_calls.py, line " in bugs[1].error


def test_what_a_lost_worker_was_at_is_done_again(spread: Spread, tmp_path: Path) -> None:
    with open_workers(spread) as workers:
        workers.begin(0, worker_calls.killed_once, tmp_path / "ran")
        workers.begin(1, worker_calls.doubled, 5)
        answers: dict[int, Answer] = {}
        while len(answers) < 2:
            answers.update(workers.wait())
    assert answers == {0: Answer(2), 1: Answer(10)}, "it ran twice"


def test_what_kills_every_worker_is_given_up_and_named_and_the_others_go_on(spread: Spread) -> None:
    with open_workers(spread) as workers:
        workers.begin(7, worker_calls.killed_always, None)
        # Begun at once, some of them are on the worker that dies.
        for number in range(4):
            workers.begin(number, worker_calls.doubled, number)
        answers: dict[int, Answer] = {}
        while len(answers) < 5:
            answers.update(workers.wait())
    assert "out of memory perhaps" in answers.pop(7).error
    assert answers == {number: Answer(2 * number) for number in range(4)}


def test_giving_up_ends_what_is_running(spread: Spread, tmp_path: Path) -> None:
    path = tmp_path / "sleeping"
    deadline = time.monotonic() + 20
    with open_workers(spread) as workers:
        workers.begin(0, worker_calls.sleep, path)
        while not (path.exists() and path.read_text()):
            assert time.monotonic() < deadline
            assert workers.wait(0.05) == []
    pid = int(path.read_text())
    while Path(f"/proc/{pid}").exists() and "Z" not in Path(f"/proc/{pid}/stat").read_text().rsplit(")")[1][:3]:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_one_job_or_one_item_needs_no_other_process() -> None:
    others = set(active_children())
    assert [answer.value for _, answer in each(worker_calls.own_process, range(3), HERE)] == [os.getpid()] * 3
    ((_, answer),) = each(worker_calls.own_process, [0], Spread(4))
    assert answer.value == os.getpid()
    assert set(active_children()) == others
    assert dict(each(worker_calls.doubled, [-2], HERE)) == {0: Answer(error="bag_-2: no such file")}


@pytest.mark.parametrize("items", [[], [1]])
def test_few_items_are_few_answers(spread: Spread, items: list[int]) -> None:
    assert len(list(each(worker_calls.doubled, items, spread))) == len(items)
