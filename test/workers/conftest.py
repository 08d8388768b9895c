from __future__ import annotations

from collections.abc import Iterator

import pytest
from clusters import cluster

from mail_localization.workers import Spread


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with cluster() as found:
        yield found


@pytest.fixture(params=["processes", "dask"])
def spread(request: pytest.FixtureRequest) -> Spread:
    """Two workers, of either kind."""
    return Spread(2) if request.param == "processes" else Spread(1, request.getfixturevalue("address"))
