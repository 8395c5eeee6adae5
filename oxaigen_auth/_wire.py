"""JSON of the proxy → models. Strict about the type of a field we know, tolerant about the rest.

Only cattrs with hooks of our own is used: its defaults turn null into "None" and "false" into True.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NoReturn, get_origin

from attrs import fields
from cattrs import Converter, transform_error
from cattrs.cols import list_structure_factory
from cattrs.gen import make_dict_structure_fn, override

from oxaigen_auth.models import User, UserWorkspace, WorkspacePermission, WorkspaceRole

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_DEPTH = 32
MAX_DIGITS = 1000


class WireError(ValueError):
    """The answer does not have the documented shape. The message names the place, no value."""


def parse_user(body: bytes) -> User:
    """Read a profile object.

    Raises:
        WireError: not JSON, not a profile, or not something that could be answered with again.
    """
    profile = parse_json(body)
    try:
        return _FAST.structure(profile, User)
    except Exception:  # noqa: BLE001 (whatever it was: the slow converter knows the place)
        return _structure_slowly(profile)


def parse_json(body: bytes) -> Any:
    """Decode JSON that can be encoded again: no NaN, no infinity, no lone surrogates, not deep.

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
    return get_origin(of) is list


def _configure_lists(converter: Converter) -> None:
    def factory(of: Any, _: Converter) -> Callable[[Any, Any], object]:
        structure: Callable[[Any, Any], object] = list_structure_factory(of, converter)

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
        return instance if unknown or model is User else _shared(instance)

    converter.register_structure_hook(model, hook)


@lru_cache(maxsize=4096)
def _shared(entry: object) -> object:
    """Return the first of equal entries: they are immutable, and many users have the same few."""
    return entry


def _converter(*, detailed: bool) -> Converter:
    converter = Converter(detailed_validation=detailed)
    _configure_types(converter)
    _configure_lists(converter)
    for model in (UserWorkspace, WorkspaceRole, WorkspacePermission, User):
        _configure_model(converter, model)
    return converter


_FAST = _converter(detailed=False)
_DETAILED = _converter(detailed=True)


def _structure_slowly(profile: object) -> User:
    try:
        return _DETAILED.structure(profile, User)
    except Exception as error:  # noqa: BLE001 (cattrs hands on whatever a hook raised)
        faults = transform_error(error, "profile", lambda fault, _: str(fault))
    raise WireError(faults[0])
