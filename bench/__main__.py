"""Run all benchmarks, or those named: `python -m bench [latency] [offline] [node] [fleet] [training] [scaling]`."""

from __future__ import annotations

import importlib
import os
import platform
import sys
import tempfile
from pathlib import Path

NAMES = ("latency", "offline", "node", "fleet", "training", "scaling")


def main(names: list[str]) -> int:
    """Run the benchmarks in order; 2 for a name that is none."""
    if unknown := sorted(set(names) - set(NAMES)):
        print(f"no benchmark {', '.join(unknown)}; there are {', '.join(NAMES)}", file=sys.stderr)
        return 2
    print(
        f"{platform.platform()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, Python {sys.version.split()[0]}"
    )
    with tempfile.TemporaryDirectory() as scratch:
        for name in names or NAMES:
            print(f"\n== {name}", flush=True)
            importlib.import_module(f"bench.{name}").run(Path(scratch))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
