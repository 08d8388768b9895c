from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mail_localization.errors import ConfigError
from mail_localization.experiments.config import CompareConfig
from mail_localization.experiments.plan import Plan, make_plan
from mail_localization.experiments.sites import load_sites

Content = dict[str, Any]
MakePlan = Callable[[Content], Plan]


@pytest.fixture
def plan_of(written: Callable[[Content], Path], root: Path) -> MakePlan:
    """Return the plan of a comparison's content."""

    def call(content: Content) -> Plan:
        config = CompareConfig.from_yaml(written(content))
        return make_plan(config, load_sites(config, root, progress=False))

    return call


def fused(content: Content) -> Content:
    """Add a method that is pretrained, a site to pretrain at, and a transfer."""
    content["sites"]["other"] = {"recordings": ["a"], "test": ["walk_0"], "validation": ["walk_1"]}
    content["methods"] = {
        "fused": {
            "method": "mmloc_plus", "needs": ["mag", "imu"], "trials": [{}, {"training": {"epochs": 3}}],
            "pretrain": {"sites": ["corridor", "other"], "max_minutes": 2.0},
        },
        "plain": {"method": "mail", "needs": ["odom"]},
    }  # fmt: skip
    del content["sites"]["corridor"]["overrides"]
    content["experiments"] = {
        "transfers": {"t": {"method": "fused", "target": "corridor", "sources": ["other"], "shares": [0.1, 1.0]}}
    }
    return content


def test_pretraining_sees_no_test_or_validation_recording_of_the_site(tiny: Content, plan_of: MakePlan) -> None:
    plan = plan_of(fused(tiny))
    for site, seen in (("corridor", ["a/walk_0", "a/walk_1"]), ("other", ["a/walk_2", "a/walk_3"])):
        for folder in plan.trials[site, "fused"]:
            pretraining = plan.tasks[plan.tasks[folder].arguments["lstm1"]]
            assert pretraining.arguments["recordings"] == seen
            assert pretraining.folder in plan.tasks[folder].needs and pretraining.minutes == 2.0


def test_a_transfer_starts_from_other_sites_and_from_scratch(tiny: Content, plan_of: MakePlan) -> None:
    plan = plan_of(fused(tiny))
    assert {key[:3] for key in plan.transfers} == {
        ("t", way, share) for way in ("transfer", "scratch") for share in (0.1, 1.0)
    }
    for (_, way, share, seed), folder in plan.transfers.items():
        (trained,) = plan.tasks[folder].arguments["candidates"]
        arguments = plan.tasks[trained].arguments
        assert (arguments["share"], arguments["seed"]) == (share, seed)
        assert arguments["like"] == plan.trials["corridor", "fused"], "settings as kept in the comparison"
        assert bool(arguments["lstm1"]) == (way == "transfer")
        if arguments["lstm1"]:
            recordings = plan.tasks[arguments["lstm1"]].arguments["recordings"]
            assert recordings == [], "all that the other site trains on is test or validation here"


def test_the_first_seed_chooses_and_the_others_follow(tiny: Content, plan_of: MakePlan) -> None:
    plan = plan_of(tiny)
    trials = plan.trials["corridor", "mail"]
    first, second = (plan.tasks[plan.evaluations["corridor", "mail", seed]] for seed in (0, 1))
    assert first.arguments["candidates"] == trials and len(trials) == 2
    (again,) = second.arguments["candidates"]
    assert plan.tasks[again].arguments["like"] == trials and plan.tasks[again].arguments["seed"] == 1
    assert ("corridor", "flat", 1) not in plan.evaluations, "it has one seed"


def test_a_method_stands_after_the_one_it_is_like_or_before(tiny: Content, plan_of: MakePlan) -> None:
    tiny["methods"] = dict(reversed(tiny["methods"].items()))
    plan = plan_of(tiny)
    (flat,) = plan.trials["corridor", "flat"]
    assert plan.tasks[flat].arguments["like"] == plan.trials["corridor", "mail"]


def test_the_speed_as_recorded_is_evaluated_once(tiny: Content, plan_of: MakePlan) -> None:
    plan = plan_of(tiny)
    assert plan.speeds["corridor", "nearest", "normal"] == plan.evaluations["corridor", "nearest", 0]
    assert plan.speeds["corridor", "nearest", "slow"] != plan.evaluations["corridor", "nearest", 0]


def test_what_a_variant_gets_wrong_is_named(tiny: Content, plan_of: MakePlan) -> None:
    tiny["experiments"]["sweeps"]["length"]["variants"][3] = {"window": {"lenght": 3}}
    message = r"sweeps: length: 3 \(at site corridor\): window: unknown setting 'lenght'; did you mean 'length'"
    with pytest.raises(ConfigError, match=message):
        plan_of(tiny)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sources": ["corridor"]}, "transfers: t: sources: .* name sites other than the target"),
        ({"method": "plain"}, "transfers: t: method: 'plain' is a mail; only mmloc_plus is pretrained"),
        ({"target": "coridor"}, "transfers: t: target: unknown site 'coridor'; did you mean 'corridor'"),
        ({"shares": [0.0]}, "transfers: t: shares: 0.0 is outside 0.001 to 1.0"),
    ],
)
def test_a_wrong_transfer_is_named(tiny: Content, plan_of: MakePlan, changes: Content, message: str) -> None:
    content = fused(tiny)
    content["experiments"]["transfers"]["t"].update(changes)
    with pytest.raises(ConfigError, match=message):
        plan_of(content)
