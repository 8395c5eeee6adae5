"""`python -m benchmarks [NAME…]`: measure all figures or those named, and print one table."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from traceback import print_exception
from typing import TYPE_CHECKING

from benchmarks import (
    burst,
    flood,
    growth,
    herd,
    imports,
    instructions,
    limits,
    memory,
    mock,
    route,
    server,
    structure,
)
from benchmarks.harness import Figure
from benchmarks.record import Record, path_of
from benchmarks.table import comparison, markdown, table

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator, Sequence

FIGURES = {
    "route": route.measure,
    "instructions": instructions.measure,
    "hit": instructions.measure_hit,
    "growth": growth.measure,
    "structure": structure.measure,
    "import": imports.measure,
    "memory": memory.measure,
    "herd": herd.measure,
    "burst": burst.measure,
    "flood": flood.measure,
    "server": server.measure,
    "mock": mock.measure,
}
ON_REQUEST = {"limits": limits.measure}


def main(arguments: Sequence[str] | None = None) -> None:
    asked = _parse(arguments)
    befores = [_read(name) for name in asked.compare]
    if len(befores) == 2:
        print(comparison(*befores))
        return
    record = _read(asked.saved) if asked.saved else Record.of(_measure(asked.names))
    if asked.save:
        path_of(asked.save).parent.mkdir(parents=True, exist_ok=True)
        path_of(asked.save).write_text(record.to_json())
    print(markdown(record) if asked.markdown else table(record.figures))
    for before in befores:
        print("", comparison(before, record), sep="\n")
    if asked.strict and any(figure.missed for figure in record.figures):
        sys.exit(1)


def _parse(arguments: Sequence[str] | None) -> Namespace:
    parser = ArgumentParser("just bench", description="Measure; README.md says what each means.")
    known = [*FIGURES, *ON_REQUEST]
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"any of: {', '.join(known)}")
    parser.add_argument("--save", metavar="RECORD", help="keep what is measured, by name or file")
    parser.add_argument("--saved", metavar="RECORD", help="show this one instead of measuring")
    parser.add_argument(
        "--compare", nargs="+", default=[], metavar="RECORD", help="one with this run, or two"
    )
    parser.add_argument("--markdown", action="store_true", help="as in docs/performance.md")
    parser.add_argument("--strict", action="store_true", help="fail if a target is missed")
    asked = parser.parse_args(arguments)
    unknown = [name for name in asked.names if name not in known]
    if unknown:
        sys.exit(f"No figure is called {', '.join(unknown)}; there are {', '.join(known)}.")
    if len(asked.compare) > 2:
        sys.exit("--compare takes one record or two; names of figures go before it.")
    return asked


def _measure(names: Sequence[str]) -> Iterator[Figure]:
    for name in names or FIGURES:
        print(f"{name} …", file=sys.stderr)
        try:
            yield from (FIGURES | ON_REQUEST)[name]()
        except Exception as error:  # noqa: BLE001 (the others took long, and are wanted all the same)
            print_exception(error)
            yield Figure(name, reason=f"{type(error).__name__}, see above")


def _read(name: str) -> Record:
    try:
        return Record.from_json(path_of(name).read_text())
    except (OSError, ValueError) as error:
        sys.exit(f"There is no record in {path_of(name)}: {error}.")


if __name__ == "__main__":
    main()
