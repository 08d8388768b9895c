"""MAIL as an exported graph that computes only what a new window brings.

Every sub-sequence starts from h = 0 (MAIL eq. 1-6), so what a GRU made of it holds for every window that has it, and
what it made of its first rows holds when more of them come. The graph takes sub-sequences with the states they are to
be continued from, and the states of those that are complete; from zeros and with none complete, it computes the whole
window.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from mail_localization.models.artifact import ModelCard, Tensors, reading_tensors
from mail_localization.models.exported import kernel
from mail_localization.models.exported.graph import Graph
from mail_localization.models.exported.planning import Plan, Run, planner
from mail_localization.models.exported.session import Session
from mail_localization.models.exported.steps import Steps
from mail_localization.models.mail_settings import CHANNELS, MailSettings, SubSequences

Float32 = npt.NDArray[np.float32]


def graph(card: ModelCard, tensors: Tensors) -> bytes:
    """Return the graph.

    Inputs, for each scale m: `new_m` (L_m, N_m, 3) normalised parts of sub-sequences, oldest step first, padded behind
    their `lengths_m` (N_m,) steps; `from_m` (1, N_m, H) the states they go on from. Of all scales: `known` (1, K, H)
    last states of other sub-sequences; `which` (B, P) where each window's sub-sequences, by scale, lie in the states of
    the new ones, by scale, followed by those known. With attention also `steps` (B, T * 3), the whole windows.
    Outputs: `states` (1, N, H) of the new ones, and `position` (B, 2), m.
    """
    settings, layout = _layout(card)
    made = Graph(tensors)
    new = [_last_states(made, m, settings.hidden) for m in range(len(layout.scales))]
    made.output("states", [1, "N", settings.hidden], "Concat", *new, axis=1)
    embedded = _embedded(made, settings, layout)  # (B, M, 1, E)
    if settings.attention:
        steps = made.input("steps", ["B", layout.length * CHANNELS])
        weights = made.add("Softmax", made.perceptron(steps, "attention"), axis=1)  # (B, M), eq. 8-10
        weighted = made.add("Mul", embedded, made.reshape(weights, 0, 0, 1, 1))
    else:
        weighted = made.add("Mul", embedded, made.constant(1 / len(layout.scales)))
    fused = made.reshape(weighted, 0, len(layout.scales) * settings.embedding)  # eq. 13
    made.position(fused)  # eq. 14
    return made.model("mail")


def _last_states(made: Graph, m: int, hidden: int) -> str:
    """Return the states (1, N, H) after the new parts of sub-sequences of scale m (eq. 2-5)."""
    gates, candidate = made.tensor(f"grus.{m}.gates"), made.tensor(f"grus.{m}.candidate")
    update, reset = gates[:hidden], gates[hidden:]
    # ONNX's update gate weighs the old state, the paper's the new one: sigmoid(-a) = 1 - sigmoid(a).
    rows = np.concatenate([-update, reset, candidate])  # (3 H, H + C + 1), columns (h, x, bias)
    weights = (rows[:, hidden:-1], rows[:, :hidden], np.concatenate([rows[:, -1], np.zeros(3 * hidden)]))
    constants = [made.constant(weight[None]) for weight in weights]
    new = made.input(f"new_{m}", [f"L_{m}", f"N_{m}", CHANNELS])
    lengths = made.input(f"lengths_{m}", [f"N_{m}"], np.int32)
    before = made.input(f"from_{m}", [1, f"N_{m}", hidden])
    sizes = {"hidden_size": hidden, "linear_before_reset": 0}
    return made.add("GRU", new, *constants, lengths, before, before=1, **sizes)


def _embedded(made: Graph, settings: MailSettings, layout: SubSequences) -> str:
    """Return Psi (B, M, 1, E), of all scales at once where their sizes agree: each node costs, however little it does.

    MAIL eq. 6-7.
    """
    scales, hidden, counts = range(len(layout.scales)), settings.hidden, [len(starts) for starts in layout.starts]
    known, which = made.input("known", [1, "K", hidden]), made.input("which", ["B", sum(counts)], np.int64)
    chosen = made.add("Gather", made.add("Concat", "states", known, axis=1), which, axis=1)  # (1, B, P, H)
    parts = made.split(made.reshape(chosen, -1, sum(counts) * hidden), [count * hidden for count in counts])
    within = [made.linear(part, f"embeddings.{m}.0") for m, part in enumerate(parts)]

    def of_all(name: str) -> npt.NDArray[np.float32]:
        return np.stack([made.tensor(f"embeddings.{m}.{name}") for m in scales])

    slopes = made.constant(np.repeat(of_all("1.weight")[:, 0], settings.embedding_hidden))
    bent = made.add("PRelu", made.add("Concat", *within, axis=1), slopes)
    bent = made.reshape(bent, 0, len(scales), 1, settings.embedding_hidden)
    outer = made.add("MatMul", bent, made.constant(of_all("2.weight").transpose(0, 2, 1)))
    outer = made.add("Add", outer, made.constant(of_all("2.bias")[:, None]))
    normalised = made.layer_norm(outer, settings.embedding)
    scaled = made.add("Mul", normalised, made.constant(of_all("3.weight")[:, None]))
    return made.add("Add", scaled, made.constant(of_all("3.bias")[:, None]))


def _layout(card: ModelCard) -> tuple[MailSettings, SubSequences]:
    with reading_tensors(card):
        settings = MailSettings.from_mapping(card.settings["network"], "model.json: network")
        return settings, SubSequences.of(settings, int(card.settings["window"]["length"]))


class StreamedMail:
    """The exported network; equal to the whole window's computation, whatever the windows have in common.

    Its recurrence is computed by the compiled kernel where there is one.
    """

    def __init__(self, card: ModelCard, tensors: Tensors) -> None:
        settings, self._layout = _layout(card)
        self._stride, self._attention, self._hidden = settings.stride, settings.attention, settings.hidden
        with reading_tensors(card):
            self._steps = Steps(tensors, self._stride)
            # Less the window's mean, two windows have no sub-sequence in common.
            self._shares = card.settings["magnetic"]["transform"] != "mean_removed"
            self._cells = _cells(tensors, settings) if kernel.library() else None
        self._session = Session(tensors)
        self._session.require(self._inputs())
        self._planner = planner(self._layout, self._stride)
        scales = len(self._layout.scales)
        self._nothing = _new(
            np.ones((scales, 2), np.uintp),
            np.ones(scales, np.int32),
            np.zeros((scales, CHANNELS), np.float32),
            np.zeros((scales, self._hidden), np.float32),
        )
        """The graph's inputs for a single step of each scale."""
        self._kept = np.zeros((1, self._hidden), np.float32)
        """(R + 1, H) states after the last call; the last row is 0."""
        self._plan: Plan | None = None
        self._end = self._hop = 0

    def __call__(self, features: Float32, ends: npt.NDArray[np.int64]) -> Float32:
        """Return positions (B, 2), m, for features (B, N, 3) that end with the rows numbered `ends` (B,)."""
        steps = self._steps(features)  # (B, T, 3)
        plan = self._planned(ends)
        for run in plan.runs:
            positions = self._run(steps, run)
        self._plan, self._end = plan, int(ends[-1])
        return positions

    def _run(self, steps: Float32, run: Run) -> Float32:
        """Bring the kept states up to date and return the positions that are asked for."""
        asked = len(run.which)
        inputs: dict[str, npt.NDArray[Any]] = {}
        if self._attention:
            inputs["steps"] = steps[:asked].reshape(asked, self._layout.length * CHANNELS)
        new = steps.reshape(-1, CHANNELS).take(run.rows, axis=0)
        before, known = self._kept.take(run.origins, axis=0), self._kept.take(run.complete, axis=0)
        if self._cells is None:
            inputs |= _new(run.shapes, run.lengths, new, before) | {"known": known[None], "which": run.which}
            (states,), positions = self._session.run(inputs)
        else:
            states = self._cells(run, new, before)
            # The graph takes the kernel's states for those of complete ones, and is left a step of nothing.
            known = np.concatenate([states, known])
            inputs |= self._nothing | {"known": known[None], "which": run.which + len(run.shapes)}
            (positions,) = self._session.run(inputs, "position")
        self._kept = np.concatenate([states, self._kept]).take(run.kept, axis=0)
        return np.asarray(positions, dtype=np.float32)

    def _planned(self, ends: npt.NDArray[np.int64]) -> Plan:
        rows = self._layout.length * self._stride
        if not self._shares:
            return self._planner.plan(None, np.arange(len(ends)) * 2 * rows, 0, 0)
        # Windows end on a grid, though some may be left out: their distances tell which.
        advance = int(ends[-1]) - self._end if self._plan is not None else 0
        distances = [advance, int(ends[0]) - self._end if self._plan is not None else 0, *np.diff(ends).tolist()]
        self._hop = math.gcd(self._hop, *(distance for distance in distances if distance < rows))
        return self._planner.plan(self._plan, ends, advance, self._hop)

    def _inputs(self) -> dict[str, tuple[int | None, ...]]:
        states, count = (1, None, self._hidden), sum(map(len, self._layout.starts))
        inputs: dict[str, tuple[int | None, ...]] = {}
        for m in range(len(self._layout.starts)):
            inputs |= {f"new_{m}": (None, None, CHANNELS), f"lengths_{m}": (None,), f"from_{m}": states}
        inputs |= {"known": states, "which": (None, count)}
        return inputs | ({"steps": (None, self._layout.length * CHANNELS)} if self._attention else {})


