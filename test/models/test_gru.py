"""GRU cells with their gradient written by hand."""

from __future__ import annotations

import pytest
import torch

from mail_localization.models import gru as module
from mail_localization.models.gru import Gru, Grus

SHAPES = ((11, 3, 4), (5, 3, 130), (7, 3, 33))


def _plain(x, cell):
    """Return the last state by autograd, one operation after the other (MAIL eq. 2-5)."""
    one = x.new_ones(1, x.shape[2])
    h = x.new_zeros(len(cell.candidate), x.shape[2])
    for x_t in x:
        z, r = torch.sigmoid(cell.gates @ torch.cat([h, x_t, one])).chunk(2)
        n = torch.tanh(cell.candidate @ torch.cat([r * h, x_t, one]))
        h = (1 - z) * h + z * n
    return h


@pytest.fixture
def cells():
    torch.manual_seed(0)
    return Grus(Gru(3, hidden) for hidden in (5, 2, 8)).double()


@pytest.fixture
def sequences():
    torch.manual_seed(1)
    return [torch.randn(shape, dtype=torch.float64) for shape in SHAPES]


@pytest.fixture
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def _descended(cells, states, seed):
    """Return the weights' gradients of a weighted sum of the last states."""
    cells.zero_grad()
    torch.manual_seed(seed)
    sum((torch.randn_like(state) * state).sum() for state in states).backward()
    return [weight.grad.clone() for weight in cells.parameters()]


@pytest.mark.parametrize("block", [40, 10_000], ids=["many blocks", "one block"])
def test_states_and_gradients_equal_those_of_autograd(cells, sequences, block, monkeypatch):
    monkeypatch.setattr(module, "BLOCK", block)
    for seed in range(3):  # later passes work on the buffers of the first, with fewer rows in the same buffers
        fewer = [x[:, :, seed:] for x in sequences]
        plain = [_plain(x, cell) for x, cell in zip(fewer, cells, strict=True)]
        states = cells(fewer)
        torch.testing.assert_close(list(states), plain)
        wanted = _descended(cells, plain, seed)
        torch.testing.assert_close(_descended(cells, states, seed), wanted)


def test_states_are_the_same_without_a_gradient(cells, sequences):
    with torch.no_grad():
        still = cells(sequences)
    torch.testing.assert_close(still, cells(sequences))


def test_threads_do_not_change_a_bit(cells, sequences, one_thread, monkeypatch):
    monkeypatch.setattr(module, "BLOCK", 40)
    alone = cells(sequences)
    wanted = _descended(cells, alone, 0)
    torch.set_num_threads(3)
    together = cells(sequences)
    assert all(torch.equal(a, b) for a, b in zip(alone, together, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(wanted, _descended(cells, together, 0), strict=True))
    assert torch.get_num_threads() == 3, "the workers' own number of threads is nobody else's"


def test_rows_that_fill_up_buffers_never_spoil_a_gradient(cells, sequences):
    spoilt = [torch.full_like(x, torch.inf) for x in sequences]
    _descended(cells, cells(spoilt), 0)  # leaves buffers full of nan
    fewer = [x[:, :, 1:] for x in sequences]
    assert all(gradient.isfinite().all() for gradient in _descended(cells, cells(fewer), 0))
