from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import pytest

from mail_localization.errors import ModelError
from mail_localization.preprocess.excerpt import Excerpt
from mail_localization.preprocess.profile import FEATURES, Band, SurveyProfile, features, survey_profile
from mail_localization.types import WifiReading, WifiScan

RATES = {"mag": 25.0, "imu": 25.0, "wifi": 0.5}


def _walk(seed: int, strength: float = 45e-6, names: Sequence[str] = "abcd", shaking: float = 1.0) -> Excerpt:
    """Two minutes along a corridor: the field varies by a tenth of its strength, steps shake the device."""
    rng = np.random.default_rng(seed)
    t = np.arange(3000) / 25.0
    along = np.sin(t[:, None] * (0.7, 1.1, 0.9) + rng.uniform(0, 6, 3))
    mag = strength * (np.array([0.3, 0.1, -0.9]) + 0.1 * along) + rng.normal(0, 3e-7, (3000, 3))
    imu = np.tile([0.0, 0.0, 9.8, 0.0, 0.0, 0.0], (3000, 1))
    imu[:, 2] += shaking * np.sin(11 * t)
    imu[:, 3:] = rng.normal(0, 0.2, (3000, 3))
    scans = tuple(WifiScan(k * 2_000_000_000, tuple(WifiReading(name, -60.0) for name in names)) for k in range(60))
    stamps = (t * 1e9).astype(np.int64)
    return Excerpt(stamps, mag, stamps, imu, scans)


@pytest.fixture(scope="module")
def profile() -> SurveyProfile:
    return survey_profile([_walk(seed) for seed in range(4)], [RATES] * 4)


def test_features_of_a_known_field() -> None:
    t = (np.arange(250) * 4e7).astype(np.int64)
    down = Excerpt(t, np.tile([30e-6, 0.0, -40e-6], (250, 1)), t, np.tile([0, 0, 9.8, 0.3, 0.4, 0], (250, 1)))
    found = features(down)
    expected = {"field": 50, "vertical": -40, "horizontal": 30, "change": 0, "shaking": 0, "turning": 0.5}
    assert found.keys() == FEATURES.keys()
    assert {name: values.mean() for name, values in found.items()} == pytest.approx(expected, abs=1e-6)


def test_features_without_an_imu_are_those_of_the_field_alone() -> None:
    walk = _walk(0)
    assert features(Excerpt(mag_ns=walk.mag_ns, mag=walk.mag)).keys() == {"field", "change"}
    assert features(Excerpt()) == {}


def test_another_walk_of_the_site_is_like_the_survey(profile: SurveyProfile) -> None:
    shares = profile.unlikeness(_walk(9).last(60.0))
    assert shares.keys() == FEATURES.keys()
    assert all(share <= profile.bands[name].usual for name, share in shares.items())


def test_another_site_and_another_gait_are_unlike_the_survey(profile: SurveyProfile) -> None:
    shares = profile.unlikeness(_walk(9, strength=70e-6, shaking=4.0))
    assert shares["field"] > 0.9
    assert shares["shaking"] > 0.9
    assert shares["turning"] < 0.1


def test_what_is_usual_is_measured_by_leaving_recordings_out() -> None:
    odd = survey_profile([*(_walk(seed) for seed in range(4)), _walk(4, strength=70e-6)], [RATES] * 5)
    # One recording of five leaves the others' range all the time: such a survey has no usual range.
    assert odd.bands["field"].usual > 0.9
    alone = survey_profile([_walk(0)], [RATES])
    assert alone.bands["field"].usual == 0.5


def test_known_access_points_and_rates(profile: SurveyProfile) -> None:
    assert profile.access_points == ["a", "b", "c", "d"]
    assert profile.known_share == 1.0
    assert profile.rates_hz == RATES
    mixed = survey_profile([_walk(0), _walk(1, names="abxy")], [RATES] * 2)
    assert mixed.known_share == 0.5


def test_a_profile_survives_json(profile: SurveyProfile) -> None:
    text = json.dumps(profile.to_mapping() | {"of_a_newer_version": 1}, allow_nan=False)
    assert SurveyProfile.from_mapping(json.loads(text)) == profile
    assert SurveyProfile.from_mapping({}) == SurveyProfile()


@pytest.mark.parametrize(
    "damaged",
    [
        {"bands": {"field": {"low": 1.0}}},
        {"bands": {"field": {"low": "x", "high": 1.0, "usual": 0.1}}},
        {"bands": 3},
        {"rates_hz": {"mag": float("nan")}},
        {"hard_irons": [[1.0], [1.0, 2.0]]},
        {"access_points": 5},
    ],
)
def test_a_damaged_profile_is_refused(damaged: dict[str, object]) -> None:
    with pytest.raises(ModelError, match="profile is damaged"):
        SurveyProfile.from_mapping(damaged)


def test_share_outside_a_band() -> None:
    assert Band(1.0, 2.0, 0.1).outside(np.array([0.5, 1.0, 1.5, 3.0])) == 0.5
