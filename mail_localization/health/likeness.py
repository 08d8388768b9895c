"""How unlike the survey the input looks."""

from __future__ import annotations

from mail_localization.health.status import Finding, Level, Status, summed_up
from mail_localization.preprocess.excerpt import Excerpt
from mail_localization.preprocess.profile import FEATURES, MINUTE, SurveyProfile

_LEAST_SECONDS = 40.0
_FAR_OUT = 0.9
REMEDIES = {
    "field": "another site, device or mount than surveyed, or the wrong unit; give the model of this site and device",
    "vertical": "another site or mount than surveyed, or an uncalibrated magnetometer; calibrate it or survey anew",
    "horizontal": "another site or mount than surveyed, or an uncalibrated magnetometer; calibrate it or survey anew",
    "change": "another speed or a noisier sensor than surveyed, or motors nearby; go as in the survey or survey anew",
    "shaking": "another gait, mount or vehicle than surveyed; carry the device as in the survey or survey anew",
    "turning": "another gait, mount or vehicle than surveyed; carry the device as in the survey or survey anew",
}


def survey_status(excerpt: Excerpt, profile: SurveyProfile | None) -> Status:
    """Compare the last minute with the survey."""
    if profile is None or not profile.bands:
        return Status("survey", Level.OK, "the model does not tell what its survey looked like; train it again", {})
    minute = excerpt.last(MINUTE)
    if minute.seconds < _LEAST_SECONDS:
        return Status("survey", Level.OK, f"not yet compared: {minute.seconds:.0f} of {_LEAST_SECONDS:.0f} s", {})
    shares = profile.unlikeness(minute)
    values, findings = {}, []
    for name, share in sorted(shares.items(), key=lambda item: -item[1]):
        band = profile.bands[name]
        told = f"{share:.0%} outside {band.low:.3g} to {band.high:.3g}, usual {band.usual:.0%}"
        values[FEATURES[name]] = told
        if share > band.usual:
            level = Level.ERROR if name == "field" and share > _FAR_OUT else Level.WARN
            text = f"{FEATURES[name]}: {told} of the last minute: unlike the survey: {REMEDIES[name]}"
            findings.append(Finding(level, text))
    worst = max(shares.values(), default=0.0)
    values = {"unlikeness": f"{worst:.3f}", **values}
    return summed_up("survey", findings, f"like the survey ({worst:.0%} outside its range)", values)
