"""Damage of the kinds that files and messages really suffer, and some that only an adversary thinks of."""

from __future__ import annotations

import json
import random
from typing import Any

ODD_NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 2**63 - 1, 2**63, 2**64 - 1)
"""Values at the edges of the integer types: lengths, counts, offsets and stamps all are such integers."""

DEEP = "[" * 200_000 + "]" * 200_000
"""JSON that overflows a recursive decoder."""

ODD_JSON = (
    "null", "true", "-1", "0", "1e400", "-0.0", "NaN", "Infinity", "9" * 400, "1E99999999999999999999", '""', '"x"',
    '"\\ud800"', '"\\u0000"', "[]", "{}", "[[]]", "[0, 0]", "[NaN, 1]", '{"a": []}', "1e308", str(2**63), str(-(2**63)),
    '"' + "x" * 100_000 + '"', DEEP,
)  # fmt: skip
"""JSON texts to stand where another value is expected; the last ones are large."""


def damaged(blob: bytes, rng: random.Random) -> bytes:
    """Return the bytes with one to four pieces of damage."""
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        blob = rng.choice(_BYTE_DAMAGE)(blob, rng)
    return blob


def _flip(blob: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(blob) or 1)
    return blob[:at] + bytes(b ^ (1 << rng.randrange(8)) for b in blob[at : at + 1]) + blob[at + 1 :]


def _overwrite_number(blob: bytes, rng: random.Random) -> bytes:
    size = rng.choice((1, 2, 4, 8))
    number = rng.choice(ODD_NUMBERS) & (256**size - 1)
    at = rng.randrange(max(len(blob) - size, 1))
    return blob[:at] + number.to_bytes(size, rng.choice(("little", "big"))) + blob[at + size :]  # type: ignore[arg-type]


def _overwrite_noise(blob: bytes, rng: random.Random) -> bytes:
    at, size = rng.randrange(len(blob) or 1), rng.randint(1, 64)
    return blob[:at] + rng.randbytes(size) + blob[at + size :]


def _truncate(blob: bytes, rng: random.Random) -> bytes:
    return blob[: rng.randrange(len(blob) or 1)]


def _cut_out(blob: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(blob) or 1)
    return blob[:at] + blob[at + rng.randint(1, 256) :]


def _repeat(blob: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(blob) or 1)
    part = blob[at : at + rng.randint(1, 256)]
    return blob[:at] + part * rng.choice((2, 3, 50)) + blob[at + len(part) :]


def _zero_block(blob: bytes, rng: random.Random) -> bytes:
    # What a file system leaves after a power cut: a block that was never written.
    at = rng.randrange(len(blob) or 1) & ~0x1FF
    size = min(512, len(blob) - at)
    return blob[:at] + bytes(size) + blob[at + size :]


_BYTE_DAMAGE = (
    _flip, _flip, _overwrite_number, _overwrite_number, _overwrite_noise, _truncate, _cut_out, _repeat, _zero_block,
)  # fmt: skip


def damaged_json(value: Any, rng: random.Random) -> str:
    """Return the JSON of a value with one to three of its parts replaced, removed or renamed."""
    text = json.dumps(value)
    for _ in range(rng.choice((1, 1, 2, 3))):
        text = _with_odd_part(text, rng)
    return text


def _with_odd_part(text: str, rng: random.Random) -> str:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    places = list(_places(value))
    if not places:
        return rng.choice(ODD_JSON)
    holder, key = rng.choice(places)
    if isinstance(holder, dict) and rng.random() < 0.2:
        part = holder.pop(key)
        if rng.random() < 0.5:
            holder[f"{key}_"] = part
        return json.dumps(value)
    mark = "\x01mark\x01"
    holder[key] = mark
    return json.dumps(value).replace(json.dumps(mark), rng.choice(ODD_JSON))


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Return every (container, key) in nested lists and mappings."""
    if isinstance(value, dict):
        keys: list[Any] = list(value)
    elif isinstance(value, list):
        keys = list(range(len(value)))
    else:
        return []
    return [(value, key) for key in keys] + [place for key in keys for place in _places(value[key])]
