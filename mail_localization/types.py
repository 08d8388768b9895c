"""Samples that go into a Localizer and the estimates that come out.

Units are SI without suffix (m, s, rad, tesla); time is integer nanoseconds. Vectors are tuples of floats:
a live node makes hundreds of samples a second, and a frozen sample must not share a writable array.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Union

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
Vector3 = tuple[float, float, float]
Quaternion = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class MagneticSample:
    """One magnetometer reading."""

    t_ns: int
    field: Vector3
    """Magnetic flux density in the sensor frame, tesla."""


@dataclass(frozen=True, slots=True)
class ImuSample:
    """One reading of accelerometer, gyroscope and, where the source has it, attitude."""

    t_ns: int
    acceleration: Vector3
    """Specific force in the sensor frame, m/s^2 (a sensor at rest reads +9.8 upwards)."""
    angular_velocity: Vector3
    """Angular rate in the sensor frame, rad/s."""
    orientation: Quaternion | None = None
    """world_T_sensor as (x, y, z, w), world z up; None where the source has none."""


@dataclass(frozen=True, slots=True)
class WifiReading:
    """One access point in a scan."""

    bssid: str
    """Hardware address, lower case, `aa:bb:cc:dd:ee:ff`."""
    rssi_dbm: float
    age: float = 0.0
    """Time between the reception of the beacon and the scan's stamp, s."""
    ssid: str = ""
    frequency_mhz: int = 0
    """Channel centre frequency, MHz; 0 where unknown."""


@dataclass(frozen=True, slots=True)
class WifiScan:
    """One Wi-Fi scan."""

    t_ns: int
    readings: tuple[WifiReading, ...]


@dataclass(frozen=True, slots=True)
class OdometrySample:
    """One planar odometry pose, odom_T_base."""

    t_ns: int
    x: float
    y: float
    yaw: float


@dataclass(frozen=True, slots=True)
class ReferencePose:
    """One surveyed position in `map`."""

    t_ns: int
    x: float
    y: float
    z: float = 0.0


Sample = Union[MagneticSample, ImuSample, WifiScan, OdometrySample]


@dataclass(frozen=True, slots=True)
class Mode:
    """One peak of a multi-modal posterior."""

    weight: float
    mean: FloatArray
    """(2,) x, y in `map`, m."""
    covariance: FloatArray
    """(2, 2), m^2."""


@dataclass(frozen=True, slots=True, eq=False)
class PoseEstimate:
    """Where a Localizer believes the target is."""

    t_ns: int
    """Stamp of the newest sample used."""
    position: FloatArray
    """(2,) x, y in `map`, m."""
    covariance: FloatArray
    """(2, 2) of the position, m^2; positive definite."""
    modes: tuple[Mode, ...] = ()
    """Peaks of the posterior where the method knows them, heaviest first; a calibrated estimate has at least one."""
    yaw: float | None = None
    """Heading of the base in `map`, rad; None where the method knows the position only."""
    yaw_stddev: float | None = None
    """Standard deviation of `yaw`, rad; given with it."""
