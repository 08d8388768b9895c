"""Windows of several modalities, each on its own clock: what is missing or stale is left out, never repeated."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mail_localization.config import Settings, group, setting
from mail_localization.errors import ConfigError
from mail_localization.preprocess.clock import Row
from mail_localization.preprocess.magnetic import MagneticFeatures, MagneticSettings
from mail_localization.preprocess.sensors import SensorRows
from mail_localization.preprocess.wifi import Levels, WifiMemory, WifiSettings
from mail_localization.preprocess.windows import SlidingWindow, Window, WindowSettings
from mail_localization.types import FloatArray, Sample, WifiScan

MODALITIES = ("imu", "mag", "wifi")


class ModalWindowSettings(WindowSettings):
    """The clock, and the magnetic window: slower than MAIL's, as in MM-Loc."""

    rate_hz: float = setting(10.0, "rate of the uniform clock, Hz (MM-Loc: 10)", minimum=1.0, maximum=1000.0)
    length: int = setting(100, "samples in a magnetic window", minimum=2, maximum=100_000)
    hop: int = setting(5, "samples between two estimates", minimum=1)


class ModalMagneticSettings(MagneticSettings):
    """How the magnetic sequence is made: at 10 Hz the field itself tells more than its change."""

    transform: str = setting(
        "raw",
        "gradient: change per second; mean_removed: less the window's mean; raw: the field",
        choices=("gradient", "mean_removed", "raw"),
    )


class InertialSettings(Settings):
    """The inertial window."""

    length: int = setting(50, "samples in an inertial window", minimum=2, maximum=100_000)
    frame: str = setting(
        "levelled",
        "sensor: axes as measured; levelled: turned so that gravity lies along z, however the sensor is tilted",
        choices=("sensor", "levelled"),
    )

    @property
    def streams(self) -> tuple[str, ...]:
        """Streams needed on the clock: columns of a raw row, in this order."""
        return ("imu",) if self.frame == "sensor" else ("imu", "up")


class ModalitySettings(Settings):
    """What goes into the windows of a method that looks at several modalities."""

    modalities: tuple[str, ...] = setting(
        MODALITIES, "what the model looks at: imu, mag and wifi, or some of them", choices=()
    )
    window: ModalWindowSettings = group(ModalWindowSettings)
    magnetic: ModalMagneticSettings = group(ModalMagneticSettings)
    inertial: InertialSettings = group(InertialSettings)
    wifi: WifiSettings = group(WifiSettings)
    max_late: float = setting(
        0.5, "a sensor that lags behind the others by more than this is no longer waited for, s", minimum=0.0,
        maximum=60.0,
    )  # fmt: skip

    def check(self) -> None:
        """Refuse modalities that do not exist or come twice."""
        unknown = sorted(set(self.modalities) - set(MODALITIES))
        if unknown or not self.modalities or len(set(self.modalities)) < len(self.modalities):
            raise ConfigError(
                f"modalities: {list(self.modalities)!r} must be some of {', '.join(MODALITIES)}, each once"
            )


@dataclass(frozen=True, slots=True, eq=False)
class ModalWindow:
    """What each modality knows at one instant; None where it is missing."""

    t_ns: int
    """Stamp of the newest sample used."""
    imu: FloatArray | None
    """(N, 6 or 9) rows of InertialSettings.streams."""
    mag: FloatArray | None
    """(N + margin, C) rows of MagneticSettings.streams."""
    levels: Levels
    """Fresh Wi-Fi results; none where all are stale."""
    ends: tuple[int, int] = (0, 0)
    """Numbers of the last inertial and magnetic row, by which windows know the rows they share."""


