from __future__ import annotations

from pathlib import Path

import pytest

from mail_localization.config import Settings, group, setting
from mail_localization.errors import ConfigError


class Inner(Settings):
    rate_hz: float = setting(50.0, "rate, Hz", minimum=1.0, maximum=100.0)
    scales: tuple[int, ...] = setting((50, 100), "scales, samples", minimum=1)


class Outer(Settings):
    inner: Inner = group(Inner)
    mode: str = setting("slow", "pace", choices=("slow", "fast"))
    enabled: bool = setting(True, "whether")


def test_mapping_round_trip() -> None:
    config = Outer.from_mapping({"inner": {"rate_hz": 5, "scales": [1, 2]}, "mode": "fast"})
    assert config.inner == Inner(rate_hz=5.0, scales=(1, 2))
    assert isinstance(config.inner.rate_hz, float)
    assert Outer.from_mapping(config.to_mapping()) == config


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"inner": {"ratehz": 5}}, r"f.yaml: inner: unknown setting 'ratehz'; did you mean 'rate_hz'\?"),
        ({"inner": {"rate_hz": "5"}}, "f.yaml: inner: rate_hz: expected float, found '5'"),
        ({"inner": {"rate_hz": True}}, "rate_hz: expected float, found True"),
        ({"inner": {"rate_hz": 0.5}}, "rate_hz: 0.5 is outside 1.0 to 100.0"),
        ({"inner": {"rate_hz": float("nan")}}, "rate_hz: nan is outside"),
        ({"inner": {"rate_hz": 10**400}}, "rate_hz: inf is outside"),
        ({"inner": {"scales": [1, 2.5]}}, "scales: expected a list of int, found 2.5"),
        ({"inner": {"scales": [0]}}, "scales: 0 is outside 1 to inf"),
        ({"inner": 3}, "expected names and values, found 3"),
        ({"mode": "medium"}, "mode: 'medium' is not one of slow, fast"),
        ({"enabled": 1}, "enabled: expected bool, found 1"),
    ],
)
def test_bad_setting_is_named_with_value_and_remedy(mapping: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Outer.from_mapping(mapping, "f.yaml")


def test_yaml_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("inner: [")
    with pytest.raises(ConfigError, match=r"bad.yaml: cannot be read as YAML"):
        Outer.from_yaml(path)
    path.write_text("")
    assert Outer.from_yaml(path) == Outer()
