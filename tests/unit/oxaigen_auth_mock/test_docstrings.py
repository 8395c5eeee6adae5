import doctest
import importlib
import pkgutil

import pytest

import oxaigen_auth_mock

MODULES = [each.name for each in pkgutil.iter_modules(oxaigen_auth_mock.__path__)]


@pytest.mark.parametrize("name", [name for name in MODULES if name != "__main__"])
def test_the_examples_in_docstrings_run(name: str) -> None:
    results = doctest.testmod(importlib.import_module(f"oxaigen_auth_mock.{name}"))
    assert results.failed == 0


def test_docstrings_have_examples() -> None:
    finder = doctest.DocTestFinder(exclude_empty=True)
    modules = [importlib.import_module(f"oxaigen_auth_mock.{name}") for name in MODULES[1:]]
    assert sum(len(test.examples) for module in modules for test in finder.find(module)) >= 3
