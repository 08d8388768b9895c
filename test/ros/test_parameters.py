"""Parameters at run time, on a node in this process."""

from __future__ import annotations

import pytest
import rclpy
from rclpy.node import Node
from rclpy.parameter import Parameter

from mail_localization.config import Settings, group, setting
from mail_localization.errors import ConfigError
from mail_localization.ros.parameters import Parameters, flat, nested


class Inner(Settings):
    paths: tuple[str, ...] = setting(("a", "b"), "some texts")
    unit: str = setting("dbm", "unit", choices=("dbm", "percent"))


class Outer(Settings):
    scale: float = setting(1.0, "factor", minimum=0.5, maximum=3.0)
    count: int = setting(3, "a number", minimum=1)
    inner: Inner = group(Inner)


@pytest.fixture
def make(request):
    nodes: list[Node] = []

    def make(*arguments: str, in_use: bool = True):
        rclpy.init(args=["--ros-args", *arguments])
        nodes.append(Node("holder"))
        return nodes[-1], Parameters(nodes[-1], Outer, frozenset({"scale"}), lambda: in_use)

    yield make
    for node in nodes:
        node.destroy_node()
    rclpy.shutdown()


def test_nested_settings_are_dotted_parameters(make) -> None:
    node, parameters = make("-p", "inner.unit:=percent", "-p", "inner.paths:=[c]", "-p", "scale:=2")
    assert parameters.current == Outer(scale=2.0, inner=Inner(unit="percent", paths=("c",)))
    assert node.get_parameter("inner.unit").value == "percent"
    assert list(node.get_parameter("inner.paths").value) == ["c"]
    assert node.describe_parameter("inner.unit").additional_constraints == "dbm, percent"
    assert node.describe_parameter("scale").floating_point_range[0].to_value == 3.0


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("inner.unti:=dbm", r"unknown parameter 'inner.unti'; did you mean 'inner.unit'\?"),
        ("inner.unit:=watt", "inner: unit: 'watt' is not one of dbm, percent"),
        ("inner:=dbm", "unknown parameter 'inner'"),
        ("count:=1.5", "count: expected int, found 1.5"),
    ],
)
def test_wrong_parameter_is_an_error_with_its_name(make, argument: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make("-p", argument)


def outcome(node: Node, name: str, value) -> tuple[bool, str]:
    (result,) = node.set_parameters([Parameter(name, value=value)])
    return result.successful, result.reason


def test_live_parameter_takes_effect_at_once(make) -> None:
    node, parameters = make()
    assert outcome(node, "scale", 2.5)[0]
    assert parameters.current.scale == 2.5
    # An integer for a double, as `ros2 param set /holder scale 2` sends it.
    assert outcome(node, "scale", 2)[0]
    assert parameters.current.scale == 2.0
    assert node.get_parameter("scale").type_ == Parameter.Type.DOUBLE


@pytest.mark.parametrize("value", [5.0, float("nan"), "wide"])
def test_bad_value_is_refused_and_nothing_changes(make, value) -> None:
    node, parameters = make()
    successful, reason = outcome(node, "scale", value)
    assert not successful
    assert reason
    assert parameters.current.scale == 1.0
    assert node.get_parameter("scale").value == 1.0


def test_parameter_in_use_is_refused_with_the_reason(make) -> None:
    node, parameters = make()
    assert outcome(node, "inner.unit", "percent") == (
        False, "inner.unit is read when the node is configured: deactivate and clean up first, then set it"
    )  # fmt: skip
    assert outcome(node, "inner.unit", "dbm")[0]  # No change: nothing to refuse.
    assert parameters.current == Outer()


def test_parameter_not_yet_in_use_can_change(make) -> None:
    node, parameters = make(in_use=False)
    assert outcome(node, "inner.unit", "percent")[0]
    assert outcome(node, "inner.paths", ["x", "y"])[0]
    assert parameters.current.inner == Inner(unit="percent", paths=("x", "y"))
    assert outcome(node, "inner.paths", [])[0]  # An empty array has no type.
    assert parameters.current.inner.paths == ()
    assert outcome(node, "inner.paths", [1])[1].endswith("expected a list of str, found 1 in it")
    assert outcome(node, "inner.unit", "watt")[1].endswith("'watt' is not one of dbm, percent (unit)")


def test_atomic_change_is_all_or_nothing(make) -> None:
    node, parameters = make(in_use=False)
    changes = [Parameter("scale", value=2.0), Parameter("count", value=0)]
    assert not node.set_parameters_atomically(changes).successful
    assert parameters.current == Outer()


def test_flat_and_nested_are_inverse() -> None:
    assert Outer.from_mapping(nested(flat(Outer(count=9)))) == Outer(count=9)
