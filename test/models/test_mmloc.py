from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from mail_localization.errors import ConfigError  # noqa: E402
from mail_localization.models.mmloc import MmlocPlus  # noqa: E402
from mail_localization.models.mmloc_settings import MmlocModelConfig, MmlocSettings  # noqa: E402

SMALL = MmlocSettings.from_mapping(
    {"inertial_hidden": 6, "magnetic_hidden": 5, "wifi_hidden": [4, 4], "fusion_hidden": 8, "dropout": 0.0}
)


def network(access_points: int = 3, seed: int = 0) -> MmlocPlus:
    torch.manual_seed(seed)
    return MmlocPlus(SMALL, ("imu", "mag", "wifi"), access_points, 0).eval()


def inputs(access_points: int = 3, mask: tuple[float, ...] = (1.0, 1.0, 1.0)) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    shapes = ((2, 10, 6), (2, 20, 3), (2, access_points))
    return [torch.rand(shape, generator=generator) for shape in shapes] + [torch.tensor([mask, mask])]


@pytest.mark.parametrize("modality", [0, 1, 2])
def test_masked_modality_says_nothing(modality: int) -> None:
    mask = tuple(0.0 if k == modality else 1.0 for k in range(3))
    model, given = network(), inputs(mask=mask)
    other = list(given)
    other[modality] = given[modality] + 5.0
    torch.testing.assert_close(model(*other), model(*given), rtol=0, atol=0)
    assert not torch.equal(model(*inputs()), model(*given))


def test_access_points_of_another_site_leave_the_other_networks_alone() -> None:
    """The weights of LSTM1 and LSTM2 fit a site of any number of access points, and give the same features there."""
    here, there = network(3), network(50, seed=7)
    for name in ("lstm1", "lstm2"):
        getattr(there, name).load_state_dict(getattr(here, name).state_dict())
    given = inputs()
    for name, sequences in (("lstm1", given[0]), ("lstm2", given[1])):
        torch.testing.assert_close(getattr(there, name)(sequences), getattr(here, name)(sequences), rtol=0, atol=0)


def test_features_made_beforehand_give_the_same_position() -> None:
    model, given = network(), inputs()
    made = model.lstm1(given[0])
    torch.testing.assert_close(model(made, *given[1:]), model(*given), rtol=0, atol=0)


def test_defaults_are_the_authors_sizes() -> None:
    settings = MmlocSettings()
    assert settings.inertial_hidden == settings.magnetic_hidden == settings.fusion_hidden == 128
    assert settings.wifi_hidden == (128, 128, 128)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"modalities": ["imu"]}, "cannot tell a place; add mag or wifi"),
        ({"network": {"magnetic_step": 60}}, r"network\.magnetic_step: 60 is over half of window\.length 100"),
        ({"network": {"wifi_hidden": []}}, "wifi_hidden: .* at least one layer"),
    ],
)
def test_settings_that_contradict_are_named(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        MmlocModelConfig.from_mapping(settings)


def test_step_joins_the_newest_samples() -> None:
    """Seven samples in steps of three: the oldest one is left out."""
    settings = MmlocSettings.from_mapping({**SMALL.to_mapping(), "magnetic_step": 3})
    torch.manual_seed(0)
    model = MmlocPlus(settings, ("mag",), 0, 0).eval()
    sequence = torch.rand(1, 7, 3)
    changed = sequence.clone()
    changed[:, 0] += np.pi
    torch.testing.assert_close(model.lstm2(changed), model.lstm2(sequence), rtol=0, atol=0)
