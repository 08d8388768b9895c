"""Wi-Fi messages that nobody should send."""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Iterator
from typing import Any

from faults.mutations import damaged, damaged_json

GOOD: dict[str, Any] = {
    "timestamp": 1_700_000_000.5,
    "data": [{"mac": "aa:bb:cc:dd:ee:ff", "rssi": -61, "ssid": "lab", "channel": 6, "age": 0.5}] * 3,
}
_LARGE = (
    '{"data": [' + ", ".join(['{"mac": "aa:bb:cc:dd:ee:ff", "rssi": -61}'] * 20_000) + "]}",
    '{"data": ' + "[" * 500_000,
    '{"data": ' + '[{"a":' * 100_000,
    '{"data": [{"mac": "' + "a" * 1_000_000 + '", "rssi": -1}]}',
    '{"timestamp": ' + "9" * 1_000_000 + ', "data": []}',
    "\0" * 1_000_000,
)
_EVERY_LARGE = 500


def hostile_texts(count: int, seed: int = 0) -> Iterator[bytes]:
    """Yield JSON scans, damaged in every way; one in 500 has the size of a bomb."""
    rng, good = random.Random(seed), json.dumps(GOOD).encode()
    for k in range(count):
        if k % _EVERY_LARGE == 0:
            yield _LARGE[k // _EVERY_LARGE % len(_LARGE)].encode()
        elif rng.random() < 0.5:
            # The text as it is sent must be UTF-8 only by chance.
            yield damaged(good, rng)
        else:
            text = damaged_json(GOOD, rng)
            yield (
                text[:20_000].encode(errors="surrogatepass")
                if rng.random() < 0.9
                else text.encode(errors="surrogatepass")
            )


def string_cdr(text: bytes) -> bytes:
    """Serialize a std_msgs/String by hand: rclpy would refuse text that is no UTF-8."""
    return b"\x00\x01\x00\x00" + struct.pack("<I", len(text) + 1) + text + b"\0"
