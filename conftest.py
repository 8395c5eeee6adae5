"""Runs the examples of the Markdown pages and of the docstrings as tests."""

from __future__ import annotations

from sybil import Sybil
from sybil.document import PythonDocStringDocument
from sybil.parsers.markdown import PythonCodeBlockParser, SkipParser
from sybil.parsers.rest import DocTestParser

_pages = Sybil(parsers=[PythonCodeBlockParser(), SkipParser()], patterns=["README.md", "docs/*.md"])
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
