"""Replay with odometry: joined by the node's own filter, or by what robot_localization would do."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import numpy as np

from mail_localization.data.association import Association
from mail_localization.data.recording import Recording
from mail_localization.data.reference import Reference
from mail_localization.evaluation.derived_odometry import derived_odometry, laid_at_start, with_odometry
from mail_localization.evaluation.planar_ekf import EkfFused, EkfSettings
from mail_localization.localizer import Localizer
from mail_localization.motion.odometry_aid import OdometryAided
from mail_localization.motion.pose_filter import DriftSettings
from mail_localization.types import PoseEstimate, Sample

WAYS = ("node", "ekf", "node+ekf")
"""How estimates may be joined with odometry: as localizer_node does, as an ekf_node does, or one after the other."""


def joined(localizer: Localizer, way: str) -> Localizer:
    """Return the Localizer joined with odometry in one of WAYS; unchanged where there is none."""
    if way.startswith("node"):
        localizer = OdometryAided(localizer)
        return EkfFused(localizer, EkfSettings(need_heading=True)) if way.endswith("ekf") else localizer
    # 99.9 % of x and y without the heading.
    return EkfFused(localizer, EkfSettings(rejection_threshold=3.72)) if way == "ekf" else localizer


def samples_with_odometry(
    recording: Recording, reference: Reference, streams: frozenset[str]
) -> tuple[Iterator[Sample], list[str]]:
    """Return a recording's samples, and what is to be said of the odometry among them.

    Where the recording has none it is derived from the reference, drifting; another recording drifts otherwise.
    """
    samples = recording.samples(streams)
    if recording.counts.get(recording.topics.odom):
        return samples, []
    drift = DriftSettings()
    odometry = derived_odometry(reference, drift, zlib.crc32(recording.name.encode()))
    positions = laid_at_start(odometry, reference)
    errors = np.linalg.norm(positions - reference.at(np.array([pose.t_ns for pose in odometry])), axis=1)
    note = (
        f"odometry derived from the reference: drifting by {drift.distance:g} m and {drift.heading:g} rad per root "
        f"of a metre, {drift.turn:g} rad per root of a radian; alone, from the true start on, it errs by "
        f"{errors.mean():.2f} m (mean), {errors[-1]:.2f} m at the end"
    )
    return with_odometry(samples, odometry), [note]


def since_heading(poses: list[PoseEstimate], pairs: Association) -> list[str]:
    """Say from when on odometry was joined, and how large the errors are from then on."""
    first = next((pose.t_ns for pose in poses if pose.yaw is not None), None)
    if first is None:
        return ["odometry was never joined: the estimates did not agree with it long enough"]
    late = pairs.error[pairs.available & (pairs.t_ns >= first)]
    if not len(late):
        return []
    seconds = max(first - int(pairs.t_ns[0]), 0) * 1e-9
    return [f"odometry joined {seconds:.0f} s after the start; from then on the error is {late.mean():.2f} m (mean)"]
