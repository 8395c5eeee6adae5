"""`python -m benchmarks [NAME…]`: measure all figures or those named, and print one table."""

from __future__ import annotations

import sys

from benchmarks import (
    burst,
    growth,
    herd,
    imports,
    instructions,
    limits,
    memory,
    mock,
    route,
    structure,
)
from benchmarks.table import table

FIGURES = {
    "route": route.measure,
    "hit": instructions.measure_hit,
    "instructions": instructions.measure,
    "import": imports.measure,
    "structure": structure.measure,
    "growth": growth.measure,
    "herd": herd.measure,
    "burst": burst.measure,
    "memory": memory.measure,
    "mock": mock.measure,
}
ON_REQUEST = {"limits": limits.measure}


def main(names: list[str]) -> None:
    known = FIGURES | ON_REQUEST
    unknown = set(names) - known.keys()
    if unknown:
        sys.exit(f"No figure is called {', '.join(sorted(unknown))}; there are {', '.join(known)}.")
    figures = [figure for name in names or FIGURES for figure in known[name]()]
    print(table(figures))


if __name__ == "__main__":
    main(sys.argv[1:])
