from __future__ import annotations

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticStatus

from mail_localization.health import Level, Status
from mail_localization.ros.diagnostics import from_msg, to_msg

STATUSES = [
    Status("localization", Level.OK, "localized", {"x (m)": "3.00"}),
    Status("magnetometer", Level.STALE, "nothing on /imu/mag: µT", {}),
]


def test_statuses_survive_the_message() -> None:
    msg = to_msg(STATUSES, Time(sec=7, nanosec=8), "phone", "/robot1/localizer_node")
    assert from_msg(msg) == STATUSES
    assert (msg.header.stamp.sec, msg.header.stamp.nanosec) == (7, 8)
    assert [part.name for part in msg.status] == [
        "robot1/localizer_node: localization",
        "robot1/localizer_node: magnetometer",
    ]
    assert {part.hardware_id for part in msg.status} == {"phone"}


def test_levels_are_those_of_diagnostic_msgs() -> None:
    expected = [DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR, DiagnosticStatus.STALE]
    msg = to_msg([Status("x", level, "", {}) for level in Level], Time(), "", "node")
    assert [part.level for part in msg.status] == expected
