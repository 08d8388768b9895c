"""MAIL as an exported graph that computes only what a new window brings.

Every sub-sequence starts from h = 0 (MAIL eq. 1-6), so what a GRU made of it holds for every window that has it, and
what it made of its first rows holds when more of them come. The graph takes sub-sequences with the states they are to
be continued from, and the states of those that are complete; from zeros and with none complete, it computes the whole
window.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mail_localization.models.artifact import ModelCard, Tensors, reading_tensors
from mail_localization.models.exported.graph import Graph
from mail_localization.models.exported.session import Session
from mail_localization.models.exported.steps import Steps
from mail_localization.models.mail_settings import CHANNELS, MailSettings, SubSequences

Float32 = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]


def graph(card: ModelCard, tensors: Tensors) -> bytes:
    """Return the graph.

    Inputs, for each scale m: `new_m` (L_m, N_m, 3) normalised parts of sub-sequences, oldest step first, padded behind
    their `lengths_m` (N_m,) steps; `from_m` (N_m, H) the states they go on from; `known_m` (K_m, H) last states of
    other sub-sequences; `which_m` (B, P_m) where each window's lie in the states of new_m followed by known_m. With
    attention also `steps` (B, T, 3), the whole windows. Outputs: `position` (B, 2), m, and `states_m` (N_m, H).
    """
    settings, layout = _layout(card)
    made, hidden, embedding = Graph(tensors), settings.hidden, settings.embedding
    scales = len(layout.scales)
    states = [_last_states(made, m, hidden) for m in range(scales)]
    embedded = [_embedded(made, m, states[m], len(layout.starts[m]), hidden) for m in range(scales)]
    stacked = made.add("Concat", *(made.reshape(one, 0, 1, embedding) for one in embedded), axis=1)  # (B, M, E)
    if settings.attention:
        steps = made.reshape(made.input("steps", ["B", layout.length, CHANNELS]), 0, layout.length * CHANNELS)
        weights = made.add("Softmax", made.perceptron(steps, "attention"), axis=1)  # eq. 8-10
        weighted = made.add("Mul", stacked, made.reshape(weights, 0, scales, 1))
    else:
        weighted = made.add("Mul", stacked, made.constant(1 / scales))
    fused = made.reshape(weighted, 0, scales * embedding)  # eq. 13
    scaled = made.add("Mul", made.linear(fused, "head"), made.constant(made.tensor("position_std")))  # eq. 14
    made.output("position", made.add("Add", scaled, made.constant(made.tensor("position_mean"))), ["B", 2])
    for m in range(scales):
        made.output(f"states_{m}", states[m], [f"N_{m}", hidden])
    return made.model("mail")


def _last_states(made: Graph, m: int, hidden: int) -> str:
    """Return the states (N, H) after the new parts of sub-sequences of scale m (eq. 2-5)."""
    gates, candidate = made.tensor(f"grus.{m}.gates"), made.tensor(f"grus.{m}.candidate")
    update, reset = gates[:hidden], gates[hidden:]
    # ONNX's update gate weighs the old state, the paper's the new one: sigmoid(-a) = 1 - sigmoid(a).
    rows = np.concatenate([-update, reset, candidate])  # (3 H, H + C + 1), columns (h, x, bias)
    weights = (rows[:, hidden:-1], rows[:, :hidden], np.concatenate([rows[:, -1], np.zeros(3 * hidden)]))
    constants = [made.constant(weight[None]) for weight in weights]
    new = made.input(f"new_{m}", [f"L_{m}", f"N_{m}", CHANNELS])
    lengths = made.input(f"lengths_{m}", [f"N_{m}"], np.int32)
    before = made.add("Unsqueeze", made.input(f"from_{m}", [f"N_{m}", hidden]), made.constant([0], np.int64))
    last = made.add(
        "GRU", new, *constants, lengths, before, outputs=2, last=1, hidden_size=hidden, linear_before_reset=0
    )
    return made.add("Squeeze", last, made.constant([0], np.int64))


def _embedded(made: Graph, m: int, states: str, count: int, hidden: int) -> str:
    """Return Psi_m (B, E) of scale m, each window having `count` sub-sequences (eq. 6-7)."""
    known = made.input(f"known_{m}", [f"K_{m}", hidden])
    which = made.input(f"which_{m}", ["B", count], np.int64)
    chosen = made.add("Gather", made.add("Concat", states, known, axis=0), which, axis=0)  # (B, P, H)
    joined = made.reshape(chosen, 0, count * hidden)
    return made.layer_norm(made.perceptron(joined, f"embeddings.{m}"), f"embeddings.{m}.3")


def _layout(card: ModelCard) -> tuple[MailSettings, SubSequences]:
    with reading_tensors(card):
        settings = MailSettings.from_mapping(card.settings["network"], "model.json: network")
        return settings, SubSequences.of(settings, int(card.settings["window"]["length"]))


@dataclass(frozen=True, eq=False)
class Part:
    """How one scale's inputs come from the windows of a call and from the states kept before it."""

    windows: IntArray
    """(N,) which windows the sub-sequences to compute lie in."""
    steps: IntArray
    """(L, N) their steps in these windows; behind a shorter one lies what nobody looks at."""
    lengths: npt.NDArray[np.int32]
    """(N,)."""
    origins: IntArray
    """(N,) rows of the kept states that they go on from; -1 is the state of zeros."""
    complete: IntArray
    """(K,) rows of the kept states of sub-sequences that are complete."""
    which: IntArray
    """(B, P) where each window's sub-sequences are among those computed followed by those complete."""
    kept: IntArray
    """(R + 1,) which are kept of the states computed followed by those kept before; the last is the state of zeros."""
    after: dict[int, tuple[int, int]]
    """First row of each sub-sequence kept, counted back from the last window's end -> its place in `kept`, steps done."""


