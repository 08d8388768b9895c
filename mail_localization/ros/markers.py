"""An estimate's modes as markers: an ellipse of one standard deviation each, as opaque as the mode is heavy."""

from __future__ import annotations

import math

import numpy as np
from geometry_msgs.msg import Point, Pose, Quaternion, Vector3
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker, MarkerArray

from mail_localization.ros.conversions import time_to_msg
from mail_localization.types import Mode, PoseEstimate

_FAINTEST = 0.1
_THICKNESS = 0.02


def modes_to_msg(estimate: PoseEstimate, frame_id: str) -> MarkerArray:
    """Build the markers of an estimate; one without modes is its own only mode."""
    header = Header(stamp=time_to_msg(estimate.t_ns), frame_id=frame_id)
    modes = estimate.modes or (Mode(1.0, estimate.position, estimate.covariance),)
    finite = [mode for mode in modes if np.isfinite(mode.mean).all() and np.isfinite(mode.covariance).all()]
    # The estimate before may have had more modes.
    clear = Marker(header=header, ns="modes", action=Marker.DELETEALL)
    return MarkerArray(markers=[clear, *(_ellipse(mode, number, header) for number, mode in enumerate(finite))])


def _ellipse(mode: Mode, number: int, header: Header) -> Marker:
    variances, axes = np.linalg.eigh(mode.covariance)
    short, long = np.sqrt(np.maximum(variances, 1e-6))
    half = math.atan2(axes[1, 1], axes[0, 1]) / 2
    return Marker(
        header=header,
        ns="modes",
        id=number,
        type=Marker.CYLINDER,
        action=Marker.ADD,
        pose=Pose(
            position=Point(x=float(mode.mean[0]), y=float(mode.mean[1]), z=0.0),
            orientation=Quaternion(x=0.0, y=0.0, z=math.sin(half), w=math.cos(half)),
        ),
        scale=Vector3(x=2 * float(long), y=2 * float(short), z=_THICKNESS),
        color=ColorRGBA(r=0.1, g=0.5, b=1.0, a=float(min(max(mode.weight, _FAINTEST), 1.0))),
    )
