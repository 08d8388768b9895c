"""Settings with which every method trains in seconds on the walks of modal_surveys."""

from __future__ import annotations

from typing import Any

NETWORK: dict[str, Any] = {
    "window": {"rate_hz": 10.0, "length": 50, "hop": 5},
    "training": {"epochs": 30, "hop": 2, "batch": 50, "schedule": "cosine", "warmup": 5},
}
SEQUENCE = NETWORK | {"magnetic": {"transform": "raw"}}
SMALL: dict[str, dict[str, Any]] = {
    "mail": SEQUENCE | {"network": {"scales": [10, 50], "stride": 5, "hidden": 8}},
    "jang": SEQUENCE | {"network": {"stride": 5, "hidden": 16}},
    "mmloc_plus": NETWORK,
    "magnetic_nn": {"window": NETWORK["window"], "match": {"stride": 1}},
}
