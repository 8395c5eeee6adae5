"""Models and pydantic: FastAPI serializes them, and never reads one from a request.

pydantic is imported inside the functions, because a worker without FastAPI does not need it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, NoReturn, TypedDict

from oxaigen_auth._hints.variables import suggest

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, SerializationInfo
    from pydantic.json_schema import JsonSchemaValue
    from pydantic.main import IncEx
    from pydantic_core import CoreSchema
    from pydantic_core.core_schema import (
        SerializerFunctionWrapHandler,
        ValidatorFunctionWrapHandler,
    )

USER_ADVICE = "write `user: Annotated[User, Depends(get_current_user)]`"
ENTRY_ADVICE = "declare a model of your own for what callers send"


class Serializer:
    """The descriptor `__pydantic_serializer__`, which pydantic uses for values of type `Any`."""

    def __get__(self, _: object, model: Hashable) -> Any:
        return _serializer_of(model)


@cache
def _serializer_of(model: Any) -> Any:
    from pydantic import TypeAdapter  # noqa: PLC0415

    return TypeAdapter(model).serializer


class DumpOptions(TypedDict, total=False):
    """The options of pydantic's `model_dump` and `model_dump_json`, except `mode` and `indent`."""

    include: IncEx | None
    exclude: IncEx | None
    context: Any
    by_alias: bool | None
    exclude_unset: bool
    exclude_defaults: bool
    exclude_none: bool
    round_trip: bool
    warnings: bool | Literal["none", "warn", "error"]
    fallback: Callable[[Any], Any] | None
    serialize_as_any: bool


def dump(
    model: Any, method: Literal["to_python", "to_json"], options: DumpOptions, **more: object
) -> Any:
    """Call a method of a model's serializer.

    Raises:
        TypeError: an option is unknown.
    """
    known = DumpOptions.__optional_keys__
    for name in options.keys() - known:
        kind, suffix = type(model).__name__, "_json" * (method == "to_json")
        hint = suggest(name, known) or f"the options are {', '.join(sorted({*known, *more}))}"
        raise TypeError(f"{kind}.model_dump{suffix}() has no option {name!r}: {hint}")
    return getattr(model.__pydantic_serializer__, method)(model, **more, **options)


class NotAParameter:
    """Annotates a constructor's parameter, which FastAPI must not fill from a request.

    FastAPI would do so for a model with `Depends()`, and for `Depends(User)`.
    """

    @classmethod
    def __get_pydantic_core_schema__(cls, _: object, __: GetCoreSchemaHandler) -> NoReturn:
        raise TypeError(f"{_refusal('User', USER_ADVICE)}, not `Depends()` or `Depends(User)`")


def _refusal(model: str, advice: str) -> str:
    """Return the error message for a model that FastAPI would read from a request."""
    return f"a {model} is never read from a request: {advice}"


def core_schema_of(
    model: type[Any],
    hints: Mapping[str, Any],
    shallow: Callable[[Any, SerializationInfo], dict[str, Any]],
    advice: str,
    handler: GetCoreSchemaHandler,
) -> CoreSchema:
    """Return a schema that accepts only instances, and serializes them as objects with `hints`.

    pydantic filters the result of `shallow` at every level (`exclude` and the like). No
    field is required: in a union, pydantic would take a filtered user for another type.
    """
    from pydantic_core import core_schema  # noqa: PLC0415

    shape = core_schema.typed_dict_schema(
        {
            name: core_schema.typed_dict_field(handler.generate_schema(hint), required=False)
            for name, hint in hints.items()
        },
        cls_name=model.__name__,
        extra_behavior="ignore" if "extra" in hints else "allow",
    )
    return core_schema.no_info_wrap_validator_function(
        _instance_validator(model, advice),
        shape,
        ref=f"{model.__module__}.{model.__qualname__}:{id(model)}",
        serialization=core_schema.wrap_serializer_function_ser_schema(
            _instance_serializer(model, shallow), info_arg=True
        ),
    )


def json_schema_of(schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
    """Return the JSON schema of a model, with all fields required, as all are serialized."""
    reference = handler(schema)
    written = handler.resolve_ref_schema(reference)
    written["required"] = list(written["properties"])
    return reference


def _instance_validator(
    model: type[Any], advice: str
) -> Callable[[Any, ValidatorFunctionWrapHandler], Any]:
    from pydantic_core import PydanticCustomError  # noqa: PLC0415

    name = model.__name__
    returned = f"a route that answers with a {name} returns the object, not a dict"
    message: Any = f"{_refusal(name, advice)}; {returned}"

    def validate(value: Any, _: ValidatorFunctionWrapHandler) -> Any:
        if isinstance(value, model):
            return value
        raise PydanticCustomError("oxaigen_auth_model", message)

    return validate


def _instance_serializer(
    model: type[Any], shallow: Callable[[Any, SerializationInfo], dict[str, Any]]
) -> Callable[[Any, SerializerFunctionWrapHandler, SerializationInfo], Any]:
    from pydantic_core import PydanticSerializationUnexpectedValue  # noqa: PLC0415

    def serialize(
        value: Any, handler: SerializerFunctionWrapHandler, info: SerializationInfo
    ) -> Any:
        if not isinstance(value, model):  # it is another member of a union
            raise PydanticSerializationUnexpectedValue(f"expected {model.__name__}")
        return handler(shallow(value, info))

    return serialize
