"""What lives from configure to cleanup: the model, what aids and watches it, and the time of its samples."""

from __future__ import annotations

import dataclasses
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

from mail_localization.calibration import Calibration
from mail_localization.errors import ModelError
from mail_localization.health import Health, Status
from mail_localization.localizer import Startable, localizer_of
from mail_localization.models.artifact import ModelCard, Tensors, load_model
from mail_localization.motion.odometry_aid import OdometryAided
from mail_localization.preprocess.profile import SurveyProfile
from mail_localization.ros.settings import TargetSettings
from mail_localization.ros.stamping import Stamping
from mail_localization.types import FloatArray, PoseEstimate, Sample

TOPICS = {"imu": "imu/data", "mag": "imu/mag", "wifi": "wifi/scan", "odom": "odom"}

_ANOTHER_TIME_NS = 10_000_000_000


class Session:
    """Drive one Localizer: samples in, estimates out; everything refused is counted in `problems`.

    Raises:
        ModelError: no model folder is given, or it cannot be loaded.
    """

    def __init__(
        self,
        settings: Callable[[], TargetSettings],
        problems: Counter[str],
        topics: Mapping[str, str] = TOPICS,
        read: Callable[[Path], tuple[ModelCard, Tensors]] = load_model,
    ) -> None:
        """Load the model; `topics` names the streams in texts, `read` returns a model folder's content."""
        given = settings()
        if not given.model:
            raise ModelError("parameter 'model' is not set; give the model folder: --ros-args -p model:=FOLDER")
        self.folder = Path(given.model).expanduser()
        self.problems = problems
        card, tensors = read(self.folder)
        self._inner = localizer_of(card, tensors, given.hop, given.backend)
        if "torch" in sys.modules:
            # At batch 1 a second thread gains nothing, and a robot has other uses for the core.
            sys.modules["torch"].set_num_threads(1)
        self.aided = OdometryAided(self._inner, given.odometry) if given.odom_source != "none" else None
        self._localizer = self.aided or self._inner
        self.inputs = self._localizer.inputs
        self.method = self._localizer.method
        self._newest_ns = 0
        self.stamping = Stamping(settings, problems)
        needs_odometry = given.publish_tf and given.odom_frame_id and self.aided is not None
        watched = self._inner.inputs | ({"odom"} if needs_odometry else set())
        self._health = Health(
            watched,
            # A model made before there were profiles still says which access points it knows.
            SurveyProfile.from_mapping({"access_points": card.access_points} | card.profile),
            given.health,
            topics=dict(topics),
            magnetic_field_scale=given.magnetic_field_scale,
        )

    @property
    def startable(self) -> bool:
        """Whether the method can be told where the target is."""
        return self.aided is not None or isinstance(self._inner, Startable)

    @property
    def calibration(self) -> Calibration | None:
        """How large the model's errors are and how long they last, where the model folder tells."""
        return self._inner.calibration

    @property
    def counters(self) -> Counter[str]:
        """What was refused or repaired, by `STREAM.REASON`."""
        return self.problems + self._localizer.counters

    def feed(self, stream: str, sample: Sample, now_ns: int, stamped: bool = True) -> PoseEstimate | None:
        """Feed a sample received at `now_ns` (0: no clock yet), its `t_ns` the message's stamp or 0."""
        t_ns = self.stamping.resolve(stream, sample.t_ns, now_ns, stamped)
        now = time.monotonic()
        delay = (now_ns - sample.t_ns) * 1e-9 if now_ns and sample.t_ns > 0 else float("nan")
        if t_ns and t_ns != sample.t_ns:
            sample = dataclasses.replace(sample, t_ns=t_ns)
        self._health.received(stream, sample, delay, now)
        estimate = None
        if t_ns:
            self._newest_ns = t_ns
            estimate = self._localizer.add(sample)
        if estimate is not None:
            self._health.estimated(time.monotonic() - now, estimate, now)
        return estimate

    def start_at(
        self, t_ns: int, position: FloatArray, stddev: float, yaw: float | None, yaw_stddev: float = 0.3
    ) -> None:
        """Tell where the target is, where the method is `startable`."""
        newest = self._newest_ns
        if newest and abs(t_ns - newest) > _ANOTHER_TIME_NS:
            t_ns = newest  # Whoever tells it has another clock than the sensors, as when a bag is played.
        if self.aided is not None:
            self.aided.start_at(t_ns, position, stddev, yaw, yaw_stddev)
        elif isinstance(self._inner, Startable):
            self._inner.start_at(t_ns, position, stddev)

    def reset(self) -> None:
        """Forget all samples and the position; the counters stay."""
        self._localizer.reset()
        self._newest_ns = 0
        self.stamping.reset()

    def statuses(self, notes: dict[str, str]) -> list[Status]:
        """Return the state of every part, for diagnostics."""
        return self._health.statuses(time.monotonic(), self.counters, self._localizer.fill, notes)
