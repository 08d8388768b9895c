"""A survey as a phone's app writes it: text of the Indoor Location Competition, made of a simulated recording."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mail_localization.data.recording import Recording
from mail_localization.types import ImuSample, MagneticSample, Sample, WifiScan


def write_raw(recording: Path, out: Path) -> None:
    """Write the samples and reference positions of a recording as one trace file."""
    bag = Recording(recording)
    lines = [line for sample in bag.samples() for line in _lines(sample)]
    reference = bag.reference()
    for t_ns, (x, y) in zip(reference.t_ns.tolist(), reference.position.tolist(), strict=True):
        lines.append(f"{t_ns // 10**6}\tTYPE_WAYPOINT\t{x}\t{y}")
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text("#\tBrand:none\tModel:simulated\n" + "\n".join(sorted(lines)) + "\n", encoding="utf-8")


def _lines(sample: Sample) -> Iterator[str]:
    t_ms = sample.t_ns // 10**6
    if isinstance(sample, MagneticSample):
        yield _vector(t_ms, "MAGNETIC_FIELD", *(1e6 * value for value in sample.field))
    elif isinstance(sample, ImuSample):
        yield _vector(t_ms, "ACCELEROMETER", *sample.acceleration)
        yield _vector(t_ms, "GYROSCOPE", *sample.angular_velocity)
        if sample.orientation is not None:
            yield _vector(t_ms, "ROTATION_VECTOR", *sample.orientation[:3])
    elif isinstance(sample, WifiScan):
        for heard in sample.readings:
            seen_ms = t_ms - round(1e3 * heard.age)
            level = f"{heard.rssi_dbm:.0f}\t{heard.frequency_mhz}\t{seen_ms}"
            yield f"{t_ms}\tTYPE_WIFI\t{heard.ssid}\t{heard.bssid}\t{level}"


def _vector(t_ms: int, kind: str, x: float, y: float, z: float) -> str:
    return f"{t_ms}\tTYPE_{kind}\t{x:.6f}\t{y:.6f}\t{z:.6f}\t3"
