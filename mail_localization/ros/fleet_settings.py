"""Everything fleet_node can be told."""

from __future__ import annotations

import dataclasses

from rclpy.exceptions import InvalidNamespaceException
from rclpy.validate_namespace import validate_namespace

from mail_localization.config import setting
from mail_localization.errors import ConfigError
from mail_localization.ros.settings import LIVE, TargetSettings


class FleetSettings(TargetSettings):
    """Parameters of fleet_node: who is localized, and how each of them is."""

    targets: tuple[str, ...] = setting((), "namespaces of the targets: robot_1 reads robot_1/imu/mag, say")
    poll_period: float = setting(
        0.05, "time between two looks for sensor messages of all targets, s", minimum=0.001, maximum=1.0
    )
    diagnostics_period: float = setting(
        4.0, "time between two diagnostics of a target, s; each takes a millisecond", minimum=1.0
    )
    prefix_frames: bool = setting(
        True, "a target's odometry and base frames begin with its name (robot_1/odom); global_frame_id is all targets'"
    )

    def check(self) -> None:
        """Raise ConfigError for a name that is no namespace or is there twice, and for odometry from transforms."""
        seen: set[str] = set()
        for name in self.targets:
            bare = name.removeprefix("/")
            if not bare:
                raise ConfigError(f"targets: {name!r} is no name; give namespaces such as robot_1")
            try:
                validate_namespace(f"/{bare}")
            except InvalidNamespaceException as err:
                reason = str(err).strip().splitlines()[0].rstrip(":")
                raise ConfigError(f"targets: {name!r}: {reason}; give namespaces such as robot_1") from err
            if bare in seen:
                raise ConfigError(f"targets: {name!r} is there twice")
            seen.add(bare)
        if self.odom_source == "tf":
            raise ConfigError(
                "odom_source: every target of a fleet would read the transforms of all; take topic (or none), or run "
                "a localizer_node for each"
            )

    def of_target(self, name: str) -> FleetSettings:
        """Return the settings as they are for one target."""
        if not self.prefix_frames:
            return self
        own = name.removeprefix("/")
        frames = {"odom_frame_id": self.odom_frame_id, "base_frame_id": self.base_frame_id}
        return dataclasses.replace(self, **{key: f"{own}/{frame}" for key, frame in frames.items() if frame})


FLEET_LIVE = LIVE | {"targets"}
"""Parameters whose change takes effect at once."""
