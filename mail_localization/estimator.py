"""What all Localizers share: samples reach a method on the streams it uses only, and all estimates leave one way."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator

from mail_localization.calibration import Calibration, Followed
from mail_localization.types import ImuSample, MagneticSample, OdometrySample, PoseEstimate, Sample, WifiScan

STREAMS: dict[type[Sample], str] = {
    MagneticSample: "mag",
    ImuSample: "imu",
    WifiScan: "wifi",
    OdometrySample: "odom",
}


class Estimator(ABC):
    """A Localizer that a method fills in: `_take`, `_reset` and `counters`, and `_take_all` where batches pay."""

    method: str
    inputs: frozenset[str]
    """The streams that are used, of `mag`, `imu`, `wifi`, `odom`; a sample of another never reaches the method."""

    calibration: Calibration | None = None
    """How large the errors are; None leaves every covariance as the method states it."""

    def __init__(self) -> None:
        self._followed = Followed()

    @property
    @abstractmethod
    def counters(self) -> Counter[str]:
        """What was refused, by `STREAM.REASON`."""

    @property
    def fill(self) -> float:
        """Share of the window that is filled, 0 to 1; 0 where the method has no window."""
        return 0.0

    def add(self, sample: Sample) -> PoseEstimate | None:
        """Feed one sample of any kind; return the newest estimate it makes possible, if any."""
        estimate = self._take(sample) if STREAMS[type(sample)] in self.inputs else None
        return None if estimate is None else self._calibrated(estimate)

    def add_magnetic(self, sample: MagneticSample) -> PoseEstimate | None:
        """Feed one magnetometer reading; return the estimate it makes possible, if any."""
        return self.add(sample)

    def add_imu(self, sample: ImuSample) -> PoseEstimate | None:
        """Feed one IMU reading; return the estimate it makes possible, if any."""
        return self.add(sample)

    def add_wifi(self, sample: WifiScan) -> PoseEstimate | None:
        """Feed one Wi-Fi scan; return the estimate it makes possible, if any."""
        return self.add(sample)

    def add_odometry(self, sample: OdometrySample) -> PoseEstimate | None:
        """Feed one odometry pose; return the estimate it makes possible, if any."""
        return self.add(sample)

    def localize(self, samples: Iterable[Sample]) -> Iterator[PoseEstimate]:
        """Yield the estimates that `add` gives sample by sample; a method may compute them in batches."""
        used = (sample for sample in samples if STREAMS[type(sample)] in self.inputs)
        return map(self._calibrated, self._take_all(used))

    def reset(self) -> None:
        """Forget all samples, as after a jump in time or a new start; the counters stay."""
        self._followed.clear()
        self._reset()

    def _calibrated(self, estimate: PoseEstimate) -> PoseEstimate:
        """Make the covariance honest; every estimate passes here once, in the order in which they are given."""
        if self.calibration is None:
            return estimate
        return self.calibration.applied(estimate, self._followed.add(estimate.t_ns, estimate.position))

    @abstractmethod
    def _reset(self) -> None:
        """Forget all samples; the counters stay."""

    @abstractmethod
    def _take(self, sample: Sample) -> PoseEstimate | None:
        """Feed one sample of a stream that is used."""

    def _take_all(self, samples: Iterable[Sample]) -> Iterator[PoseEstimate]:
        """Feed samples of streams that are used; yield what `_take` gives one by one."""
        return (estimate for sample in samples if (estimate := self._take(sample)) is not None)
