"""A gated recurrent unit over many sequences at once, with its gradient written by hand (MAIL eq. 2-5).

torch.nn.GRU computes another cell (cuDNN's: the reset gate acts after the hidden matrix and its second bias), and
on a CPU its backward pass records some twenty nodes for every time step. Here both directions work in place on
buffers that lie feature by row, (H, M): every gate is one contiguous block and every step a dozen kernels.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn


class Gru(nn.Module):
    """Return the last hidden state of sequences that all start from h = 0.

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

    def forward(self, x: Tensor) -> Tensor:
        """Map sequences (T, C, M) to last states (H, M)."""
        if torch.is_grad_enabled() and (self.gates.requires_grad or self.candidate.requires_grad):
            return _GruScan.apply(x, self.gates, self.candidate)  # type: ignore[no-any-return, no-untyped-call]
        return _last_state(x, self.gates, self.candidate)


def _last_state(x: Tensor, gates: Tensor, candidate: Tensor) -> Tensor:
    """Run the recurrence forward with two steps' memory: (T, C, M) -> (H, M)."""
    _, channels, rows = x.shape
    hidden = len(candidate)
    state = x.new_zeros(hidden + channels + 1, rows)  # [h, x, 1]
    state[-1] = 1
    reset = state.clone()  # [r * h, x, 1]
    gate, new = x.new_empty(2 * hidden, rows), x.new_empty(hidden, rows)
    h, update, reset_gate, reset_h = state[:hidden], gate[:hidden], gate[hidden:], reset[:hidden]
    inputs, reset_inputs = state[hidden:-1], reset[hidden:-1]
    for x_t in x.unbind(0):
        inputs.copy_(x_t)
        reset_inputs.copy_(x_t)
        torch.mm(gates, state, out=gate).sigmoid_()
        torch.mul(reset_gate, h, out=reset_h)
        torch.mm(candidate, reset, out=new).tanh_()
        h.lerp_(new, update)
    return h.clone()


class _GruScan(torch.autograd.Function):
    """The recurrence with its gradient with respect to the weights (not the input)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, gates: Tensor, candidate: Tensor) -> Tensor:
        steps, channels, rows = x.shape
        hidden = len(candidate)
        states = _take(x, steps + 1, hidden + channels + 1, rows)  # [h_{t-1}, x_t, 1] of every step
        states[:steps, hidden:-1] = x
        states[:, -1] = 1
        states[0, :hidden] = 0
        resets = _take(x, steps, hidden + channels + 1, rows)  # [r_t * h_{t-1}, x_t, 1]
        resets[:, hidden:] = states[:steps, hidden:]
        gate, new = _take(x, steps, 2 * hidden, rows), _take(x, steps, hidden, rows)
        for t in range(steps):
            g, h = gate[t], states[t, :hidden]
            torch.mm(gates, states[t], out=g).sigmoid_()
            torch.mul(g[hidden:], h, out=resets[t, :hidden])
            torch.mm(candidate, resets[t], out=new[t]).tanh_()
            torch.lerp(h, new[t], g[:hidden], out=states[t + 1, :hidden])
        ctx.save_for_backward(gates, candidate)
        ctx.buffers = (states, resets, gate, new)
        return states[steps, :hidden].clone()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[None, Tensor, Tensor]:
        gates, candidate = ctx.saved_tensors
        states, resets, gate, new = ctx.buffers
        hidden = len(candidate)
        d_gates, d_candidate = torch.zeros_like(gates), torch.zeros_like(candidate)
        gates_t, candidate_t = gates[:, :hidden].t().contiguous(), candidate[:, :hidden].t().contiguous()
        dh = grad.clone(memory_format=torch.contiguous_format)
        part, d_new, d_reset = torch.empty_like(dh), torch.empty_like(dh), torch.empty_like(dh)
        d_gate = dh.new_empty(2 * hidden, dh.shape[1])
        sigmoid_backward = torch.ops.aten.sigmoid_backward.grad_input
        tanh_backward = torch.ops.aten.tanh_backward.grad_input
        for t in range(len(new) - 1, -1, -1):
            h, z, r, n = states[t, :hidden], gate[t, :hidden], gate[t, hidden:], new[t]
            torch.sub(n, h, out=part).mul_(dh)
            sigmoid_backward(part, z, grad_input=d_gate[:hidden])
            torch.mul(dh, z, out=part)
            dh.sub_(part)
            tanh_backward(part, n, grad_input=d_new)
            d_candidate.addmm_(d_new, resets[t].t())
            torch.mm(candidate_t, d_new, out=d_reset)
            torch.mul(d_reset, h, out=part)
            sigmoid_backward(part, r, grad_input=d_gate[hidden:])
            d_gates.addmm_(d_gate, states[t].t())
            dh.addcmul_(d_reset, r).addmm_(gates_t, d_gate)
        _give_back(*ctx.buffers)
        ctx.buffers = None
        return None, d_gates, d_candidate


# Buffers of a finished backward pass serve the next forward pass: fresh pages would cost as much as the arithmetic.
_POOL: dict[tuple[Any, ...], list[Tensor]] = {}
_POOL_DEPTH = 2


def _take(like: Tensor, *shape: int) -> Tensor:
    spare = _POOL.get((like.device, like.dtype, shape))
    return spare.pop() if spare else like.new_empty(shape)


def _give_back(*buffers: Tensor) -> None:
    for buffer in buffers:
        spare = _POOL.setdefault((buffer.device, buffer.dtype, tuple(buffer.shape)), [])
        if len(spare) < _POOL_DEPTH:
            spare.append(buffer)
