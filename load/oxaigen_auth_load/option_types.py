"""The types of the command's options, which parse a text or raise argparse's error."""

from __future__ import annotations

import json
from argparse import ArgumentTypeError
from typing import TYPE_CHECKING, Any

from oxaigen_auth_load.scenarios import MAX_LOOKUPS
from oxaigen_auth_load.thresholds import read_expectation
from oxaigen_auth_mock import MockSettings
from oxaigen_auth_mock.config.files import FAULT
from oxaigen_auth_mock.faults.plan import unknown_persona
from oxaigen_auth_mock.personas.store import PersonaStore

if TYPE_CHECKING:
    from collections.abc import Callable

    from oxaigen_auth_load.thresholds import Expectation


def _number_type(
    convert: Callable[[str], Any], minimum: float, expected: str
) -> Callable[[str], Any]:
    def parse(text: str) -> Any:
        try:
            number = convert(text)
        except ValueError:
            number = float("nan")
        if not minimum <= number < float("inf"):
            raise ArgumentTypeError(f"{text!r} is not {expected}")
        return number

    return parse


non_negative_int = _number_type(int, 0, "a whole number >= 0")
non_negative_float = _number_type(float, 0, "a number >= 0")
positive_float = _number_type(float, 1e-6, "a number > 0")


def count(text: str) -> int:
    number: int = _number_type(int, 1, "a whole number >= 1")(text)
    if number > MAX_LOOKUPS:
        raise ArgumentTypeError(f"{number:,} is more than {MAX_LOOKUPS:,}")
    return number


def expectation(text: str) -> Expectation:
    try:
        return read_expectation(text)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from None


def fault(text: str) -> dict[str, Any]:
    """Parse `status,status=503,probability=0.1`; values are JSON, or otherwise text."""
    kind, *fields = text.split(",")
    described: dict[str, Any] = {"kind": kind.strip()}
    for each in fields:
        name, _, value = each.partition("=")
        try:
            described[name.strip()] = json.loads(value)
        except ValueError:
            described[name.strip()] = value
    problem = _fault_problem(described)
    if problem:
        raise ArgumentTypeError(f"{text!r} is not a fault of the mock: {problem}")
    return described


def _fault_problem(described: dict[str, Any]) -> str | None:
    try:
        parsed = FAULT.validate_python(described)
    except ValueError as error:
        first = str(error).partition(" [type=")[0].splitlines()[1:]
        return " ".join(" ".join(first).split())
    return unknown_persona(parsed, PersonaStore(MockSettings()).names)
