"""The one object a node tells of its samples and estimates, and asks for statuses once a second."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

import numpy as np

from mail_localization.config import Settings, setting
from mail_localization.health.imu import imu_findings
from mail_localization.health.likeness import survey_status
from mail_localization.health.magnetometer import TYPICAL, magnetometer_findings, turns_findings
from mail_localization.health.output import Output
from mail_localization.health.refusals import Refusals
from mail_localization.health.status import Finding, Level, Status, summed_up
from mail_localization.health.streams import Arrivals
from mail_localization.health.wifi import known_now, wifi_findings
from mail_localization.preprocess.excerpt import Excerpt, Excerpts
from mail_localization.preprocess.profile import MINUTE, TURNS, SurveyProfile
from mail_localization.preprocess.turning import FieldTurns, field_turns
from mail_localization.types import MagneticSample, PoseEstimate, Sample

NAMES = {"mag": "magnetometer", "imu": "imu", "wifi": "wifi", "odom": "odometry"}
"""Stream -> name of its status."""


class HealthSettings(Settings):
    """When diagnostics begin to complain."""

    silent_after: float = setting(
        1.0, "a magnetometer, IMU or odometry without a message for so long is stale, s", minimum=0.01
    )
    wifi_silent_after: float = setting(30.0, "Wi-Fi without a scan for so long is stale, s", minimum=0.1)
    lost_after: float = setting(5.0, "without an estimate for so long the target is lost, s", minimum=0.1)
    content_period: float = setting(
        2.0, "time between two looks at what the samples hold, s; each takes some milliseconds", minimum=0.1
    )


class Health:
    """Judge the samples that a localizer is given and the estimates it makes.

    Not thread safe: call it from the callbacks of one executor thread, as the localizer itself.
    """

    def __init__(
        self,
        streams: frozenset[str],
        profile: SurveyProfile | None,
        settings: HealthSettings,
        *,
        topics: Mapping[str, str] | None = None,
        magnetic_field_scale: float = 1.0,
    ) -> None:
        """Watch the streams (of `mag`, `imu`, `wifi`, `odom`); `topics` names them in texts."""
        self.settings = settings
        self._profile = profile
        self._scale = magnetic_field_scale
        self._topics = {stream: (topics or {}).get(stream, stream) for stream in sorted(streams)}
        # Phones differ in how often they scan, and every scan counts; a window with half of its samples does not.
        rates = {name: rate for name, rate in profile.rates_hz.items() if name != "wifi"} if profile is not None else {}
        slow = {"wifi": settings.wifi_silent_after}
        self._arrivals = {
            stream: Arrivals(slow.get(stream, settings.silent_after), rates.get(stream)) for stream in self._topics
        }
        self._access_points = frozenset(profile.access_points if profile is not None else ())
        self._excerpts = Excerpts(TURNS)
        self._output = Output(settings.lost_after)
        self._refusals = Refusals()
        self._content: _Content | None = None
        self._content_at = 0.0

    @property
    def magnetic_field_scale(self) -> float:
        """Factor that made the samples' field tesla."""
        return self._scale

    @magnetic_field_scale.setter
    def magnetic_field_scale(self, scale: float) -> None:
        self._scale = scale
        self._excerpts.forget(MagneticSample)
        self._content = None

    def received(self, stream: str, sample: Sample, delay_s: float, now: float) -> None:
        """Take in every sample, also those that the localizer will refuse.

        `delay_s` is the time of reception less the stamp (NaN if there was none), `now` monotonic, s.
        """
        arrivals = self._arrivals.get(stream)
        if arrivals is not None:
            arrivals.add(delay_s, now)
            self._excerpts.add(sample)

    def estimated(self, seconds: float, estimate: PoseEstimate | None, now: float) -> None:
        """Take in a computation of an estimate that took `seconds`; None where it was not published."""
        self._output.add(seconds, estimate, now)

    def statuses(
        self, now: float, counters: Counter[str], fill: float = 0.0, notes: Mapping[str, str] | None = None
    ) -> list[Status]:
        """Return the state of every part.

        `counters` are what was refused by `STREAM.REASON`, `fill` is the share of the window that is filled (0 to 1),
        `notes` what a stream's subscription says of itself while nothing has come.
        """
        for arrivals in self._arrivals.values():
            arrivals.look(now)
        if self._content is None or not 0 <= now - self._content_at < self.settings.content_period:
            self._content = _Content(self._excerpts.excerpt(), self._scale, self._access_points, self._profile)
            self._content_at = now
        named = {stream: (notes or {}).get(stream) or topic for stream, topic in self._topics.items()}
        missing = [named[stream] for stream, arrivals in self._arrivals.items() if not arrivals.seen]
        silent = [self._topics[stream] for stream, arrivals in self._arrivals.items() if arrivals.silent(now)]
        received = {stream: arrivals.count for stream, arrivals in self._arrivals.items()}
        return [
            self._output.state(missing, silent, fill, now),
            *(self._stream(stream, self._content, named[stream], now) for stream in self._topics),
            self._refusals.status(counters, received | {"pose": self._output.count}, now),
            self._output.inference(now),
            self._content.survey,
        ]

    def _stream(self, stream: str, content: _Content, topic: str, now: float) -> Status:
        arrivals = self._arrivals[stream]
        values = {"topic": self._topics[stream], **arrivals.values(now)}
        if not arrivals.seen:
            return Status(NAMES[stream], Level.STALE, f"waiting for {topic}", values)
        findings = arrivals.findings(self._topics[stream], now)
        if not arrivals.silent(now):
            findings += content.findings.get(stream, [])
        values |= content.values.get(stream, {})
        return summed_up(NAMES[stream], findings, f"{arrivals.rate_hz:.3g} messages/s", values)


