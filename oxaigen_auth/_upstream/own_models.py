"""Makes an app's own subclass of `User` from a user, whose unknown fields are in `extra`."""

from __future__ import annotations

from typing import Any, TypeVar, get_type_hints

from attrs import NOTHING, Attribute, fields
from cattrs import StructureHandlerNotFoundError

from oxaigen_auth._models.base import names
from oxaigen_auth._models.structuring import CONVERTER
from oxaigen_auth._upstream.json_body import WireError
from oxaigen_auth.models import User

U = TypeVar("U", bound=User)


def structure_as(model: type[U], user: User) -> U:
    """Return the user as an instance of `model`, with the attributes that it adds.

    Raises:
        WireError: a field has a wrong type, or is missing without a default. Its path is in the
            message, its value is not.
        TypeError: an attribute has a type that cannot be read from JSON.
    """
    if isinstance(user, model):
        return user
    extra = user.extra
    known: dict[str, Any] = {it: getattr(user, it) for it in names(User) if it != "extra"}
    own: dict[str, Any] = {}
    hints = get_type_hints(model)
    for attribute in _own_attributes(model):
        name = attribute.alias or attribute.name
        value = extra.pop(name, None)
        if value is not None or attribute.default is NOTHING:
            own[name] = _structure(value, hints[attribute.name], f"{model.__name__}.{name}")
    try:
        return model(**known, **own, extra=extra)
    except Exception as error:  # noqa: BLE001 (validators of the app may raise anything)
        raise WireError(f"{model.__name__} raised {type(error).__name__}") from None


def _own_attributes(model: type[User]) -> list[Attribute[Any]]:
    known = {attribute.name for attribute in fields(User)}
    return [it for it in fields(model) if it.init and it.name not in known]


def _structure(value: object, hint: Any, name: str) -> object:
    try:
        return CONVERTER.structure(value, hint)
    except StructureHandlerNotFoundError:
        raise TypeError(f"{name} has a type that cannot be read from JSON: {hint}") from None
    except Exception:  # noqa: BLE001 (hooks may raise anything)
        fault = "missing" if value is None else "wrong type"
        # Not the place inside the value, whose keys may be personal data.
        raise WireError(f"{fault} @ profile.{name.partition('.')[2]}") from None
