"""Whether Wi-Fi scans are in dBm, fresh, and of the surveyed building."""

from __future__ import annotations

from collections.abc import Sequence

from mail_localization.health.status import Finding, Level
from mail_localization.preprocess.excerpt import Excerpt
from mail_localization.preprocess.profile import SurveyProfile, known_share
from mail_localization.types import WifiScan

_OLD = 6.0
"""The age from which a result tells of another place, s."""
_SCANS = 3


def wifi_findings(excerpt: Excerpt, access_points: frozenset[str], profile: SurveyProfile | None) -> list[Finding]:
    """Judge the newest scans; `access_points` are those the model knows, none if it does not say."""
    scans = [scan for scan in excerpt.scans if scan.readings][-_SCANS:]
    if not scans:
        text = "scans are empty: turn the radio on, and let the scanner run with the rights to scan"
        return [Finding(Level.ERROR, text)] if len(excerpt.scans) >= _SCANS else []
    return [*_levels(scans), *_ages(scans), *_known(scans, excerpt, access_points, profile)]


def known_now(excerpt: Excerpt, access_points: frozenset[str]) -> tuple[int, int] | None:
    """Return how many access points the newest scan holds, and how many of them the model knows."""
    if not excerpt.scans:
        return None
    heard = {reading.bssid for reading in excerpt.scans[-1].readings}
    return len(heard), len(heard & access_points)


def _levels(scans: Sequence[WifiScan]) -> list[Finding]:
    levels = [reading.rssi_dbm for scan in scans for reading in scan.readings]
    positive = sum(level > 0 for level in levels)
    if positive < 0.8 * len(levels):
        return []
    told = f"levels are positive ({min(levels):.0f} to {max(levels):.0f}), dBm are not"
    return [Finding(Level.ERROR, f"{told}; set parameter wifi.unit to negative_dbm, percent_nm or percent")]


def _ages(scans: Sequence[WifiScan]) -> list[Finding]:
    ages = sorted(reading.age for scan in scans for reading in scan.readings)
    old = sum(age > _OLD for age in ages) / len(ages)
    if old <= 0.9:
        return []
    text = f"{old:.0%} of the results were heard more than {_OLD:g} s before their scan: the driver repeats old ones"
    return [Finding(Level.WARN, f"{text}; let it scan anew each time (on Android: turn scan throttling off)")]


def _known(
    scans: Sequence[WifiScan], excerpt: Excerpt, access_points: frozenset[str], profile: SurveyProfile | None
) -> list[Finding]:
    if not access_points or len(scans) < _SCANS:
        return []
    share = known_share(excerpt, access_points) or 0.0
    if not any(reading.bssid in access_points for scan in scans for reading in scan.readings):
        text = "no access point in the newest scans is of the survey: another building, or the radios were replaced"
        return [Finding(Level.ERROR, f"{text}; give the model of this site, or survey again")]
    usual = 0.5 * profile.known_share if profile is not None else 0.0
    if share >= usual:
        return []
    text = f"only {share:.0%} of the access points heard are of the survey (usual is {profile_share(profile)})"
    return [
        Finding(Level.WARN, f"{text}: the edge of the survey, or radios were replaced; survey again where it is so")
    ]


def profile_share(profile: SurveyProfile | None) -> str:
    """Return the survey's own least usual share as text."""
    return f"{profile.known_share:.0%} or more" if profile is not None else "unknown"