class _Content:
    """What the samples of the last minutes hold, judged."""

    def __init__(
        self, excerpt: Excerpt, scale: float, access_points: frozenset[str], profile: SurveyProfile | None
    ) -> None:
        self.findings: dict[str, list[Finding]] = {}
        self.values: dict[str, dict[str, str]] = {}
        self.survey = survey_status(excerpt, profile)
        recent = excerpt.last(MINUTE / 2)
        band = profile.bands.get("field") if profile is not None else None
        self.findings["imu"] = imu_findings(recent)
        self.findings["mag"] = magnetometer_findings(recent, scale, band.middle * 1e-6 if band else TYPICAL)
        if not self.findings["imu"] and not self.findings["mag"]:
            self._compare_turns(field_turns(excerpt), profile)
        self.findings["wifi"] = wifi_findings(excerpt.last(MINUTE), access_points, profile)
        self.values.update(_figures(recent, access_points, self.values))

    def _compare_turns(self, turns: FieldTurns | None, profile: SurveyProfile | None) -> None:
        known = turns is not None and turns.trusted and profile is not None
        distance = profile.hard_iron_distance(turns.hard_iron) if known and turns and profile else None
        usual = profile.hard_iron_usual if profile is not None else 0.0
        for stream, finding in turns_findings(turns, distance, usual):
            self.findings[stream].append(finding)
        if turns is not None and turns.trusted:
            axes = ", ".join(f"{axis * 1e6:.1f}" for axis in turns.hard_iron)
            self.values["mag"] = {"hard iron (microtesla)": axes, "turns seen/told": f"{turns.gain:.2f}"}


def _figures(
    recent: Excerpt, access_points: frozenset[str], known: Mapping[str, Mapping[str, str]]
) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the figures of each stream."""
    if len(recent.mag):
        low, median, high = np.quantile(np.linalg.norm(recent.mag, axis=1) * 1e6, (0.0, 0.5, 1.0))
        strength = f"{median:.4g} ({low:.4g} to {high:.4g})"
        yield "mag", {"|B| median (microtesla)": strength, **known.get("mag", {})}
    if len(recent.imu):
        acceleration, rate = (np.median(np.linalg.norm(part, axis=1)) for part in np.split(recent.imu, 2, axis=1))
        yield "imu", {"|acceleration| median (m/s^2)": f"{acceleration:.3g}", "|rate| median (rad/s)": f"{rate:.3g}"}
    heard = known_now(recent, access_points)
    if heard is not None:
        known_text = {"access points known": str(heard[1])} if access_points else {}
        yield "wifi", {"access points in the newest scan": str(heard[0]), **known_text}
