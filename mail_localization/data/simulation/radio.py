"""Wi-Fi of the building: access points, path loss, walls, shadowing and fading.

RSS = P(1 m) - 10 n log10(d) - sum of the losses of the walls crossed (multi-wall model, Motley and Keenan
1988) + shadowing correlated over metres (Gudmundson 1991) - loss behind the carrier's body + Rician fading.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mail_localization.config import Settings, setting
from mail_localization.data.simulation.noise import SmoothNoise
from mail_localization.data.simulation.plan import FloorPlan
from mail_localization.types import FloatArray


class RadioSettings(Settings):
    """Access points and radio propagation."""

    access_points: int = setting(10, "access points; each has a 2.4 and a 5 GHz radio", minimum=0, maximum=500)
    height: float = setting(2.6, "height of the access points, m", minimum=0.0)
    power_24_dbm: float = setting(-38.0, "level at 1 m, 2.4 GHz, dBm")
    power_5_dbm: float = setting(-44.0, "level at 1 m, 5 GHz, dBm")
    exponent: float = setting(2.4, "path loss exponent without walls", minimum=1.0, maximum=6.0)
    shadowing_db: float = setting(4.0, "standard deviation of the shadowing, dB", minimum=0.0)
    shadowing_scale: float = setting(3.0, "distance over which shadowing is alike, m", minimum=0.1)
    rician_k: float = setting(5.0, "power of the direct path over that of the scattered ones", minimum=0.0)
    body_db: float = setting(5.0, "loss of an access point straight behind the carrier, dB", minimum=0.0)
    floor_dbm: float = setting(-92.0, "weaker beacons are not received, dBm")
    missed: float = setting(0.05, "share of receivable beacons that a scan misses", minimum=0.0, maximum=1.0)
    interval: float = setting(3.0, "mean time between scans, s", minimum=0.2)
    duration: float = setting(1.5, "time of one scan over all channels, the largest age of a result, s", minimum=0.0)


@dataclass(frozen=True)
class Radios:
    """The R radios (two for each access point) and how they propagate."""

    settings: RadioSettings
    position: FloatArray
    """(R, 3) m."""
    power_dbm: FloatArray
    """(R,) level at 1 m."""
    bssid: tuple[str, ...]
    ssid: tuple[str, ...]
    frequency_mhz: tuple[int, ...]
    shadowing: tuple[SmoothNoise, ...]

    def mean_rssi(self, points: FloatArray, plan: FloorPlan) -> FloatArray:
        """Return the level (n, R) at `points` (n, 3) before shadowing, body and fading, dBm."""
        levels = np.empty((len(points), len(self.bssid)))
        for radio, place in enumerate(self.position):
            distance = np.linalg.norm(points - place, axis=1)
            crossed = plan.crossings(points[:, :2], np.broadcast_to(place[:2], (len(points), 2)))
            path_loss = 10.0 * self.settings.exponent * np.log10(np.maximum(distance, 1.0))
            levels[:, radio] = self.power_dbm[radio] - path_loss - crossed @ plan.loss_db
        return levels

    def received(
        self, points: FloatArray, heading: FloatArray, plan: FloorPlan, rng: np.random.Generator
    ) -> FloatArray:
        """Return one reception (n, R) at `points` (n, 3) for carriers facing `heading` (n,), dBm; NaN if missed."""
        settings = self.settings
        levels = self.mean_rssi(points, plan)
        levels += np.stack([noise(points[:, :2]) for noise in self.shadowing], axis=1)
        toward = self.position[None, :, :2] - points[:, None, :2]  # (n, R, 2)
        bearing = np.arctan2(toward[..., 1], toward[..., 0])
        levels -= settings.body_db * (1.0 - np.cos(bearing - heading[:, None])) / 2.0
        levels += 10.0 * np.log10(_rician_power(settings.rician_k, levels.shape, rng))
        heard = (levels >= settings.floor_dbm) & (rng.uniform(size=levels.shape) >= settings.missed)
        return np.where(heard, np.round(levels), np.nan)


def build_radios(settings: RadioSettings, plan: FloorPlan, rng: np.random.Generator) -> Radios:
    """Place the access points on a shaken grid, so that none is far from the next."""
    count = settings.access_points
    columns = max(1, round(np.sqrt(count * plan.width / plan.depth)))
    rows = max(1, int(np.ceil(count / columns)))
    cells = rng.permutation(rows * columns)[:count]
    corner = np.column_stack([cells % columns, cells // columns])
    ground = (corner + rng.uniform(0.15, 0.85, (count, 2))) * [plan.width / columns, plan.depth / rows]
    place = np.column_stack([ground, np.full(count, settings.height)])
    serial = rng.integers(0, 256, (count, 4))
    # 02: marks an address as locally administered: it can never be that of a real device.
    bssid = [f"02:{a:02x}:{b:02x}:{c:02x}:{d:02x}:{band:02x}" for a, b, c, d in serial for band in (0, 1)]
    frequency = [mhz for _ in range(count) for mhz in (rng.choice([2412, 2437, 2462]), rng.choice([5180, 5220, 5500]))]
    return Radios(
        settings,
        np.repeat(place, 2, axis=0),
        np.tile([settings.power_24_dbm, settings.power_5_dbm], count),
        tuple(bssid),
        tuple("site-guest" if index % 4 < 2 else "site-staff" for index in range(2 * count)),
        tuple(int(mhz) for mhz in frequency),
        tuple(SmoothNoise(rng, settings.shadowing_db, settings.shadowing_scale, 2) for _ in range(2 * count)),
    )


def _rician_power(k: float, shape: tuple[int, ...], rng: np.random.Generator) -> FloatArray:
    """Return powers of a Rician channel with mean 1: a direct path and Gaussian scattered ones."""
    direct, scatter = np.sqrt(k / (k + 1.0)), np.sqrt(0.5 / (k + 1.0))
    real, imaginary = rng.normal(size=(2, *shape)) * scatter
    return np.asarray((direct + real) ** 2 + imaginary**2)
