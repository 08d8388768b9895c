from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from mail_localization.data.wifi_settings import PRESETS, WifiMappingSettings, resolved, settings_for
from mail_localization.errors import ConfigError

DOCS = (Path(__file__).parents[2] / "docs" / "wifi.md").read_text(encoding="utf-8")


def test_every_setting_and_preset_is_documented() -> None:
    assert not [field.name for field in dataclasses.fields(WifiMappingSettings) if f"`wifi.{field.name}`" not in DOCS]
    assert not [name for name, preset in PRESETS.items() if f"`{name}`" not in DOCS or preset["type"] not in DOCS]


@pytest.mark.parametrize("name", PRESETS)
def test_preset_is_taken_by_its_type_and_says_where_address_and_level_are(name: str) -> None:
    found = resolved(WifiMappingSettings(), PRESETS[name]["type"])
    assert (found.layout, found.bssid, found.rssi) == tuple(PRESETS[name][key] for key in ("layout", "bssid", "rssi"))


def test_what_is_set_comes_before_the_preset() -> None:
    found = resolved(WifiMappingSettings(rssi="level", unit="dbm"), "wifi_scanner/msg/WifiScan")
    assert (found.bssid, found.rssi, found.unit) == ("bssid", "level", "dbm")


def test_preset_can_be_asked_for_or_refused() -> None:
    assert resolved(WifiMappingSettings(preset="json", text="body"), "my_pkg/msg/Text").results == "data"
    assert resolved(WifiMappingSettings(preset="none"), "std_msgs/msg/String").bssid == ""


def test_settings_are_for_the_type_they_name() -> None:
    given = WifiMappingSettings(type="my_pkg/Text", bssid="b")
    assert settings_for(given, "my_pkg/msg/Text") is given
    assert settings_for(given, "std_msgs/msg/String") == WifiMappingSettings()
    with pytest.raises(ConfigError, match="is no message type"):
        settings_for(given, "nonsense")
