"""Gated recurrent units over many sequences at once, with their gradient written by hand (MAIL eq. 2-5).

torch.nn.GRU computes another cell (cuDNN's: the reset gate acts after the hidden matrix and its second bias), and
on a CPU its backward pass records some twenty nodes for every time step. Here both directions work in place on
buffers that lie feature by row, (H, M). What they cost is the calls and the memory, not the arithmetic: a block of
rows is as wide as the second-level cache allows, its views are made once, and blocks are spread over threads.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from mail_localization.models.threads import spread


class Gru(nn.Module):
    """Hold the weights of a cell that starts from h = 0.

        z_t = sigmoid(W_z [h_{t-1}, x_t, 1])              update gate, eq. 2
        r_t = sigmoid(W_r [h_{t-1}, x_t, 1])              reset gate, eq. 3
        n_t = tanh(W_n [r_t * h_{t-1}, x_t, 1])           candidate, eq. 4 ("tan" in the paper is tanh)
        h_t = (1 - z_t) * h_{t-1} + z_t * n_t             eq. 5

    The reset gate acts before the matrix, as in Cho et al. 2014. The paper's choice of which of the two terms of
    eq. 5 carries z does not matter: it only changes the sign of what W_z learns.
    """

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        width = hidden + channels + 1
        bound = 1 / math.sqrt(hidden)
        self.gates = nn.Parameter(torch.empty(2 * hidden, width).uniform_(-bound, bound))
        """W_z over W_r, columns (h, x, bias)."""
        self.candidate = nn.Parameter(torch.empty(hidden, width).uniform_(-bound, bound))
        """W_n, columns (r * h, x, bias)."""


class Grus(nn.ModuleList):
    """Cells of their own for several sets of sequences, run side by side."""

    threads: int | None = None
    """CPU threads that share the work; None: as many as torch takes for an operation."""

    def forward(self, sequences: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Map sequences (T, C, M), one set for each cell, to last states (H, M)."""
        weights = list(self.parameters())  # gates and candidate of each cell
        if torch.is_grad_enabled() and any(weight.requires_grad for weight in weights):
            states: tuple[Tensor, ...] = _Scan.apply(self.threads, len(self), *sequences, *weights)  # type: ignore[no-untyped-call]
            return states
        blocks = _blocks(sequences, weights)
        return _joined(blocks, spread(_last_state, blocks, threads=_threads(blocks, self.threads)))


class _Block(NamedTuple):
    """Some sequences of one cell."""

    cell: int
    x: Tensor  # (T, C, m)
    gates: Tensor
    candidate: Tensor  # columns (x, bias, r * h)

    @property
    def sizes(self) -> tuple[int, int, int, int]:
        """Steps, channels, hidden units and sequences."""
        return (*self.x.shape[:2], len(self.candidate), self.x.shape[2])


BLOCK = 25_600
"""Numbers in a hidden state of a block: at 800 x 32 a step's buffers fill a cache of 1 MB, and calls cost little."""


def _blocks(sequences: Sequence[Tensor], weights: Sequence[Tensor]) -> list[_Block]:
    """Cut each cell's sequences (T, C, M) into blocks; how does not depend on the threads, so nor do the numbers."""
    blocks = []
    for cell, x in enumerate(sequences):
        gates, candidate = (weight.detach() for weight in weights[2 * cell : 2 * cell + 2])
        hidden, rows = len(candidate), x.shape[2]
        rolled = candidate.roll(-hidden, 1)
        count = max(1, round(rows * hidden / BLOCK)) if x.device.type == "cpu" else 1
        blocks += [_Block(cell, part, gates, rolled) for part in x.tensor_split(count, dim=2)]
    return blocks


def _threads(blocks: Sequence[_Block], wanted: int | None) -> int:
    """Return how many threads blocks are worth: a few rows are not worth a second."""
    large = blocks[0].x.device.type == "cpu" and max(block.x.shape[2] for block in blocks) >= 100
    return (wanted or torch.get_num_threads()) if large else 1


