"""Runs the examples of the Markdown pages and of the docstrings as tests."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from unittest import SkipTest

from sybil import Document, Example, Region, Sybil
from sybil.document import PythonDocStringDocument
from sybil.parsers.markdown import PythonCodeBlockParser, SkipParser
from sybil.parsers.rest import DocTestParser

if TYPE_CHECKING:
    from collections.abc import Iterator


class _Page(Document):
    """Runs its examples as one test: they build on each other, and tests run side by side."""

    def examples(self) -> Iterator[Example]:
        examples = list(super().examples())
        if examples:
            first = examples[0]
            region = Region(0, self.end, evaluator=lambda _: _run_all(examples))
            yield Example(self, first.line, first.column, region, self.namespace)


class _Docstrings(_Page, PythonDocStringDocument):
    """Runs the examples of a module's docstrings as one test."""


def _run_all(examples: list[Example]) -> None:
    for example in examples:
        with suppress(SkipTest):
            example.evaluate()


def _reset_log_levels(_: dict[str, Any]) -> None:
    for name in ("httpcore", "httpcore2"):
        logging.getLogger(name).setLevel(logging.NOTSET)


_pages = Sybil(
    parsers=[PythonCodeBlockParser(), SkipParser()],
    patterns=["README.md", "docs/*.md"],
    document_types={".md": _Page},
    teardown=_reset_log_levels,
)
_docstrings = Sybil(
    parsers=[DocTestParser()],
    patterns=[
        pattern
        for package in ("oxaigen_auth", "mock/oxaigen_auth_mock", "load/oxaigen_auth_load")
        for pattern in (f"{package}/*.py", f"{package}/**/*.py")
    ],
    document_types={".py": _Docstrings},
)
pytest_collect_file = (_pages + _docstrings).pytest()
