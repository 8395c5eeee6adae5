"""JSON of the proxy → models. Strict about the type of a field we know, tolerant about the rest.

A profile whose known fields are all there, each of its type, takes the short way: it is read as it
stands. Any other is left to cattrs with hooks of our own (its defaults turn null into "None" and
"false" into True), which mends what may be mended and names the place of what may not.
"""

from __future__ import annotations

import json
from functools import lru_cache
from marshal import dumps
from operator import itemgetter
from sys import intern
from types import NoneType
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias, get_origin

from attrs import fields
from cattrs import BaseValidationError, Converter, transform_error
from cattrs.cols import homogenous_tuple_structure_factory
from cattrs.gen import make_dict_structure_fn, override

from oxaigen_auth._core.cache import Cache
from oxaigen_auth._core.sizes import size_of
from oxaigen_auth.models import User, UserWorkspace, WorkspacePermission, WorkspaceRole

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_DEPTH = 32
MAX_DIGITS = 1000
MAX_REMEMBERED = 4096  # workspaces with roles and permissions
MAX_KEY = 4096  # bytes of JSON or so, for which they are remembered
MAX_REMEMBERED_BYTES = 8 * 1024 * 1024  # that all of them take
MAX_SHARED_BYTES = 1024  # that an entry may take which is remembered by itself, of 4096

Nested: TypeAlias = tuple[
    UserWorkspace | None, tuple[WorkspaceRole, ...], tuple[WorkspacePermission, ...]
]

_PLAIN = 2  # the last version of marshal's format that writes equal things equally


class WireError(ValueError):
    """The answer does not have the documented shape. The message names the place, no value."""


def parse_user(body: bytes) -> User:
    """Read a profile object.

    Raises:
        WireError: not JSON, not a profile, or not something that could be answered with again.
    """
    return structure_user(parse_json(body))


def structure_user(profile: object) -> User:
    """Make a user of decoded JSON.

    Raises:
        WireError: not a profile.
    """
    try:
        return _as_it_stands(profile)
    except (KeyError, TypeError, BaseValidationError):
        return with_care(profile)


def parse_json(body: bytes) -> Any:
    """Decode JSON that can be encoded again: no NaN, no infinity, no lone surrogates, not deep.

    Of a name that stands twice in an object the last one counts (RFC 8259 §4 leaves it open).

    Raises:
        WireError: the body is not such JSON.
    """
    try:
        data = _DECODER.decode(body.decode())
        if b"\\u" in body:
            json.dumps(data, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        raise WireError("the body is not valid JSON") from None
    if body.count(b"[") + body.count(b"{") > MAX_DEPTH and _depth(data) > MAX_DEPTH:
        raise WireError(f"the body is nested more than {MAX_DEPTH} levels deep")
    return data


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)


def _finite(digits: str) -> float:
    number = float(digits)
    return number if abs(number) < float("inf") else _refuse(digits)


_DECODER = json.JSONDecoder(parse_constant=_refuse, parse_float=_finite)


def _depth(data: object) -> int:
    """Count levels of nesting, without recursion and no further than needed."""
    level, depth = [data], 0
    while level and depth <= MAX_DEPTH:
        inner = [x for x in level if isinstance(x, list | dict)]
        level = [y for x in inner for y in (x.values() if isinstance(x, dict) else x)]
        depth += bool(inner)
    return depth


def _boolean(value: object, _: object) -> bool:
    if type(value) is not bool:
        raise TypeError("expected a boolean")
    return value


def _string(value: object, _: object) -> str:
    if type(value) is not str:
        raise TypeError("expected a string")
    return value


def _integer(value: object, _: object) -> int:
    if type(value) is str and value.isascii() and value.isdigit() and len(value) <= MAX_DIGITS:
        return int(value)
    if type(value) is not int:
        raise TypeError("expected an integer")
    return value


def _configure_types(converter: Converter) -> None:
    converter.register_structure_hook(bool, _boolean)
    converter.register_structure_hook(str, _string)
    converter.register_structure_hook(int, _integer)


def _is_list(of: Any) -> bool:
    return get_origin(of) is tuple


def _configure_lists(converter: Converter) -> None:
    def factory(of: Any, _: Converter) -> Callable[[Any, Any], object]:
        structure: Callable[[Any, Any], object] = homogenous_tuple_structure_factory(of, converter)

        def hook(value: Any, cls: Any) -> object:
            if type(value) is not list:
                raise TypeError("expected a list")
            return structure(value, cls)

        return hook

    converter.register_structure_hook_factory(_is_list, factory)