def _joined(blocks: Sequence[_Block], parts: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Return the last states (H, M) of each cell from those of its blocks."""
    cells: list[list[Tensor]] = [[] for _ in range(blocks[-1].cell + 1)]
    for block, part in zip(blocks, parts, strict=True):
        cells[block.cell].append(part)
    return tuple(torch.cat(parts, dim=1) for parts in cells)


def _last_state(block: _Block) -> Tensor:
    """Run the recurrence forward with one step's memory: to (H, m)."""
    _, channels, hidden, rows = block.sizes
    step = block.x.new_zeros(2 * hidden + channels + 1, rows)  # [h, x, 1, r * h]
    inputs, reset_h = step[hidden : hidden + channels], step[hidden + channels + 1 :]
    step[hidden + channels] = 1
    gate, new = step.new_empty(2 * hidden, rows), step.new_empty(hidden, rows)
    to_gates, to_candidate, h = step[:-hidden], step[hidden:], step[:hidden]
    update, reset = gate[:hidden], gate[hidden:]
    for x_t in block.x.unbind(0):
        inputs.copy_(x_t)
        torch.mm(block.gates, to_gates, out=gate).sigmoid_()
        torch.mul(reset, h, out=reset_h)
        torch.mm(block.candidate, to_candidate, out=new).tanh_()
        h.lerp_(new, update)
    return h.clone()


class _Step(NamedTuple):
    """Views of what a step forward leaves, (features, m) each; h and r * h of the step, h of the next."""

    all: Tensor  # [h, x, 1, r * h]
    to_gates: Tensor  # [h, x, 1]
    to_candidate: Tensor  # [x, 1, r * h]
    h: Tensor
    reset_h: Tensor
    gate: Tensor
    update: Tensor
    reset: Tensor
    new: Tensor
    next_h: Tensor


class _Tape:
    """What running a block forward leaves for the way back."""

    def __init__(self, x: Tensor, channels: int, hidden: int, rows: int) -> None:
        count, inner = len(x), hidden + channels + 1
        states = x.new_zeros(count + 1, inner + hidden, rows)
        states[:, inner - 1] = 1
        gates, news = x.new_empty(count, 2 * hidden, rows), x.new_empty(count, hidden, rows)
        self.inputs = states[:-1, hidden : inner - 1]
        self.steps = [
            _Step(
                all=state, to_gates=state[:inner], to_candidate=state[hidden:], h=state[:hidden],
                reset_h=state[inner:], gate=gate, update=gate[:hidden], reset=gate[hidden:], new=new,
                next_h=following[:hidden],
            )
            for state, following, gate, new in zip(states[:-1], states[1:], gates, news, strict=True)
        ]  # fmt: skip


def _forward(block: _Block, tape: _Tape) -> Tensor:
    """Run a block forward and return its last states (H, m)."""
    rows = block.x.shape[2]
    tape.inputs[..., :rows] = block.x
    tape.inputs[..., rows:] = 0  # rows that only fill up the tape
    for _, to_gates, to_candidate, h, reset_h, gate, update, reset, new, next_h in tape.steps:
        torch.mm(block.gates, to_gates, out=gate).sigmoid_()
        torch.mul(reset, h, out=reset_h)
        torch.mm(block.candidate, to_candidate, out=new).tanh_()
        torch.lerp(h, new, update, out=next_h)
    return next_h[:, :rows].clone()


def _backward(block: _Block, tape: _Tape, grad: Tensor) -> tuple[Tensor, Tensor]:
    """Return the gradients of a block's weights from that of its last states (H, m)."""
    _, channels, hidden, rows = block.sizes
    inner, width = hidden + channels + 1, tape.inputs.shape[2]
    d_gates, d_candidate = torch.zeros_like(block.gates), torch.zeros_like(block.candidate)
    gates_t = block.gates[:, :hidden].t().contiguous()
    candidate_t = block.candidate[:, channels + 1 :].t().contiguous()
    dh = grad.new_zeros(hidden, width)
    dh[:, :rows] = grad
    d_new, d_reset, part, product = (torch.empty_like(dh) for _ in range(4))
    d_gate = dh.new_empty(2 * hidden, width)
    d_z, d_r = d_gate[:hidden], d_gate[hidden:]
    # The products that give the weights' gradients take half the time with their right side row by row.
    by_row = dh.new_empty(width, inner + hidden)
    turned, to_gates, to_candidate = by_row.t(), by_row[:, :inner], by_row[:, hidden:]
    for everything, _, _, _, reset_h, _, update, reset, new, next_h in reversed(tape.steps):
        torch.mul(dh, update, out=product)
        torch.sub(dh, product, out=dh)
        torch.sub(new, next_h, out=part)  # (1 - z) * (n - h_{t-1})
        torch.mul(product, part, out=d_z)
        torch.mul(product, new, out=part)
        torch.addcmul(product, part, new, value=-1, out=d_new)
        torch.mm(candidate_t, d_new, out=d_reset)
        torch.addcmul(dh, d_reset, reset, out=dh)
        torch.mul(d_reset, reset_h, out=part)
        torch.addcmul(part, part, reset, value=-1, out=d_r)
        torch.addmm(dh, gates_t, d_gate, out=dh)
        turned.copy_(everything)
        torch.addmm(d_gates, d_gate, to_gates, out=d_gates)
        torch.addmm(d_candidate, d_new, to_candidate, out=d_candidate)
    return d_gates, d_candidate.roll(hidden, 1)


class _Scan(torch.autograd.Function):
    """The recurrences of several cells with their gradients with respect to the weights (not the inputs)."""

    @staticmethod
    def forward(ctx: Any, threads: int | None, cells: int, *tensors: Tensor) -> tuple[Tensor, ...]:
        blocks = _blocks(tensors[:cells], tensors[cells:])
        tapes = [_take(block) for block in blocks]
        ctx.blocks, ctx.tapes, ctx.threads = blocks, tapes, _threads(blocks, threads)
        return _joined(blocks, spread(_forward, blocks, tapes, threads=ctx.threads))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        blocks, tapes = ctx.blocks, ctx.tapes
        ctx.blocks = ctx.tapes = None
        rows = [[block.x.shape[2] for block in blocks if block.cell == cell] for cell in range(len(grads))]
        parts = [part for grad, widths in zip(grads, rows, strict=True) for part in torch.split(grad, widths, dim=1)]
        found = spread(_backward, blocks, tapes, parts, threads=ctx.threads)
        _give_back(blocks, tapes)
        weights = []
        for cell in range(len(grads)):
            pairs = [pair for block, pair in zip(blocks, found, strict=True) if block.cell == cell]
            weights += [torch.stack(each).sum(dim=0) for each in zip(*pairs, strict=True)]
        return (None, None, *(None for _ in grads), *weights)


# Tapes of a finished backward pass serve the next forward pass: fresh pages would cost as much as the arithmetic.
_POOL: dict[tuple[Any, ...], list[_Tape]] = {}
_POOL_DEPTH = 12


def _take(block: _Block) -> _Tape:
    spare = _POOL.get(_key(block))
    if spare:
        return spare.pop()
    _, channels, hidden, _ = block.sizes
    return _Tape(block.x, channels, hidden, _key(block)[-1])


def _give_back(blocks: Sequence[_Block], tapes: Sequence[_Tape]) -> None:
    for block, tape in zip(blocks, tapes, strict=True):
        spare = _POOL.setdefault(_key(block), [])
        if len(spare) < _POOL_DEPTH:
            spare.append(tape)


def _key(block: _Block) -> tuple[Any, ...]:
    """Return what a tape must agree in; its rows are rounded up, so that batches of 397 and 398 share tapes."""
    steps, channels, hidden, rows = block.sizes
    return block.x.device, block.x.dtype, steps, channels, hidden, -(-rows // 16) * 16
