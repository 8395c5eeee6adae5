"""`python -m benchmarks [NAME…]`: measure all benchmarks or those named, and print a table."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from traceback import print_exception
from typing import TYPE_CHECKING

from benchmarks import (
    burst,
    flood,
    generator,
    growth,
    herd,
    imports,
    instructions,
    limits,
    memory,
    mock,
    route,
    server,
    shared,
    structure,
)
from benchmarks.harness import Figure
from benchmarks.record import Record, path_of
from benchmarks.table import comparison, markdown, table

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator, Sequence

BENCHMARKS = {
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
    "shared": shared.measure,
    "generator": generator.measure,
}
OPTIONAL = {"limits": limits.measure}


def main(arguments: Sequence[str] | None = None) -> None:
    options = _parse(arguments)
    others = [_read(name) for name in options.compare]
    if len(others) == 2:
        print(comparison(*others))
        return
    record = _read(options.saved) if options.saved else Record.of(_measure(options.names))
    if options.save:
        path_of(options.save).parent.mkdir(parents=True, exist_ok=True)
        path_of(options.save).write_text(record.to_json())
    print(markdown(record) if options.markdown else table(record.figures))
    for other in others:
        print("", comparison(other, record), sep="\n")
    if options.strict and any(figure.missed for figure in record.figures):
        sys.exit(1)


def _parse(arguments: Sequence[str] | None) -> Namespace:
    parser = ArgumentParser(
        "just bench", description="Measure. benchmarks/README.md describes the figures."
    )
    known = [*BENCHMARKS, *OPTIONAL]
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"any of: {', '.join(known)}")
    parser.add_argument(
        "--save", metavar="RECORD", help="save the results, under a name or in a file"
    )
    parser.add_argument("--saved", metavar="RECORD", help="show saved results instead of measuring")
    parser.add_argument(
        "--compare",
        nargs="+",
        default=[],
        metavar="RECORD",
        help="compare one record with this run, or two with each other",
    )
    parser.add_argument(
        "--markdown", action="store_true", help="print the section of docs/performance.md"
    )
    parser.add_argument("--strict", action="store_true", help="exit with 1 if a target is missed")
    options = parser.parse_args(arguments)
    unknown = [name for name in options.names if name not in known]
    if unknown:
        sys.exit(f"There is no benchmark {', '.join(unknown)}; choose from {', '.join(known)}.")
    if len(options.compare) > 2:
        sys.exit("--compare takes one record or two; put names of benchmarks before it.")
    return options


def _measure(names: Sequence[str]) -> Iterator[Figure]:
    for name in names or BENCHMARKS:
        print(f"{name} …", file=sys.stderr)
        try:
            yield from (BENCHMARKS | OPTIONAL)[name]()
        except Exception as error:  # noqa: BLE001 (the other results are still printed)
            print_exception(error)
            yield Figure(name, reason=f"{type(error).__name__}, see above")


def _read(name: str) -> Record:
    try:
        return Record.from_json(path_of(name).read_text())
    except (OSError, ValueError) as error:
        sys.exit(f"{path_of(name)} is not a readable record: {error}.")


if __name__ == "__main__":
    main()
