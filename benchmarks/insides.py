"""The one place that knows the insides of both packages: past HTTP into the cache, and out again.

Runs where either package is to be found, so it imports neither before it knows which.
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

BASE = "http://127.0.0.1:9"
TTL = 3600.0  # seconds: nothing that is measured ends meanwhile


def is_published() -> bool:
    return find_spec("oxaigen_auth.src") is not None


def parser() -> Callable[[bytes], Any]:
    """Return what turns the body of an answer into a user."""
    if is_published():
        user = import_module("oxaigen_auth").User
        return lambda body: user(**json.loads(body))
    parse: Callable[[bytes], Any] = import_module("oxaigen_auth._upstream.profile").parse_user
    return parse


def structurer() -> Callable[[Any], object]:
    """Return what makes a user of decoded JSON."""
    if is_published():
        user = import_module("oxaigen_auth").User
        return lambda profile: user(**profile)
    structure: Callable[[Any], object] = import_module(
        "oxaigen_auth._upstream.profile"
    ).structure_user
    return structure


def fill(users: int) -> object:
    """Put users into a cache of exactly their number; give what keeps them alive."""
    return asyncio.run(_fill_published(users)) if is_published() else filled_client(users)


def filled_client(users: int) -> ProxyAuthClient:
    """Return a client of ours that knows the tokens `token_of` these numbers."""
    from oxaigen_auth import OxaigenAuthSettings, ProxyAuthClient  # noqa: PLC0415
    from oxaigen_auth._core.fingerprint import fingerprint  # noqa: PLC0415

    settings = OxaigenAuthSettings(
        cache_ttl_seconds=TTL, cache_max_entries=users, cache_max_bytes=2**40
    )
    client = ProxyAuthClient(BASE, settings=settings)
    gc.disable()  # it would go through everything again and again
    for number in range(users):
        _keep(client, fingerprint(token_of(number)), BASE, number)
    gc.enable()
    return client


def _keep(client: ProxyAuthClient, mark: bytes, base: str, number: int) -> None:
    from oxaigen_auth._upstream.profile import parse_user  # noqa: PLC0415
    from oxaigen_auth._validation.question import Question  # noqa: PLC0415
    from oxaigen_auth._validation.verdict import Accepted  # noqa: PLC0415

    store = client.validator.store
    key = store.flight_key(Question(mark, base))
    store.put(key, Accepted(parse_user(profile(number))), time.monotonic())


def steps(base: str, token: str) -> dict[str, Callable[[HTTPConnection], object]]:
    """Return what `get_current_user` does on a hit, step by step."""
    from oxaigen_auth._core.fingerprint import fingerprint  # noqa: PLC0415
    from oxaigen_auth._request.credentials import combined_headers, token_of_header  # noqa: PLC0415
    from oxaigen_auth._request.hosts import derive_base_url  # noqa: PLC0415
    from oxaigen_auth._validation.question import Question  # noqa: PLC0415
    from oxaigen_auth.client import default_client  # noqa: PLC0415

    client = default_client()
    settings, mark = client.settings, fingerprint(token)
    _keep(client, mark, base, 0)
    question = Question(mark, base)
    return {
        "none, but the connection is handed over": lambda _: None,
        "hash of the token": lambda _: fingerprint(token),
        "token out of the headers": lambda it: token_of_header(combined_headers(it.scope)),
        "host out of the headers": lambda it: derive_base_url(combined_headers(it.scope), settings),
        "look into the cache": lambda _: client.validator.cached(question, token),
    }


def token_of(number: int) -> str:
    """Return the token of a user, of 800 characters and a few, as they are in production."""
    return f"{'x' * 800}-{number}"


async def _fill_published(users: int) -> object:
    dependencies = import_module("oxaigen_auth.src.authentication.dependencies")
    cache, parse = dependencies._user_cache, parser()  # noqa: SLF001
    cache._max_entries = users  # noqa: SLF001
    for number in range(users):
        key = dependencies._hash_token(token_of(number))  # noqa: SLF001
        await cache.set(key, parse(profile(number)))
    return cache
