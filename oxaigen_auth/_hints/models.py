"""Errors for the names of a pydantic model that a model of this package does not have."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import TYPE_CHECKING, NoReturn

_COPY = "write attrs.evolve({variable}, name=…)"
_FIELDS = "read [field.alias for field in attrs.fields({model})]"
_MAKE = "write {model}(name=…)"
_READ = "write {model}.from_dict(data)"
_READ_JSON = "write {model}.from_dict(json.loads(text))"
_SCHEMA = "write pydantic.TypeAdapter({model}).json_schema()"


class _Missing:
    """A descriptor that raises an AttributeError with the line to write instead.

    `hasattr` is False for its name. It works on a class and its instances, without a metaclass.
    """

    def __init__(self, advice: str) -> None:
        self.advice = advice

    def __set_name__(self, _: type, name: str) -> None:
        self.name = name

    def __get__(self, instance: object, model: type) -> NoReturn:
        kind = model.__name__
        subject = f"type object {kind!r}" if instance is None else f"{kind!r} object"
        variable = re.sub("^(User|Workspace)(?=.)", "", kind).lower()
        raise AttributeError(
            f"{subject} has no attribute {self.name!r}, as it is an attrs class, not a pydantic "
            f"model: {self.advice.format(model=kind, variable=variable)}",
            name=self.name,
            obj=model if instance is None else instance,
        )


class NotPydantic:
    """The names that code for the published package may use, each with what to write instead.

    A base class of its own: in the namespace of a class with annotations, `dict` would stand for
    the builtin.
    """

    __slots__ = ()

    if not TYPE_CHECKING:  # type checkers know that there are no such attributes
        construct = _Missing(_MAKE)
        copy = _Missing(_COPY)
        dict = _Missing("write {variable}.model_dump()")
        json = _Missing("write {variable}.model_dump_json()")
        model_construct = _Missing(_MAKE)
        model_copy = _Missing(_COPY)
        model_extra = _Missing("read {variable}.extra")
        model_fields = _Missing(_FIELDS)
        model_fields_set = _Missing("write set({variable}.model_dump(exclude_unset=True))")
        model_json_schema = _Missing(_SCHEMA)
        model_validate = _Missing(_READ)
        model_validate_json = _Missing(_READ_JSON)
        parse_obj = _Missing(_READ)
        parse_raw = _Missing(_READ_JSON)
        schema = _Missing(_SCHEMA)


def refuse_names(model: type, base: type, converted: Collection[str]) -> None:
    """Refuse attributes with which an app's own model would not work.

    `converted` has the fields of `base` that a subclass cannot declare again.

    Raises:
        TypeError: an attribute is private, hides a method, or is one of `converted`.
    """
    for name in vars(model).get("__annotations__", ()):
        if name in converted:
            raise TypeError(f"{model.__name__}.{name} is a field of {base.__name__} already")
        if name.startswith("_"):
            raise TypeError(
                f"{model.__name__}.{name} is private, but is read from the profile and shown in "
                "responses: choose a name without an underscore"
            )
        if callable(getattr(base, name, None)) or isinstance(getattr(base, name, None), property):
            raise TypeError(
                f"{model.__name__}.{name} would hide {base.__name__}.{name}: leave it out, and "
                f'read user.extra["{name}"]'
            )
