"""Which mutants a module has: those of cosmic-ray that can change what runs. Runs none of them."""
# pyright: reportMissingImports=false
# (cosmic-ray is in a dependency group of its own, which only mutation testing needs)

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any
from warnings import catch_warnings

from attrs import frozen
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator

if TYPE_CHECKING:
    from collections.abc import Iterator

Position = tuple[int, int]  # line, counted from 1, and column


@frozen
class Mutant:
    """A change of the text `source`; `spec` is cosmic-ray's note of it."""

    spec: Any
    source: str

    @property
    def text(self) -> str:
        """The whole module, changed."""
        operator = get_operator(self.spec.operator_name)(**self.spec.operator_args)
        return str(mutate_code(self.source, operator, self.spec.occurrence))

    @property
    def row(self) -> str:
        """How a page names it: where, the code, and what became of which part of it."""
        start, end = (_offset(self.source, at) for at in (self.spec.start_pos, self.spec.end_pos))
        old, new = self.source[start:end], self.text
        new = new[start : len(new) - (len(self.source) - end)]
        code = self.source.splitlines()[self.spec.start_pos[0] - 1].partition("  #")[0]
        place = self.spec.definition_name or "module"
        row = f"| `{place}` | {_cell(code)} | {_cell(old)} → {_cell(new)} |"
        return row.replace("``", "nothing")

    @property
    def runs(self) -> bool:
        """Whether it is a program, and the change is in a part of it that is ever executed."""
        at = self.spec.start_pos
        if any(start <= at < end for start, end in _idle(self.source)):
            return False
        with catch_warnings(action="ignore"):
            try:
                compile(self.text, "mutant", "exec")
            except SyntaxError:
                return False
        return True


def _offset(text: str, at: Position) -> int:
    return sum(len(line) for line in text.splitlines(keepends=True)[: at[0] - 1]) + at[1]


def _cell(code: str) -> str:
    return f"`{' '.join(code.split())}`".replace("|", "\\|")


def _idle(source: str) -> Iterator[tuple[Position, Position]]:
    """Find annotations, which nothing evaluates here, and what only type checkers look at."""
    for node in ast.walk(ast.parse(source)):
        idle: list[ast.expr | None] = []
        if isinstance(node, ast.AnnAssign | ast.arg):
            idle = [node.annotation]
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            idle = [node.returns]
        elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            idle = [] if node.orelse else [node.test]
        for it in idle:
            if it is not None:
                end = (it.end_lineno or 0, it.end_col_offset or 0)
                yield (it.lineno, it.col_offset), end
