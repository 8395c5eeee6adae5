"""Runs the examples of the Markdown pages and of the docstrings as tests."""

from __future__ import annotations

import logging
from typing import Any

from sybil import Sybil
from sybil.document import PythonDocStringDocument
from sybil.parsers.markdown import PythonCodeBlockParser, SkipParser
from sybil.parsers.rest import DocTestParser


def _reset_log_levels(_: dict[str, Any]) -> None:
    for name in ("httpcore", "httpcore2"):
        logging.getLogger(name).setLevel(logging.NOTSET)


_pages = Sybil(
    parsers=[PythonCodeBlockParser(), SkipParser()],
    patterns=["README.md", "docs/*.md"],
    teardown=_reset_log_levels,
)
_docstrings = Sybil(
    parsers=[DocTestParser()],
    patterns=[
        pattern
        for package in ("oxaigen_auth", "mock/oxaigen_auth_mock", "load/oxaigen_auth_load")
        for pattern in (f"{package}/*.py", f"{package}/**/*.py")
    ],
    document_types={".py": PythonDocStringDocument},
)
pytest_collect_file = (_pages + _docstrings).pytest()
