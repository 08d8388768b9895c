"""The network against a slow, plain reading of the paper's equations."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from mail_localization.errors import ConfigError, ModelError
from mail_localization.models.artifact import ModelCard
from mail_localization.models.mail import Mail, load_network
from mail_localization.models.mail_settings import MailSettings, subsequence_starts
from mail_localization.models.predictor import SequencePredictor


def _sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def _fc(x, layer):
    weight, bias = layer.weight.detach().double().numpy(), layer.bias.detach().double().numpy()
    return [sum(w * v for w, v in zip(row, x, strict=True)) + b for row, b in zip(weight, bias, strict=True)]


def _fc_prelu_fc(x, layers):
    slope = float(layers[1].weight.detach())
    return _fc([v if v > 0 else slope * v for v in _fc(x, layers[0])], layers[2])


def _gru(sequence, gru):
    """Equations 2-5, one unit at a time."""
    gates, candidate = gru.gates.detach().double().numpy(), gru.candidate.detach().double().numpy()
    n_units = len(candidate)
    h = [0.0] * n_units
    for x in sequence:
        joined = [*h, *x, 1.0]
        z = [_sigmoid(float(np.dot(gates[i], joined))) for i in range(n_units)]
        r = [_sigmoid(float(np.dot(gates[n_units + i], joined))) for i in range(n_units)]
        reset = [*(r[i] * h[i] for i in range(n_units)), *x, 1.0]
        n = [math.tanh(float(np.dot(candidate[i], reset))) for i in range(n_units)]
        h = [(1 - z[i]) * h[i] + z[i] * n[i] for i in range(n_units)]
    return h


def _layer_norm(x, norm):
    mean = sum(x) / len(x)
    variance = sum((v - mean) ** 2 for v in x) / len(x)
    weight, bias = norm.weight.detach().double().numpy(), norm.bias.detach().double().numpy()
    return [w * (v - mean) / math.sqrt(variance + norm.eps) + b for v, w, b in zip(x, weight, bias, strict=True)]


def _plain_mail(sequence, model):
    """Equations 1-14 for one sequence (N, 3), in plain loops."""
    mean, std = model.input_mean.double().numpy(), model.input_std.double().numpy()
    x = [[(value - m) / s for value, m, s in zip(row, mean, std, strict=True)] for row in sequence]
    psi = []
    for m, scale in enumerate(model.settings.scales):
        last_states = []
        for start in model.starts[m]:  # (1)
            last_states += _gru(x[start : start + scale], model.grus[m])  # (2-6)
        layers = list(model.embeddings[m])
        psi.append(_layer_norm(_fc_prelu_fc(last_states, layers[:3]), layers[3]))  # (7)
    if model.settings.attention:
        scores = _fc_prelu_fc([value for row in x for value in row], list(model.attention))  # (8, 9)
        total = sum(math.exp(s) for s in scores)
        weights = [math.exp(s) / total for s in scores]  # (10)
    else:
        weights = [1 / len(psi)] * len(psi)
    fused = [w * value for w, part in zip(weights, psi, strict=True) for value in part]  # (13)
    position = _fc(fused, model.head)  # (14)
    origin, unit = model.position_mean.double().numpy(), float(model.position_std)
    return [o + unit * p for o, p in zip(origin, position, strict=True)]


@pytest.mark.parametrize("attention", [True, False])
@pytest.mark.parametrize(
    ("length", "scales"), [(20, (5, 10, 20)), (23, (4, 7, 23)), (9, (9,)), (12, (1, 5)), (100, (30, 50, 75))]
)
def test_network_equals_plain_reading_of_equations(length, scales, attention):
    torch.manual_seed(length)
    settings = MailSettings(scales=scales, hidden=4, embedding_hidden=6, embedding=5, attention=attention)
    model = Mail(settings, length)
    for parameter in model.parameters():  # away from the defaults, where a wrong bias or slope would not show
        parameter.data.add_(0.3 * torch.randn_like(parameter))
    rng = np.random.default_rng(0)
    model.set_inputs(rng.normal(size=3), np.array([0.5, 2.0, 3.0]))
    model.set_positions(rng.normal(5, 3, size=(30, 2)))
    sequences = rng.normal(size=(3, length, 3)).astype(np.float32)
    expected = [_plain_mail(sequence.astype(float), model) for sequence in sequences]
    trained = model(torch.from_numpy(sequences)).detach().numpy()
    with torch.no_grad():
        inferred = model(torch.from_numpy(sequences)).numpy()
    np.testing.assert_allclose(trained, expected, atol=1e-5)
    np.testing.assert_allclose(inferred, expected, atol=1e-5)


def test_default_size_equals_plain_reading_of_equations():
    torch.manual_seed(1)
    model = Mail(MailSettings(hidden=3, embedding_hidden=4, embedding=4, attention_hidden=3), 500)
    sequence = np.random.default_rng(1).normal(size=(1, 500, 3)).astype(np.float32)
    expected = _plain_mail(sequence[0].astype(float), model)
    np.testing.assert_allclose(model(torch.from_numpy(sequence)).detach()[0].numpy(), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("length", "scale", "grid", "expected"),
    [
        (500, 50, 50, tuple(range(0, 500, 50))),
        (500, 150, 50, (0, 100, 200, 350)),
        (500, 200, 50, (0, 150, 300)),
        (500, 250, 50, (0, 250)),
        (500, 500, 50, (0,)),
        (100, 30, 10, (0, 20, 40, 70)),
        (10, 4, 1, (0, 3, 6)),
        (10, 4, 4, (0, 3, 6)),
    ],
)
def test_subsequences_start_on_the_grid(length, scale, grid, expected):
    assert subsequence_starts(length, scale, grid) == expected


@pytest.mark.parametrize("length", [7, 50, 130, 500, 501, 560])
@pytest.mark.parametrize("grid", [1, 10, 50])
@pytest.mark.parametrize("scale", [1, 3, 7, 50, 60, 80, 130, 333])
def test_subsequences_cover_the_window_without_gaps(length, scale, grid):
    if scale > length:
        return
    starts = subsequence_starts(length, scale, grid)
    assert len(starts) == math.ceil(length / scale)
    covered = {i for start in starts for i in range(start, start + scale)}
    assert covered == set(range(length))


def test_attention_weights_sum_to_one_and_differ():
    torch.manual_seed(0)
    model = Mail(MailSettings(scales=(5, 10)), 10)
    weights = model.weights(torch.randn(4, 10, 3)).detach()
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(4))
    assert (weights[:, 0] - weights[:, 1]).abs().max() > 1e-3


def test_scale_longer_than_window_is_refused():
    with pytest.raises(ConfigError, match="500 exceeds the window's length of 400"):
        Mail(MailSettings(), 400)


def _card(settings, length):
    content = {"network": settings.to_mapping(), "window": {"length": length}}
    return ModelCard("mail", content, [[4.0, 1.0], [1.0, 9.0]])


def test_predictor_returns_positions_and_covariances():
    settings = MailSettings(scales=(5, 10), hidden=3)
    model = Mail(settings, 10)
    tensors = {name: value.numpy() for name, value in model.state_dict().items()}
    features = np.random.default_rng(0).normal(size=(4, 10, 3)).astype(np.float32)
    card = _card(settings, 10)
    positions, covariances = SequencePredictor(load_network(card, tensors), card).predict(features, np.arange(4))
    np.testing.assert_allclose(positions, model(torch.from_numpy(features)).detach().numpy(), atol=1e-6)
    assert positions.dtype == np.float64 and covariances.shape == (4, 2, 2)
    np.testing.assert_array_equal(covariances[3], [[4.0, 1.0], [1.0, 9.0]])


def test_weights_of_another_network_are_a_model_error():
    tensors = {name: value.numpy() for name, value in Mail(MailSettings(scales=(5,)), 10).state_dict().items()}
    with pytest.raises(ModelError, match="train the model again"):
        load_network(_card(MailSettings(scales=(5, 10)), 10), tensors)


def test_stride_makes_the_network_one_over_averaged_samples() -> None:
    strided = Mail(MailSettings(scales=(4, 8), stride=2, hidden=4), length=9).eval()
    plain = Mail(MailSettings(scales=(2, 4), hidden=4), length=4).eval()
    plain.load_state_dict(strided.state_dict())
    x = torch.randn(2, 9, 3)
    averaged = x[:, 1:].reshape(2, 4, 2, 3).mean(dim=2)
    assert torch.allclose(strided(x), plain(averaged), atol=1e-6)


def test_stride_must_divide_the_scales() -> None:
    with pytest.raises(ConfigError, match=r"stride: 5 does not divide scales: 12"):
        MailSettings(scales=(10, 12), stride=5)
