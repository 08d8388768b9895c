from __future__ import annotations

from pathlib import Path

import pytest
from surveys import write_survey

from mail_localization.localizer import load_localizer
from mail_localization.matching.magnetic_nn import MagneticNnConfig
from mail_localization.methods import METHODS
from mail_localization.models.artifact import load_model
from mail_localization.preprocess.profile import SurveyProfile
from mail_localization.training.options import TrainOptions


def test_every_trained_model_carries_its_surveys_profile(tmp_path: Path) -> None:
    recordings = write_survey(tmp_path / "survey", speeds=(1.0, 1.1, 1.2), seconds=30.0)
    config = MagneticNnConfig.from_mapping({"window": {"length": 100}})
    METHODS["magnetic_nn"].train(config, recordings, tmp_path / "model", TrainOptions(progress=False))
    card, _ = load_model(tmp_path / "model")
    profile = SurveyProfile.from_mapping(card.profile)
    # The method takes the magnetometer alone, so only that is described: 50 Hz of a field of 20 to 65 microtesla.
    assert load_localizer(tmp_path / "model").inputs == {"mag"}
    assert profile.bands.keys() == {"field", "change"}
    assert 15.0 < profile.bands["field"].low < profile.bands["field"].high < 70.0
    assert profile.rates_hz == pytest.approx({"mag": 50.0}, rel=0.02)
