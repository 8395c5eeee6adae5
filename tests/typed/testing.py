"""User code of tests; only type checkers read it."""

from __future__ import annotations

from typing import assert_type

import anyio
import pytest
from fastapi import FastAPI
from starlette.applications import Starlette

from oxaigen_auth import OxaigenAuthMiddleware, ProxyAuthClient, User
from oxaigen_auth.testing import (
    FakeProxy,
    ProxyCall,
    SignIn,
    as_anonymous,
    as_unavailable,
    as_user,
    reset,
)
from oxaigen_auth_mock import RunningMock

app = FastAPI()


def signs_in() -> None:
    with as_user(app, permissions=["audit"], roles=("owner",), user_name="ada") as user:
        assert_type(user, User)
    with as_user(Starlette(), User(user_name="ada"), email="ada@example.com"):
        pass
    with as_anonymous(app) as nobody:
        assert_type(nobody, None)
    with as_unavailable(OxaigenAuthMiddleware(app)) as nobody:
        assert_type(nobody, None)
    assert_type(reset(), None)


def fakes_a_proxy() -> None:
    proxy = FakeProxy(delay=0.5)
    assert_type(proxy.add_user("adas-token", permissions=["audit"], user_name="ada"), User)
    assert_type(proxy.add_user("eves-token", User(user_name="eve"), roles=["guest"]), User)
    proxy.reject("adas-token", "Signed out")
    proxy.forbid("adas-token")
    proxy.fail()
    proxy.fail(503, times=2)
    proxy.recover()
    proxy.delay = 1
    assert_type(proxy.calls, list[ProxyCall])
    assert_type(proxy.calls[0].user_name, str | None)
    assert_type(proxy.calls[0].permission, str | None)
    assert_type(proxy.count(), int)
    assert_type(proxy.count("adas-token", endpoint="get-me"), int)
    client = proxy.client(clock=anyio.current_time, cache_ttl_seconds=0)
    assert_type(client, ProxyAuthClient)
    assert_type(proxy.client(None), ProxyAuthClient)
    assert_type(ProxyAuthClient("https://app.example.com", transport=proxy), ProxyAuthClient)
    with proxy.installed() as installed:
        assert_type(installed, FakeProxy)


@pytest.mark.oxaigen(permissions=["audit"], user_name="ada")
@pytest.mark.usefixtures("oxaigen_fresh")
def test_with_fixtures(
    oxaigen_user: SignIn, oxaigen_proxy: FakeProxy, oxaigen_mock: RunningMock
) -> None:
    assert_type(oxaigen_user(app), User)
    assert_type(oxaigen_user(app, permissions=["audit"], roles=["owner"], email="a@b.c"), User)
    assert_type(oxaigen_user(app, User(user_name="ada")).user_name, str | None)
    assert_type(oxaigen_proxy.count(), int)
    assert_type(oxaigen_mock.url, str)
