"""What all classes and functions of the package promise by the way they are made."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from typing import Protocol, is_typeddict

import attrs
import pytest

import oxaigen_auth
from oxaigen_auth._request.identity import Identity
from oxaigen_auth.stats import ClientStats

MODULES = [
    importlib.import_module(module.name)
    for module in pkgutil.walk_packages(oxaigen_auth.__path__, "oxaigen_auth.")
    if module.name != "oxaigen_auth.src"  # which cannot be imported
]
FOUND = {it for module in MODULES for it in vars(module).values() if isinstance(it, type)}
CLASSES = sorted((it for it in FOUND if it.__module__.startswith("oxaigen_auth.")), key=repr)
OURS = [it for it in CLASSES if attrs.has(it)]
MEMBERS = [it for holder in [*MODULES, *CLASSES] for it in vars(holder).values()]
FUNCTIONS = [it for it in MEMBERS if inspect.isfunction(it) and it.__name__ != "__init__"]
WITH_IDENTITY = [it for it in OURS if it.__eq__ is object.__eq__]
VALUES = [it for it in OURS if it not in WITH_IDENTITY]


def is_plain(cls: type) -> bool:
    """Return whether this is a `NamedTuple`, a cheap key of a dict, a `TypedDict` or a protocol."""
    return issubclass(cls, tuple) or is_typeddict(cls) or Protocol in cls.__bases__


def test_there_are_classes_of_both_kinds() -> None:
    assert len(WITH_IDENTITY) > 10
    assert len(VALUES) > 10


def test_every_class_that_lists_its_fields_is_one_of_attrs() -> None:
    others = [it for it in CLASSES if "__attrs_attrs__" not in vars(it) and not is_plain(it)]
    used_alone = [it for it in others if not type.__subclasses__(it)]
    assert [it for it in used_alone if inspect.get_annotations(it)] == []


@pytest.mark.parametrize("cls", VALUES)
def test_classes_with_value_equality_are_immutable(cls: type) -> None:
    assert cls is ClientStats or "__setattr__" in vars(cls)


@pytest.mark.parametrize("cls", WITH_IDENTITY)
def test_private_fields_are_no_arguments(cls: type) -> None:
    private = [it for it in attrs.fields(cls) if it.name.startswith("_") and it.init]
    assert issubclass(cls, Identity) or all(it.default is attrs.NOTHING for it in private)


def test_boolean_arguments_beside_others_are_keyword_only() -> None:
    ours = [it for it in FUNCTIONS if it.__module__.startswith("oxaigen_auth.")]
    several = [it for it in ours if len(inspect.signature(it).parameters) > 1]
    asked = [
        (function, it)
        for function in several
        for it in inspect.signature(function).parameters.values()
        if str(it.annotation).startswith("bool")
    ]
    assert len(asked) > 5
    assert [it for it in asked if it[1].kind is not inspect.Parameter.KEYWORD_ONLY] == []
