"""Parses the values of the command's options. Errors say what is valid."""

import json
import re
from argparse import ArgumentTypeError
from collections.abc import Callable
from typing import Any

from oxaigen_auth_load.scenarios import MAX_LOOKUPS, Stage
from oxaigen_auth_load.thresholds import Expectation, read_expectation
from oxaigen_auth_mock import MockSettings
from oxaigen_auth_mock.faults.kinds import FAULT
from oxaigen_auth_mock.faults.plan import unknown_persona
from oxaigen_auth_mock.personas.store import PersonaStore

_NUMBER = r"([0-9]+(?:\.[0-9]*)?)"
_STAGE = re.compile(rf"{_NUMBER}s:{_NUMBER}(?:-{_NUMBER})?")


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


def parse_count(text: str) -> int:
    number: int = _number_type(int, 1, "a whole number >= 1")(text)
    if number > MAX_LOOKUPS:
        raise ArgumentTypeError(f"{number:,} is more than {MAX_LOOKUPS:,}")
    return number


def parse_stage(text: str) -> Stage:
    """Parse `10s:100` or `30s:100-1000`: a length, and a rate or the first and the last one."""
    match = _STAGE.fullmatch(text)
    if match is None:
        raise ArgumentTypeError(
            f"{text!r} is not a stage such as 10s:100 or 30s:100-1000: a length in seconds, and "
            "lookups per second"
        )
    seconds, first, last = match.groups()
    return Stage(positive_float(seconds), float(first), float(last or first))


def parse_expectation(text: str) -> Expectation:
    try:
        return read_expectation(text)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from None


def parse_fault(text: str) -> dict[str, Any]:
    """Parse `status,status=503,probability=0.1`; values are JSON, or otherwise text."""
    kind, *fields = text.split(",")
    described: dict[str, Any] = {"kind": kind.strip()}
    for each in fields:
        name, _, value = each.partition("=")
        try:
            described[name.strip()] = json.loads(value)
        except (ValueError, RecursionError):
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
    return unknown_persona(parsed.persona, PersonaStore(MockSettings()).names)
