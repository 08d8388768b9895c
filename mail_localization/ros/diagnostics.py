"""Statuses to diagnostic_msgs."""

from __future__ import annotations

from collections.abc import Iterable

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from std_msgs.msg import Header

from mail_localization.health import Level, Status


def to_msg(statuses: Iterable[Status], stamp: Time, hardware_id: str, node_name: str) -> DiagnosticArray:
    """Build the message for /diagnostics; a status is named `NODE: NAME`, as diagnostic_updater does."""
    parts = [
        DiagnosticStatus(
            level=bytes([status.level]),
            name=f"{node_name.lstrip('/')}: {status.name}",
            message=status.message,
            hardware_id=hardware_id,
            values=[KeyValue(key=key, value=value) for key, value in status.values.items()],
        )
        for status in statuses
    ]
    return DiagnosticArray(header=Header(stamp=stamp), status=parts)


def from_msg(msg: DiagnosticArray) -> list[Status]:
    """Read the message back, each name without its node."""
    return [
        Status(
            part.name.rpartition(": ")[2],
            Level(part.level[0]),
            part.message,
            {entry.key: entry.value for entry in part.values},
        )
        for part in msg.status
    ]
