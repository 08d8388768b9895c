"""Training throughput in windows/s, beside plain PyTorch loops over the same network."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from bench import site
from mail_localization.data.recording import Topics
from mail_localization.data.traces import load_traces
from mail_localization.models.gru import Gru
from mail_localization.models.mail import Mail
from mail_localization.models.mail_settings import CHANNELS
from mail_localization.preprocess.magnetic import MagneticFeatures
from mail_localization.training.dataset import WindowSet
from mail_localization.training.mail import MailConfig

SECONDS = 12.0
"""Time for which each loop is measured."""


class PlainCells(nn.ModuleList):
    """Cells that run one after the other."""

    def forward(self, sequences: list[Tensor]) -> list[Tensor]:
        """Map sequences (T, C, M), one set for each cell, to last states (H, M)."""
        return [cell(x) for cell, x in zip(self, sequences, strict=True)]


class PlainGru(Gru):
    """The cell of the paper as it is usually written: one autograd node for every operation of every step."""

    def forward(self, x: Tensor) -> Tensor:
        """Map sequences (T, C, M) to last states (H, M)."""
        hidden, one = len(self.candidate), x.new_ones(1, x.shape[2])
        h = x.new_zeros(hidden, x.shape[2])
        for x_t in x:
            z, r = torch.sigmoid(self.gates @ torch.cat([h, x_t, one])).chunk(2)
            n = torch.tanh(self.candidate @ torch.cat([r * h, x_t, one]))
            h = (1 - z) * h + z * n
        return h


class CudnnGru(nn.Module):
    """torch.nn.GRU: another cell than the paper's (reset gate after the matrix), of the same size."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.gru = nn.GRU(channels, hidden)

    def forward(self, x: Tensor) -> Tensor:
        """Map sequences (T, C, M) to last states (H, M)."""
        last: Tensor = self.gru(x.permute(0, 2, 1))[1][0]
        return last.t()


def run(scratch: Path) -> None:
    """Print windows/s of the package's training step and of the plain loops."""
    torch.set_num_threads(os.cpu_count() or 1)  # Benchmarks before this one leave it at one.
    config = MailConfig()
    train, _ = site.recordings(scratch)
    traces = load_traces(train, Topics(), config.window, config.magnetic)
    windows = WindowSet(traces, MagneticFeatures(config.magnetic, config.window.rate_hz), config.window)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    print(f"{device}, {torch.get_num_threads()} threads, batch {config.training.batch}, hidden {config.network.hidden}")
    # What training sets for itself; a loop that does not know of it pays for denormal gradients.
    torch.set_flush_denormal(True)
    threads = torch.get_num_threads()
    package = _model(config, None, device)
    package.grus.threads = threads
    # As training does; the plain loops get the same number for their operations.
    torch.set_num_threads(1)
    rates = {"package": _rate(package, _on_demand(windows, config), config)}
    torch.set_num_threads(threads)
    rates |= {
        "plain loop, torch.nn.GRU": _rate(_model(config, CudnnGru, device), _stored(windows), config),
        "plain loop, paper's cell": _rate(_model(config, PlainGru, device), _stored(windows), config),
    }
    for name, rate in rates.items():
        print(f"{name:28}{rate:8.0f} windows/s{rate / rates['package']:8.2f} x")
    drawn = _draw_rate(_on_demand(windows, config), config.training.batch)
    print(f"windows are made, augmented, at {drawn:.0f}/s: {rates['package'] / drawn:.1%} of the package's time")


def _draw_rate(draw: Callable[[np.random.Generator, int], tuple[Tensor, Tensor]], batch: int) -> float:
    """Return windows/s of making batches alone."""
    rng, count, started = np.random.default_rng(0), 0, time.perf_counter()
    while time.perf_counter() - started < SECONDS / 4:
        draw(rng, batch)
        count += 1
    return count * batch / (time.perf_counter() - started)


def _model(config: MailConfig, cell: Callable[[int, int], nn.Module] | None, device: torch.device) -> Mail:
    torch.manual_seed(0)
    model = Mail(config.network, config.window.length)
    if cell:
        model.grus = PlainCells(cell(CHANNELS, config.network.hidden) for _ in config.network.scales)
    return model.to(device)


def _on_demand(windows: WindowSet, config: MailConfig) -> Callable[[np.random.Generator, int], tuple[Tensor, Tensor]]:
    """Return a source of augmented windows, as training makes them."""

    def draw(rng: np.random.Generator, count: int) -> tuple[Tensor, Tensor]:
        which = rng.integers(0, len(windows), count)
        features = windows.augmented(which, config.training.augmentation, rng)
        return torch.from_numpy(features), torch.from_numpy(windows.positions[which]).float()

    return draw


def _stored(windows: WindowSet) -> Callable[[np.random.Generator, int], tuple[Tensor, Tensor]]:
    """Return a source of windows stored beforehand: it costs a plain loop nothing."""
    features = torch.from_numpy(windows.batch(np.arange(len(windows))))
    positions = torch.from_numpy(windows.positions).float()

    def draw(rng: np.random.Generator, count: int) -> tuple[Tensor, Tensor]:
        which = torch.from_numpy(rng.integers(0, len(windows), count))
        return features[which], positions[which]

    return draw


def _rate(model: Mail, draw: Callable[[np.random.Generator, int], tuple[Tensor, Tensor]], config: MailConfig) -> float:
    """Return windows/s of whole training steps after one that is not counted."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    rng, device = np.random.default_rng(0), next(model.parameters()).device
    count, started = 0, time.perf_counter()
    while count == 0 or time.perf_counter() - started < SECONDS:
        features, positions = draw(rng, config.training.batch)
        loss = model.loss(model(features.to(device)), positions.to(device))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss.item()
        if count == 0:
            started = time.perf_counter()
        count += 1
    return (count - 1) * config.training.batch / (time.perf_counter() - started)