@dataclass(frozen=True, eq=False)
class Plan:
    """What a call computes: it depends on how the windows lie to each other and to those before, not on the time."""

    parts: tuple[Part, ...]
    next: dict[tuple[int, ...], Plan]
    """The plans that came after this one, shared by all that keep the same: regular windows go round in them."""


_REMEMBERED = 64
"""Plans after which those to come are remembered: regular windows need a few."""
NOTHING: dict[int, tuple[int, int]] = {}


class Planner:
    """Work out what windows have in common; the name of a sub-sequence is how far before the end its first row is."""

    def __init__(self, layout: SubSequences, stride: int) -> None:
        self._layout, self._stride, self._rows = layout, stride, layout.length * stride
        self._futures: dict[tuple[Any, ...], dict[tuple[int, ...], Plan]] = {}

    def plan(self, before: Plan | None, ends: IntArray, advance: int, hop: int) -> Plan:
        """Return the plan for windows that end at `ends` (B,).

        Args:
            before: what the states kept are of; None: there are none.
            ends: ascending.
            advance: rows from the end of the last window before to that of the last of these.
            hop: rows to the end of the window that is to be expected next; 0: unknown.
        """
        if before is None:
            return self._made(None, ends, 0, hop)
        key = (*(ends - ends[-1]).tolist(), advance, hop)
        if key not in before.next:
            before.next[key] = self._made(before, ends, advance, hop)
        return before.next[key]

    def _made(self, before: Plan | None, ends: IntArray, advance: int, hop: int) -> Plan:
        scales = range(len(self._layout.scales))
        kept = [NOTHING if before is None else before.parts[m].after for m in scales]
        lags = (ends[-1] - ends).tolist()
        parts = tuple(self._part(m, kept[m], lags, advance, hop) for m in scales)
        if len(self._futures) >= _REMEMBERED:
            self._futures.clear()
        return Plan(parts, self._futures.setdefault(tuple(tuple(part.after.items()) for part in parts), {}))

    def _part(self, m: int, kept: dict[int, tuple[int, int]], lags: list[int], advance: int, hop: int) -> Part:
        length, starts, stride = self._layout.scales[m], self._layout.starts[m], self._stride
        known = {name + advance: place for name, place in kept.items()}
        # What the windows need: name -> window in which it lies, and steps to have been done.
        needed = [lag + self._rows - 1 - start * stride for lag in lags for start in starts]
        goals = {name: (k // len(starts), length) for k, name in enumerate(needed)}
        if hop and hop % stride == 0:
            # What the windows after these will end with has begun already.
            begun = range(length * stride - 1 - hop, -1, -hop)
            goals |= {name: (len(lags) - 1, (name + 1) // stride) for name in begun}
        new = [name for name, (_, goal) in goals.items() if known.get(name, (-1, 0))[1] < goal]
        complete = [name for name in goals if name not in set(new)]
        done = np.array([known.get(name, (-1, 0))[1] for name in new], dtype=np.int64)
        windows = np.array([goals[name][0] for name in new], dtype=np.int64)
        lengths = np.array([goals[name][1] for name in new], dtype=np.int64) - done
        firsts = (self._rows - 1 - np.array(new, dtype=np.int64) + np.array(lags)[windows]) // stride + done
        order = {name: k for k, name in enumerate([*new, *complete])}
        states = {name: (k, goals[name][1]) for k, name in enumerate(new)}
        states |= {name: (len(new) + row, steps) for name, (row, steps) in known.items() if name not in states}
        # The next window begins later than the last of these.
        left = {name: place for name, place in states.items() if name < self._rows - 1}
        return Part(
            windows,
            np.minimum(firsts + np.arange(lengths.max(initial=0))[:, None], self._layout.length - 1),
            lengths.astype(np.int32),
            np.array([known.get(name, (-1, 0))[0] for name in new], dtype=np.int64),
            np.array([known[name][0] for name in complete], dtype=np.int64),
            np.array([order[name] for name in needed], dtype=np.int64).reshape(len(lags), len(starts)),
            np.array([*(row for row, _ in left.values()), -1], dtype=np.int64),
            {name: (row, steps) for row, (name, (_, steps)) in enumerate(left.items())},
        )


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
        self._planner = Planner(self._layout, self._stride)
        self._kept = [np.zeros((1, self._hidden), np.float32)] * len(self._layout.scales)
        """(R + 1, H) states of each scale after the last call; the last row is 0."""
        self._plan: Plan | None = None
        self._end = 0

    def __call__(self, features: Float32, ends: IntArray) -> Float32:
        """Return positions (B, 2), m, for features (B, N, 3) that end with the rows numbered `ends` (B,)."""
        steps = self._steps(features)  # (B, T, 3)
        plan = self._planned(ends)
        inputs: dict[str, npt.NDArray[Any]] = {"steps": steps} if self._attention else {}
        for m, (part, kept) in enumerate(zip(plan.parts, self._kept, strict=True)):
            inputs[f"new_{m}"] = steps[part.windows, part.steps]
            inputs[f"lengths_{m}"] = part.lengths
            inputs[f"from_{m}"] = kept[part.origins]
            inputs[f"known_{m}"] = kept[part.complete]
            inputs[f"which_{m}"] = part.which
        positions, *states = self._session.run(inputs)
        self._kept = [
            np.concatenate([made, kept])[part.kept]
            for part, made, kept in zip(plan.parts, states, self._kept, strict=True)
        ]
        self._plan, self._end = plan, int(ends[-1])
        return np.asarray(positions, dtype=np.float32)

    def _planned(self, ends: IntArray) -> Plan:
        if not self._shares:
            return self._planner.plan(None, np.arange(len(ends)) * 2 * self._layout.length * self._stride, 0, 0)
        # Windows come at regular intervals: the last two tell where the next will end.
        advance = int(ends[-1]) - self._end if self._plan is not None else 0
        hop = int(ends[-1] - ends[-2]) if len(ends) > 1 else advance
        return self._planner.plan(self._plan, ends, advance, hop)

    def _inputs(self) -> dict[str, tuple[int | None, ...]]:
        inputs: dict[str, tuple[int | None, ...]] = {}
        for m, starts in enumerate(self._layout.starts):
            inputs |= {f"new_{m}": (None, None, CHANNELS), f"lengths_{m}": (None,), f"from_{m}": (None, self._hidden)}
            inputs |= {f"known_{m}": (None, self._hidden), f"which_{m}": (None, len(starts))}
        return inputs | ({"steps": (None, self._layout.length, CHANNELS)} if self._attention else {})


def load_network(card: ModelCard, tensors: Tensors) -> StreamedMail:
    """Return the network of a loaded model folder."""
    return StreamedMail(card, tensors)
