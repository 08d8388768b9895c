"""Everything a node that localizes can be told; the model folder brings the rest."""

from __future__ import annotations

from mail_localization.config import Settings, group, setting
from mail_localization.data.wifi_settings import WifiMappingSettings
from mail_localization.health import HealthSettings
from mail_localization.models.backend import BACKENDS
from mail_localization.motion.odometry_aid import OdometryAidSettings


class TargetSettings(Settings):
    """How a target is localized, named as nav2's and robot_localization's parameters where those have one."""

    model: str = setting("", "folder of the model to localize with")
    hop: int = setting(0, "grid samples between two estimates; 0 = as the model was trained", minimum=0)
    backend: str = setting(
        "auto", "what computes a network; auto: ONNX Runtime where the model is exported and it is installed",
        choices=BACKENDS,
    )  # fmt: skip
    global_frame_id: str = setting("map", "frame of the published pose")
    odom_frame_id: str = setting("odom", "frame of the odometry; empty: publish_tf sends map->base directly")
    base_frame_id: str = setting("base_link", "frame of the robot or person that is localized")
    publish_tf: bool = setting(False, "send map->odom (or map->base, see odom_frame_id) on /tf")
    transform_tolerance: float = setting(
        0.5, "time by which a transform is stamped ahead, so that it holds until the next one, s", minimum=0.0
    )
    publish_rate: float = setting(
        0.0, "most poses per second of sensor time; 0 = one per estimate", minimum=0.0, maximum=1e4
    )
    publish_ambiguous: bool = setting(
        True, "publish estimates that may as well be elsewhere; false: only those with one likely place"
    )
    publish_without_heading: bool = setting(
        True, "publish poses before odometry has given a heading; false: for a filter that takes the heading too"
    )
    publish_path: bool = setting(False, "publish the way walked on path")
    publish_modes: bool = setting(False, "publish the estimate's modes as markers on modes")
    stamp_source: str = setting(
        "auto",
        "time of a sample; header: its stamp; receive: its reception; auto: its stamp, or its reception where the "
        "stamp is zero or of another clock than the other sensors'",
        choices=("header", "receive", "auto"),
    )
    max_sensor_age: float = setting(
        0.0, "messages that come later than this after their stamp are dropped, s; 0 = none", minimum=0.0
    )
    reset_on_time_jump: bool = setting(True, "forget all samples when the ROS clock jumps (a bag starts again)")
    max_time_jump: float = setting(
        60.0, "step of the ROS clock forward that counts as a jump, s; backward any counts", minimum=1.0
    )
    magnetic_field_scale: float = setting(
        1.0, "factor that makes the magnetometer's field tesla (1e-6 for microtesla, 1e-4 for gauss)", minimum=1e-12
    )
    position_covariance_scale: float = setting(1.0, "factor on the model's own covariance", minimum=1e-6)
    fusion_covariance: bool = setting(
        False,
        "widen covariances by how long errors last, for a filter (robot_localization) that takes every pose as an "
        "independent measurement; without it each pose's covariance is true by itself",
    )
    min_position_stddev: float = setting(
        0.05, "least standard deviation published along any direction, m", minimum=1e-6
    )
    unobserved_variance: float = setting(1e6, "variance published for z (m^2), roll, pitch, yaw (rad^2)", minimum=1e-6)
    odom_source: str = setting(
        "topic",
        "where odometry comes from, by which estimates are gated and carried; topic: odom, if there is one; tf: the "
        "transform odom_frame_id to base_frame_id; none: only a method that needs it uses it, from odom",
        choices=("topic", "tf", "none"),
    )
    queue_depth: int = setting(500, "sensor messages kept while an estimate is computed", minimum=1, maximum=100_000)
    wifi: WifiMappingSettings = group(WifiMappingSettings)
    odometry: OdometryAidSettings = group(OdometryAidSettings)
    health: HealthSettings = group(HealthSettings)


class NodeSettings(TargetSettings):
    """Parameters of localizer_node."""

    autostart: bool = setting(True, "configure and activate at start; false: a lifecycle manager does")


LIVE = frozenset({
    "global_frame_id",
    "transform_tolerance",
    "publish_rate",
    "publish_ambiguous",
    "publish_without_heading",
    "stamp_source",
    "max_sensor_age",
    "reset_on_time_jump",
    "position_covariance_scale",
    "fusion_covariance",
    "min_position_stddev",
    "unobserved_variance",
})  # fmt: skip
"""Parameters whose change takes effect at the next message; the others are read when the node is configured."""