def _configure_model(converter: Converter, model: type) -> None:
    """Drop nulls, so that defaults apply, and gather the unknown fields into `extra`."""
    aliases = {f.alias: f.name for f in fields(model)}
    as_it_is: Any = {aliases.pop("extra"): override(struct_hook=lambda value, _: value)}
    structure: Callable[[Any, Any], object] = make_dict_structure_fn(
        model, converter, _cattrs_use_alias=True, **as_it_is
    )

    def hook(value: Any, cls: Any) -> object:
        if type(value) is not dict:
            raise TypeError("expected an object")
        unknown = {k: v for k, v in value.items() if k not in aliases}
        known = {k: v for k, v in value.items() if k in aliases and v is not None}
        instance = structure({**known, "extra": unknown}, cls)
        is_large = unknown or model is User or size_of(instance) > MAX_SHARED_BYTES
        return instance if is_large else _shared(instance)

    converter.register_structure_hook(model, hook)


@lru_cache(maxsize=4096)
def _shared(entry: object) -> object:
    """Return the first of equal entries: they are immutable, and many users have the same few."""
    return entry


def _converter() -> Converter:
    converter = Converter()
    _configure_types(converter)
    _configure_lists(converter)
    for model in (UserWorkspace, WorkspaceRole, WorkspacePermission, User):
        _configure_model(converter, model)
    return converter


_CONVERTER = _converter()


def with_care(profile: object) -> User:
    """Make a user of a profile in which fields may be missing or null, or numbers be strings.

    Raises:
        WireError: not a profile.
    """
    try:
        return _CONVERTER.structure(profile, User)
    except Exception as error:  # noqa: BLE001 (cattrs hands on whatever a hook raised)
        faults = transform_error(error, "profile", lambda fault, _: str(fault))
    raise WireError(faults[0].replace("._", "."))  # its name on the wire


_TYPES = {
    "is_authenticated": (bool,),
    "id": (int, NoneType),
    "user_name": (str, NoneType),
    "email": (str, NoneType),
    "account_type": (str, NoneType),
    "enabled": (bool, NoneType),
    "first_name": (str, NoneType),
    "last_name": (str, NoneType),
}
_NESTED = ("user_workspace", "workspace_roles", "workspace_permissions")
_KNOWN = {*_TYPES, *_NESTED}
_scalars = itemgetter(*_TYPES)
_nested = itemgetter(*_NESTED)
# Entries never expire; the clock stands still.
_memo: Cache[Nested] = Cache(MAX_REMEMBERED, 1.0, lambda: 0.0, max_bytes=MAX_REMEMBERED_BYTES)


def _as_it_stands(profile: Any) -> User:
    """Make a user of a profile whose known fields are all there.

    Raises:
        KeyError: a field is missing.
        TypeError: a field has not its type.
        BaseValidationError: so says cattrs.
    """
    scalars = _scalars(profile)
    if not _fit(tuple(map(type, scalars))):
        raise TypeError
    is_authenticated, number, user_name, email, kind, enabled, first_name, last_name = scalars
    workspace, roles, permissions = _structured(_nested(profile))
    extra = None
    if len(profile) != len(_KNOWN):
        extra = {name: value for name, value in profile.items() if name not in _KNOWN}
    return User(
        is_authenticated=is_authenticated,
        id=number,
        user_name=user_name,
        email=email,
        account_type=kind and intern(kind),  # one of very few
        enabled=enabled,
        first_name=first_name,
        last_name=last_name,
        user_workspace=workspace,
        workspace_roles=roles,
        workspace_permissions=permissions,
        extra=extra,
    )


@lru_cache(maxsize=1024)
def _fit(types: tuple[type, ...]) -> bool:
    """Tell whether the values of `_TYPES` may have these types."""
    return all(one in allowed for one, allowed in zip(types, _TYPES.values(), strict=True))


def _structured(nested: tuple[Any, ...]) -> Nested:
    """Return workspace, roles and permissions: the same objects for the same JSON.

    Users have few different ones. Unlike a comparison, what `marshal` writes tells True from 1.
    """
    key = dumps(nested, _PLAIN)
    return _memo.get(key) or _remember(key, nested)


def _remember(key: bytes, nested: tuple[Any, ...]) -> Nested:
    user = _CONVERTER.structure(dict(zip(_NESTED, nested, strict=True)), User)
    made = user.user_workspace, user._workspace_roles, user._workspace_permissions  # noqa: SLF001
    if len(key) <= MAX_KEY:
        _memo.put(key, made, born=0.0, size=size_of((key, made)))
    return made
