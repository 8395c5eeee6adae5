"""Uses the internals of this package and of the published one: their caches and their parsers.

Runs with either package installed, so it imports neither of them at the top.
"""

from __future__ import annotations

import asyncio
import gc
import json
import time
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from benchmarks.proxy_process import profile

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import HTTPConnection

    from oxaigen_auth import ProxyAuthClient
    from oxaigen_auth._validation.question import Question

BASE = "http://127.0.0.1:9"
TTL = 3600.0  # seconds: longer than any measurement


def is_published() -> bool:
    return find_spec("oxaigen_auth._core") is None


def parser() -> Callable[[bytes], Any]:
    """Return a function that turns the body of an answer into a user."""
    if is_published():
        user = import_module("oxaigen_auth").User
        return lambda body: user(**json.loads(body))
    parse: Callable[[bytes], Any] = import_module("oxaigen_auth._upstream.profile").parse_user
    return parse


def structurer() -> Callable[[Any], object]:
    """Return a function that turns decoded JSON into a user."""
    if is_published():
        user = import_module("oxaigen_auth").User
        return lambda profile: user(**profile)
    structure: Callable[[Any], object] = import_module(
        "oxaigen_auth._upstream.profile"
    ).structure_user
    return structure


def fill(users: int) -> object:
    """Fill a cache that has room for exactly this number of users, and return its owner."""
    return asyncio.run(_fill_published(users)) if is_published() else filled_client(users)


def filled_client(users: int) -> ProxyAuthClient:
    """Return a client that has cached `token_of` each of these numbers."""
    from oxaigen_auth import OxaigenAuthSettings, ProxyAuthClient  # noqa: PLC0415
    from oxaigen_auth._core.fingerprint import fingerprint  # noqa: PLC0415
    from oxaigen_auth._validation.question import Question  # noqa: PLC0415

    settings = OxaigenAuthSettings(
        cache_ttl_seconds=TTL, cache_max_entries=users, cache_max_bytes=2**40
    )
    client = ProxyAuthClient(BASE, settings=settings)
    gc.disable()  # it would traverse all users many times
    for number in range(users):
        _put(client, Question(fingerprint(token_of(number)), BASE), number)
    gc.enable()
    return client


def _put(client: ProxyAuthClient, question: Question, number: int) -> None:
    from oxaigen_auth._upstream.profile import parse_user  # noqa: PLC0415
    from oxaigen_auth._validation.verdict import Accepted  # noqa: PLC0415

    store = client.validator.store
    store.put(store.flight_key(question), Accepted(parse_user(profile(number))), time.monotonic())


def steps(base: str, token: str) -> dict[str, Callable[[HTTPConnection], object]]:
    """Return the steps of `get_current_user` on a hit."""
    from oxaigen_auth._core.fingerprint import fingerprint  # noqa: PLC0415
    from oxaigen_auth._default_client import default_client  # noqa: PLC0415
    from oxaigen_auth._request.credentials import combined_headers, token_of_header  # noqa: PLC0415
    from oxaigen_auth._request.hosts import derive_base_url  # noqa: PLC0415
    from oxaigen_auth._validation.question import Question  # noqa: PLC0415

    client = default_client()
    settings, question = client.settings, Question(fingerprint(token), base)
    _put(client, question, 0)
    return {
        "pass the connection, nothing else": lambda _: None,
        "hash the token": lambda _: fingerprint(token),
        "read the token from the headers": lambda it: token_of_header(combined_headers(it.scope)),
        "read the host from the headers": lambda it: derive_base_url(
            combined_headers(it.scope), settings
        ),
        "look up the cache": lambda _: client.validator.cached(question, token),
    }


def token_of(number: int) -> str:
    """Return the token of a user. Like those in production, it has a little over 800 characters."""
    return f"{'x' * 800}-{number}"


async def _fill_published(users: int) -> object:
    dependencies = import_module("oxaigen_auth.src.authentication.dependencies")
    cache, parse = dependencies._user_cache, parser()  # noqa: SLF001
    cache._max_entries = users  # noqa: SLF001
    for number in range(users):
        key = dependencies._hash_token(token_of(number))  # noqa: SLF001
        await cache.set(key, parse(profile(number)))
    return cache
