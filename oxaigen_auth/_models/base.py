"""The base class of the models: type checks and serialization."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from copy import deepcopy
from functools import cache
from types import UnionType
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Self,
    Union,
    Unpack,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)

from attrs import NOTHING, Attribute, AttrsInstance, Factory, fields

from oxaigen_auth._hints.models import NotPydantic
from oxaigen_auth._models.checked_init import check
from oxaigen_auth._models.pydantic import (
    ENTRY_ADVICE,
    DumpOptions,
    Serializer,
    core_schema_of,
    dump,
    json_schema_of,
)

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, SerializationInfo
    from pydantic.json_schema import JsonSchemaValue
    from pydantic_core import CoreSchema


def names(model: type[Any]) -> list[str]:
    """Return the names of a model's attributes, in order."""
    return [known.alias or known.name for known in _attributes(model)]


def documented_names(model: type[Any]) -> frozenset[str]:
    """Return the names of the fields that the proxy documents."""
    return frozenset(names(model)) - {"extra"}


def _attributes(model: type[Any]) -> tuple[Attribute[Any], ...]:
    attributes: tuple[Attribute[Any], ...] = fields(cast("type[AttrsInstance]", model))
    return attributes


class Model(NotPydantic):
    """The base class: checks the types of its values, and can be returned by FastAPI routes.

    A route may return it alone, in a dict, a list or another model, and may declare `-> User`.
    FastAPI's response filters apply to it. Iterating a model yields pairs of names and values that
    can be serialized as JSON.
    """

    __slots__ = ()

    __pydantic_serializer__: ClassVar[Serializer] = Serializer()

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: object, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """Return the schema with which pydantic, and so FastAPI, serializes the model."""
        return core_schema_of(cls, cls._documented(), cls._shallow, cls._advice(), handler)

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Return the schema for OpenAPI, with all fields required, as all are always serialized."""
        return json_schema_of(schema, handler)

    @classmethod
    def _advice(cls) -> str:
        """Return what to write instead of reading the model from a request."""
        return ENTRY_ADVICE

    @classmethod
    def _documented(cls) -> dict[str, Any]:
        """Return the type of each field that the proxy documents, in its order."""
        return {name: hint for name, hint in get_type_hints(cls).items() if name[0] != "_"}

    def _pairs(self) -> Iterator[tuple[str, Any]]:
        """Return the names and values of the serialized fields, in order."""
        return ((name, getattr(self, name)) for name in names(type(self)))

    def _shallow(self, info: SerializationInfo) -> dict[str, Any]:
        """Return the fields to serialize. A field with its default counts as unset."""
        shown = dict(self._pairs())
        if info.exclude_unset or info.exclude_defaults:
            default = _defaults(type(self))
            if not info.exclude_defaults:
                default.pop("is_authenticated", None)  # which is never unset
            return {k: v for k, v in shown.items() if k not in default or v != default[k]}
        return shown

    def to_dict(self) -> dict[str, Any]:
        """Return the model as JSON values, as in the response of a FastAPI route.

        `from_dict` reads it.

        >>> from oxaigen_auth import UserWorkspace
        >>> UserWorkspace(id="w", extra={"plan": "team"}).to_dict()
        {'id': 'w', 'name': None, 'plan': 'team'}
        """
        return self.model_dump(mode="json")

    def model_dump(self, *, mode: str = "python", **options: Unpack[DumpOptions]) -> dict[str, Any]:
        """Return the model as a dict, with the options of pydantic, as in `exclude={"email"}`.

        With `mode="json"` the values are those of `to_dict`; otherwise values in `extra` that JSON
        does not have, such as dates, remain as they are.

        Raises:
            TypeError: an option is unknown.
            pydantic_core.PydanticSerializationError: `mode` is "json", and `extra` has a value that
                JSON cannot express.

        >>> from oxaigen_auth import User
        >>> User(user_name="ada", email="ada@example.com").model_dump(include={"user_name"})
        {'user_name': 'ada'}
        """
        made: dict[str, Any] = dump(self, "to_python", options, mode=mode)
        return made

    def model_dump_json(self, *, indent: int | None = None, **options: Unpack[DumpOptions]) -> str:
        """Return the model as JSON, with pydantic's options.

        Args:
            indent: spaces for each level; None for one line.
            options: as for `model_dump`.

        Raises:
            TypeError: an option is unknown.
            pydantic_core.PydanticSerializationError: `extra` has a value that JSON cannot express.

        >>> from oxaigen_auth import User
        >>> User(user_name="ada", email=None).model_dump_json(exclude_unset=True)
        '{"is_authenticated":true,"user_name":"ada"}'
        """
        made: bytes = dump(self, "to_json", options, indent=indent)
        return made.decode()

    @classmethod
    def of_checked(cls, values: Iterable[Any]) -> Self:
        """Make a model from values in the order of its attributes, without checks or copies."""
        kind: Any = cls
        model = cls.__new__(cls)
        for put, value in zip(_setters(kind), values, strict=True):
            put(model, value)
        return model

    def with_extra(self, extra: dict[str, Any] | None) -> Self:
        """Return this model with these unknown fields, without checks or copies."""
        attributes = _attributes(type(self))
        return self.of_checked(
            extra if it.alias == "extra" else getattr(self, it.name) for it in attributes
        )

    def __attrs_post_init__(self) -> None:
        kind: Any = type(self)
        for name, allowed in types_of(kind):
            value = getattr(self, name)
            if type(value) not in allowed:
                check(f"{kind.__name__}.{name}", allowed, value)

    # Not a field here: type checkers would put a base's fields before those of the models.
    _extra: dict[str, Any] | None

    @property
    def extra(self) -> dict[str, Any]:
        """The fields without an attribute in this version, as a new dict at every read."""
        return deepcopy(self._extra) if self._extra else {}

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in names(type(self)))
        return f"{type(self).__name__}({shown})"


@cache
def _setters(model: type[Model]) -> list[Callable[[object, Any], None]]:
    return [getattr(model, attribute.name).__set__ for attribute in _attributes(model)]


def _defaults(model: type[Model]) -> dict[str, Any]:
    """Return the serialized fields that have a default, each with its default."""
    attributes = _attributes(model)
    defaults = {it.alias or it.name: _default(it) for it in attributes}
    plain = model.of_checked(defaults.values())
    return {k: v for k, v in plain._pairs() if defaults.get(k) is not NOTHING}  # noqa: SLF001


def _default(attribute: Attribute[Any]) -> Any:
    default: Any = attribute.default
    if not isinstance(default, cast("Any", Factory)):
        return default
    return NOTHING if default.takes_self else default.factory()


@cache
def types_of(model: type[Model]) -> list[tuple[str, tuple[type, ...]]]:
    """Return the types that each attribute may have, except lists, `extra`, and unusual types."""
    hints = get_type_hints(model)
    types = [(name, _classes(hint)) for name, hint in hints.items() if name[0] != "_"]
    return [(name, classes) for name, classes in types if classes]


def _classes(hint: Any) -> tuple[type, ...]:
    """Return the classes of a type, which may be a union; none if it has others than classes."""
    parts = get_args(hint) if get_origin(hint) in {Union, UnionType} else (hint,)
    classes = tuple(get_origin(part) or part for part in parts)
    return classes if Any not in classes and all(isinstance(it, type) for it in classes) else ()