class ModalWindows:
    """Feed samples of any kind; take the windows they complete.

    A window is due at each instant that is a multiple of the hop, once every sensor that is alive has reached it. A
    sensor that lags by more than `max_late` is not waited for: its part is missing until it has filled a window again.
    Where neither magnetometer nor IMU is alive, every Wi-Fi scan makes a window. Live and offline windows are the same,
    as they depend on nothing but the samples and their order.
    """

    def __init__(self, settings: ModalitySettings) -> None:
        self._max_late_ns = round(settings.max_late * 1e9)
        self._streams: dict[str, _Stream] = {}
        window = settings.window
        if "imu" in settings.modalities:
            rows = SensorRows(window, settings.inertial.streams)
            self._streams["imu"] = _Stream(rows, settings.inertial.length, window.hop)
        if "mag" in settings.modalities:
            magnetic = settings.magnetic
            rows = SensorRows(window, magnetic.streams, magnetic.saturation)
            margin = MagneticFeatures(magnetic, window.rate_hz).margin
            self._streams["mag"] = _Stream(rows, window.length + margin, window.hop)
        self._memory = WifiMemory(settings.wifi) if "wifi" in settings.modalities else None
        self.inputs = frozenset().union(*(stream.rows.inputs for stream in self._streams.values()))
        if self._memory:
            self.inputs |= {"wifi"}
        self._late: Counter[str] = Counter()
        self._forget()

    @property
    def counters(self) -> Counter[str]:
        """What was refused, by `STREAM.REASON`; samples that serve two modalities count in both."""
        parts = [stream.rows.counters for stream in self._streams.values()]
        total = sum([*parts, self._late], Counter[str]())
        return total + self._memory.counters if self._memory else total

    @property
    def shapes(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Shapes (N, C) of inertial and of magnetic windows; (0, 0) for a modality that is not looked at."""
        imu, mag = (stream.shape if (stream := self._streams.get(name)) else (0, 0) for name in ("imu", "mag"))
        return imu, mag

    @property
    def fill(self) -> float:
        """Share of the fullest sensor's window that is filled, 0 to 1; 0 where there is Wi-Fi only."""
        return max((stream.fill for stream in self._streams.values()), default=0.0)

    def reset(self) -> None:
        """Forget all samples; the counters stay."""
        for stream in self._streams.values():
            stream.reset()
        if self._memory:
            self._memory.reset()
        self._forget()

    def _forget(self) -> None:
        self._now: int | None = None
        self._scan: int | None = None
        self._done: int | None = None

    def add(self, sample: Sample) -> list[ModalWindow]:
        """Feed one sample and return the windows it completes, in order."""
        if isinstance(sample, WifiScan):
            return self._wifi(sample)
        for name, stream in self._streams.items():
            for row in stream.rows.add(sample):
                if stream.newest is not None and row.t_ns < stream.newest:
                    self._set_back(name)
                stream.push(row)
                self._now = row.t_ns if self._now is None else max(self._now, row.t_ns)
        return list(self._completed())

    def all(self, samples: Iterable[Sample]) -> Iterator[ModalWindow]:
        """Yield the windows of many samples, as `add` gives them one by one."""
        for sample in samples:
            yield from self.add(sample)

    def _set_back(self, cause: str) -> None:
        """Drop what is known of the other time: the other streams will follow."""
        for name, stream in self._streams.items():
            stream.forget() if name == cause else stream.reset()
        if self._memory:
            self._memory.reset()
        self._forget()

    def _wifi(self, scan: WifiScan) -> list[ModalWindow]:
        stamp = self._memory.add(scan) if self._memory else None
        if stamp is None or self._memory is None:
            return []
        self._scan = stamp
        if self._now is not None and abs(stamp - self._now) <= max(self._max_late_ns, _SILENT_NS):
            return []
        return [ModalWindow(stamp, None, None, self._memory.heard(stamp))]

    def _completed(self) -> Iterator[ModalWindow]:
        while heads := [stream.due[0][0] for stream in self._streams.values() if stream.due]:
            index = min(heads)
            if any(self._waits(stream, index) for stream in self._streams.values()):
                return
            parts: dict[str, Window | None] = {}
            stamps = []
            for name, stream in self._streams.items():
                if stream.due and stream.due[0][0] == index:
                    _, t_ns, parts[name] = stream.due.popleft()
                    stamps.append(t_ns)
            if self._done is not None and index <= self._done:
                self._late.update(f"{name}.late" for name, part in parts.items() if part is not None)
                continue
            self._done = index
            t_ns = max(stamps)
            imu, mag = ((part.rows, part.end) if (part := parts.get(name)) else (None, 0) for name in ("imu", "mag"))
            yield ModalWindow(t_ns, imu[0], mag[0], self._levels(t_ns), (imu[1], mag[1]))

    def _waits(self, stream: _Stream, index: int) -> bool:
        """Tell whether a stream is alive and will still reach an instant."""
        if stream.newest is None or stream.reached is None or self._now is None:
            return False
        return stream.reached < index and self._now - stream.newest <= self._max_late_ns

    def _levels(self, t_ns: int) -> Levels:
        # A scan stamped far ahead of the sensors' clocks would stay fresh for ever.
        if self._memory is None or self._scan is None or self._scan - t_ns > self._memory.settings.max_age_ns:
            return {}
        return self._memory.heard(t_ns)


_SILENT_NS = 2_000_000_000
"""Sensors whose newest sample is this far from a scan's stamp are not alive: scans may be stamped a little off."""


class _Stream:
    """One sensor on its way to the windows."""

    def __init__(self, rows: SensorRows, length: int, hop: int) -> None:
        self.rows = rows
        self.shape = (length, rows.width)
        self._hop = hop
        self._window = SlidingWindow(length, hop, rows.width)
        self.forget()

    @property
    def fill(self) -> float:
        """Share of the window that is filled, 0 to 1."""
        return self._window.fill

    def forget(self) -> None:
        """Start the window anew."""
        self._window.reset()
        self.newest: int | None = None
        self.reached: int | None = None
        self.due: deque[tuple[int, int, Window | None]] = deque(maxlen=_BACKLOG)

    def reset(self) -> None:
        """Forget all samples."""
        self.rows.reset()
        self.forget()

    def push(self, row: Row) -> None:
        """Append a row; at a multiple of the hop it is due, with the window that ends there if there is one."""
        window = self._window.push(row)
        self.newest, self.reached = row.t_ns, row.index
        if row.index % self._hop == 0:
            self.due.append((row.index, row.t_ns, window))


_BACKLOG = 1000
"""Instants kept while another sensor is waited for."""


def inertial_features(rows: FloatArray, frame: str) -> npt.NDArray[np.float32]:
    """Return acceleration (m/s^2) and angular rate (rad/s), (..., N, 6), from rows of InertialSettings.streams.

    Levelling is the smallest rotation that takes the up direction to z: the tilt goes, the heading of the sensor's
    case stays unknown.
    """
    if frame == "sensor":
        return rows.astype(np.float32)
    up = rows[..., 6:9] / np.maximum(np.linalg.norm(rows[..., 6:9], axis=-1, keepdims=True), 1e-9)
    return np.concatenate([levelled(rows[..., :3], up), levelled(rows[..., 3:6], up)], axis=-1).astype(np.float32)


def levelled(vectors: FloatArray, up: FloatArray) -> FloatArray:
    """Turn vectors (..., 3) by the smallest rotation that takes the unit vectors up (..., 3) to z."""
    # Rodrigues' formula about up x z, whose length is the sine and up's z the cosine of the angle.
    axis = np.stack([up[..., 1], -up[..., 0], np.zeros_like(up[..., 0])], axis=-1)
    cosine = up[..., 2:3]
    along = (axis * vectors).sum(axis=-1, keepdims=True)
    turned = cosine * vectors + np.cross(axis, vectors) + axis * along / np.maximum(1 + cosine, 1e-6)
    return np.asarray(turned)