def _new(
    shapes: npt.NDArray[np.uintp], lengths: npt.NDArray[np.int32], new: Float32, before: Float32
) -> dict[str, npt.NDArray[Any]]:
    """Return the graph's inputs for the sub-sequences to compute: what Run says of them, their steps and states."""
    inputs: dict[str, npt.NDArray[Any]] = {}
    step = first = 0
    for m, (steps, count) in enumerate(shapes.tolist()):
        these = slice(first, first + count)
        inputs[f"new_{m}"] = new[step : step + steps * count].reshape(steps, count, CHANNELS)
        inputs |= {f"lengths_{m}": lengths[these], f"from_{m}": before[None, these]}
        step, first = step + steps * count, first + count
    return inputs


def _cells(tensors: Tensors, settings: MailSettings) -> kernel.Cells:
    weights = [(tensors[f"grus.{m}.gates"], tensors[f"grus.{m}.candidate"]) for m in range(len(settings.scales))]
    width = settings.hidden + CHANNELS + 1
    for pair in weights:
        if [weight.shape for weight in pair] != [(2 * settings.hidden, width), (settings.hidden, width)]:
            raise ValueError(f"GRUs of other than {settings.hidden} units")
    return kernel.cells(weights)


def load_network(card: ModelCard, tensors: Tensors) -> StreamedMail:
    """Return the network of a loaded model folder."""
    return StreamedMail(card, tensors)
