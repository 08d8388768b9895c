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
from mail_localization.models.exported.graph import Graph
from mail_localization.models.exported.planning import Parts, Plan, planner
from mail_localization.models.exported.session import Session
from mail_localization.models.exported.steps import Steps
from mail_localization.models.mail_settings import CHANNELS, MailSettings, SubSequences

Float32 = npt.NDArray[np.float32]


def graph(card: ModelCard, tensors: Tensors) -> bytes:
    """Return the graph.

    Inputs, for each scale m: `new_m` (L_m, N_m, 3) normalised parts of sub-sequences, oldest step first, padded behind
    their `lengths_m` (N_m,) steps; `from_m` (1, N_m, H) the states they go on from; `known_m` (1, K_m, H) last states
    of other sub-sequences; `which_m` (B, P_m) where each window's lie in the states of new_m followed by known_m. With
    attention also `steps` (B, T * 3), the whole windows. Outputs: `states_m` (1, N_m, H), and `position` (B, 2), m.
    """
    settings, layout = _layout(card)
    made = Graph(tensors)
    for m in range(len(layout.scales)):
        _last_states(made, m, settings.hidden)
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


def _last_states(made: Graph, m: int, hidden: int) -> None:
    """Make `states_m` (1, N, H), those after the new parts of sub-sequences of scale m (eq. 2-5)."""
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
    made.output(f"states_{m}", [1, f"N_{m}", hidden], "GRU", new, *constants, lengths, before, before=1, **sizes)


def _embedded(made: Graph, settings: MailSettings, layout: SubSequences) -> str:
    """Return Psi (B, M, 1, E), of all scales at once where their sizes agree: each node costs, however little it does.

    MAIL eq. 6-7.
    """
    scales, hidden = range(len(layout.scales)), settings.hidden
    within = []
    for m, starts in enumerate(layout.starts):
        known = made.input(f"known_{m}", [1, f"K_{m}", hidden])
        which = made.input(f"which_{m}", ["B", len(starts)], np.int64)
        chosen = made.add("Gather", made.add("Concat", f"states_{m}", known, axis=1), which, axis=1)  # (1, B, P, H)
        within.append(made.linear(made.reshape(chosen, -1, len(starts) * hidden), f"embeddings.{m}.0"))

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
    """The exported network; equal to the whole window's computation, whatever the windows have in common."""

    def __init__(self, card: ModelCard, tensors: Tensors) -> None:
        settings, self._layout = _layout(card)
        self._stride, self._attention, self._hidden = settings.stride, settings.attention, settings.hidden
        with reading_tensors(card):
            self._steps = Steps(tensors, self._stride)
            # Less the window's mean, two windows have no sub-sequence in common.
            self._shares = card.settings["magnetic"]["transform"] != "mean_removed"
        self._session = Session(tensors)
        self._session.require(self._inputs())
        self._planner = planner(self._layout, self._stride)
        self._kept = [np.zeros((1, 1, self._hidden), np.float32)] * len(self._layout.scales)
        """(1, R + 1, H) states of each scale after the last call; the last row is 0."""
        self._plan: Plan | None = None
        self._end = self._hop = 0

    def __call__(self, features: Float32, ends: npt.NDArray[np.int64]) -> Float32:
        """Return positions (B, 2), m, for features (B, N, 3) that end with the rows numbered `ends` (B,)."""
        steps = self._steps(features)  # (B, T, 3)
        plan = self._planned(ends)
        for parts in plan.runs:
            positions = self._run(steps, parts)
        self._plan, self._end = plan, int(ends[-1])
        return positions

    def _run(self, steps: Float32, parts: Parts) -> Float32:
        """Bring the kept states up to date and return the positions that are asked for."""
        rows, asked = steps.reshape(-1, CHANNELS), len(parts[0].which)
        inputs: dict[str, npt.NDArray[Any]] = {}
        if self._attention:
            inputs["steps"] = steps[:asked].reshape(asked, self._layout.length * CHANNELS)
        for m, (part, kept) in enumerate(zip(parts, self._kept, strict=True)):
            inputs[f"new_{m}"] = rows.take(part.rows, axis=0)
            inputs[f"lengths_{m}"] = part.lengths
            inputs[f"from_{m}"] = kept.take(part.origins, axis=1)
            inputs[f"known_{m}"] = kept.take(part.complete, axis=1)
            inputs[f"which_{m}"] = part.which
        *states, positions = self._session.run(inputs)
        self._kept = [
            np.concatenate([made, kept], axis=1).take(part.kept, axis=1)
            for part, made, kept in zip(parts, states, self._kept, strict=True)
        ]
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
        inputs: dict[str, tuple[int | None, ...]] = {}
        states = (1, None, self._hidden)
        for m, starts in enumerate(self._layout.starts):
            inputs |= {f"new_{m}": (None, None, CHANNELS), f"lengths_{m}": (None,), f"from_{m}": states}
            inputs |= {f"known_{m}": states, f"which_{m}": (None, len(starts))}
        return inputs | ({"steps": (None, self._layout.length * CHANNELS)} if self._attention else {})


def load_network(card: ModelCard, tensors: Tensors) -> StreamedMail:
    """Return the network of a loaded model folder."""
    return StreamedMail(card, tensors)
