"""Checks the behaviour of this package that docs/migration.md describes."""

from __future__ import annotations

import copy
import json
import logging
import pickle
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import attrs
import pytest
from fastapi.exceptions import ResponseValidationError
from pydantic import BaseModel
from starlette.requests import Request

import oxaigen_auth
from oxaigen_auth import (
    OxaigenAuthError,
    OxaigenAuthMiddleware,
    OxaigenAuthPermissionDeniedError,
    OxaigenAuthSettings,
    OxaigenAuthUnauthenticatedError,
    OxaigenAuthUpstreamError,
    ProxyAuthClient,
    User,
    UserWorkspace,
    WorkspacePermission,
    WorkspaceRole,
    extract_bearer_token,
    get_current_user,
    require_permission,
)
from tests.support.apps import GOOD, get, make_app
from tests.support.fake_proxy import FakeProxy
from tests.support.paths import ROOT
from tests.support.raw_server import PROFILE, answer, serving
from tests.support.tokens import OTHER, TOKEN

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.anyio

PAGE = (ROOT / "docs/migration.md").read_text()

COMPLETE: dict[str, Any] = {
    "is_authenticated": True,
    "id": 7,
    "user_name": "ada",
    "email": None,
    "account_type": "internal",
    "enabled": True,
    "first_name": "Ada",
    "last_name": None,
    "user_workspace": {"id": "w", "name": "W"},
    "workspace_roles": [{"id": 1, "name": "owner", "description": None, "since": 2020}],
    "workspace_permissions": [{"id": 1, "name": "audit", "description": None}],
}


def profile(**changes: Any) -> bytes:
    return answer(200, json.dumps(COMPLETE | changes).encode())


def bearer(text: str) -> list[tuple[bytes, bytes]]:
    return [(b"authorization", text.encode("latin-1"))]


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> FakeProxy:
    monkeypatch.setenv("OXAIGEN_AUTH_BREAKER", "0")
    return FakeProxy(user=profile())


@pytest.fixture
def ada() -> User:
    return User(
        user_name="ada",
        user_workspace=UserWorkspace(id="w"),
        workspace_roles=[WorkspaceRole(name="owner", extra={"since": 2020})],
        workspace_permissions=[WorkspacePermission(name="audit")],
        extra={"department": "R&D"},
    )


def tables() -> list[list[str]]:
    blocks = re.findall(r"(?:^\|.*\n)+", PAGE, re.MULTILINE)
    return [block.splitlines() for block in blocks]


def test_every_row_of_a_table_has_its_cells() -> None:
    assert len(tables()) >= 11
    for header, rule, *rows in tables():
        assert set(rule) == {"|", "-"}
        assert {row.count("|") for row in rows} == {header.count("|")}


def test_every_link_leads_somewhere() -> None:
    titles = re.findall(r"^#+ (.+)$", PAGE, re.MULTILINE)
    anchors = {f"#{title.lower().replace(' ', '-')}" for title in titles}
    links = re.findall(r"\]\(([^)]+)\)", PAGE)
    assert {link for link in links if link.startswith("#")} <= anchors
    files = {link.partition("#")[0] for link in links} - {""}
    assert files
    assert not [file for file in files if not (ROOT / "docs" / file).exists()]
    assert "(docs/migration.md)" in (ROOT / "README.md").read_text()


def test_a_user_has_nothing_of_a_pydantic_model(ada: User) -> None:
    names = ["dict", "json", "copy", "model_copy", "model_validate", "model_fields"]
    assert not [name for name in names if hasattr(ada, name) or hasattr(User, name)]
    assert not isinstance(ada, BaseModel)
    with pytest.raises(TypeError):
        User(department="R&D")  # type: ignore[call-arg]


def test_a_serialized_user_is_plain_data(ada: User) -> None:
    written = json.loads(json.dumps(dict(ada)))
    assert written == dict(ada)
    assert written["workspace_roles"][0]["since"] == 2020
    assert written["extra"] == {"department": "R&D"}
    assert written == ada.model_dump() == ada.to_dict() == json.loads(ada.model_dump_json())
    assert User.from_dict(written) == ada


def test_a_user_is_changed_by_evolve(ada: User) -> None:
    for name in ("email", "anything"):
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            setattr(ada, name, "x")
    ada.workspace_roles.clear()
    ada.extra.clear()
    ada.workspace_roles[0].extra.clear()
    assert ada.has_role("owner")
    assert ada.workspace_roles[0].extra == {"since": 2020}
    other = attrs.evolve(ada, email="ada@example.com")
    assert (other.email, other.extra, other.workspace_roles) == (
        "ada@example.com",
        ada.extra,
        ada.workspace_roles,
    )


def test_users_are_copied_pickled_and_compared(ada: User) -> None:
    assert copy.copy(ada) == copy.deepcopy(ada) == pickle.loads(pickle.dumps(ada)) == ada  # noqa: S301 (our own)
    assert ada != attrs.evolve(ada, email="ada@example.com")


def test_parts_of_a_profile_may_be_empty_and_names_of_parameters_are_ours(ada: User) -> None:
    assert (UserWorkspace().id, WorkspaceRole().name, WorkspacePermission().id) == (None,) * 3
    methods: list[tuple[Callable[..., bool], str]] = [
        (ada.has_role, "role_name"),
        (ada.has_permission, "permission_name"),
    ]
    for method, published in methods:
        with pytest.raises(TypeError):
            method(**{published: "owner"})
    assert (ada.has_role("owner"), ada.has_role("Owner")) == (True, False)


async def test_a_route_that_declares_a_user_may_not_return_a_dict() -> None:
    app = make_app()

    @app.get("/dict")
    async def route() -> User:
        return COMPLETE  # type: ignore[return-value]

    with pytest.raises(ResponseValidationError):
        await get(app, "/dict")


def test_settings_are_read_from_an_instance() -> None:
    assert OxaigenAuthSettings.from_env({"OXAIGEN_AUTH_CACHE_TTL_SECONDS": "0.5"}) == (
        OxaigenAuthSettings(cache_ttl_seconds=0.5)
    )
    with pytest.raises(AttributeError):
        _ = OxaigenAuthSettings.CACHE_TTL_SECONDS  # type: ignore[attr-defined]
    blank = {"OXAIGEN_AUTH_PROXY_URL_OVERRIDE": " ", "OXAIGEN_AUTH_CACHE_TTL_SECONDS": ""}
    assert OxaigenAuthSettings.from_env(blank) == OxaigenAuthSettings()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PROXY_SCHEME", "HTTPS"),
        ("PROXY_URL_OVERRIDE", "app.example.com"),
        ("PROXY_TIMEOUT_SECONDS", "0"),
        ("PROXY_TIMEOUT_SECONDS", "inf"),
        ("DEV_MODE", "2"),
        ("ACCESS_TOKEN_COOKIE_NAME", "a b"),
    ],
)
def test_formerly_accepted_values_are_refused(name: str, value: str) -> None:
    with pytest.raises(oxaigen_auth.OxaigenAuthConfigurationError, match=name):
        OxaigenAuthSettings.from_env({f"OXAIGEN_AUTH_{name}": value})


async def test_the_client_caches_and_fresh_asks_again(proxy: FakeProxy) -> None:
    async with serving(proxy) as server, ProxyAuthClient(server.url) as client:
        for _ in range(2):
            assert (await client.get_me(bearer_token=TOKEN)).user_name == "ada"
        assert await client.test_permission(bearer_token=TOKEN, permission_name="audit")
        assert proxy.endpoints == ["get-me", "test-app-permission/audit"]
        await client.get_me(TOKEN, fresh=True)
    assert proxy.endpoints[2:] == ["get-me"]


@pytest.mark.parametrize(
    ("user", "permission", "error"),
    [
        (answer(403), None, OxaigenAuthPermissionDeniedError),
        (profile(is_authenticated=False), None, OxaigenAuthUnauthenticatedError),
        (profile(), answer(401), OxaigenAuthUnauthenticatedError),
        (profile(), answer(200, b"false"), OxaigenAuthUpstreamError),
        (profile(), answer(200, b"<html>"), OxaigenAuthUpstreamError),
    ],
)
async def test_the_client_raises_where_it_returned(
    user: bytes, permission: bytes | None, error: type[OxaigenAuthError], proxy: FakeProxy
) -> None:
    proxy.user, proxy.permission = user, permission
    async with serving(proxy) as server, ProxyAuthClient(server.url) as client:
        with pytest.raises(error):
            await client.test_permission(TOKEN, "audit")


async def test_the_client_refuses_invalid_arguments() -> None:
    async with ProxyAuthClient("http://127.0.0.1:9") as client:
        with pytest.raises(ValueError, match="permission name"):
            await client.test_permission(TOKEN, "a/../b")
        with pytest.raises(ValueError, match="URL"):
            await client.get_me(TOKEN, proxy_base_url="ftp://app.example.com")


async def test_a_dependency_may_be_called_with_a_request(
    proxy: FakeProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    def request() -> Request:
        return Request({"type": "http", "headers": bearer(f"Bearer {TOKEN}"), "state": {}})

    async with serving(proxy) as server:
        monkeypatch.setenv("OXAIGEN_AUTH_PROXY_URL_OVERRIDE", server.url)
        assert (await get_current_user(request())).user_name == "ada"
        assert (await require_permission("audit")(request())).user_name == "ada"
    assert require_permission("audit") is require_permission("audit")
    assert not hasattr(get_current_user, "__name__")


def test_an_empty_cookie_is_no_token() -> None:
    headers = [(b"cookie", b'OxaigenPlatformAuthAccessToken=""')]
    assert extract_bearer_token(Request({"type": "http", "headers": headers})) is None


def test_errors_have_one_base_and_are_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    errors = [
        OxaigenAuthUnauthenticatedError("no"),
        OxaigenAuthPermissionDeniedError("no", "audit"),
        OxaigenAuthUpstreamError("no", 7),
    ]
    assert all(isinstance(error, OxaigenAuthError) for error in errors)
    assert [error.message for error in errors] == ["no"] * 3
    assert caplog.records == []


def test_the_middleware_is_pure_asgi() -> None:
    assert not hasattr(OxaigenAuthMiddleware, "dispatch")


@pytest.mark.parametrize(
    ("user", "headers", "auth_error"),
    [
        (answer(401, b'{"detail": "Token expired"}'), GOOD, "Token expired"),
        (answer(503), GOOD, "Auth service unavailable"),
        (profile(), bearer("Bearer \xe9"), "Invalid token"),
        (profile(), None, None),
        (profile(), GOOD, None),
    ],
)
async def test_the_middleware_gives_the_reason_why_there_is_no_user(
    user: bytes,
    headers: Any,
    auth_error: str | None,
    proxy: FakeProxy,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app = make_app()
    app.add_middleware(OxaigenAuthMiddleware)
    proxy.user = user
    async with serving(proxy) as server:
        monkeypatch.setenv("OXAIGEN_AUTH_PROXY_URL_OVERRIDE", server.url)
        response = await get(app, "/state", headers)
    assert response.status_code == 200
    assert response.json()["auth_error"] == auth_error


INVALID = 'Bearer error="invalid_token"'
ANSWERS: list[tuple[str, FakeProxy, tuple[int, str | None]]] = [
    ("/me", FakeProxy(answer(401, b'{"detail": "Token expired"}')), (401, INVALID)),
    ("/me", FakeProxy(answer(403, b"{}")), (403, None)),
    (
        "/audit",
        FakeProxy(profile(), answer(403)),
        (403, 'Bearer error="insufficient_scope", scope="audit"'),
    ),
    ("/audit", FakeProxy(profile(), answer(401)), (401, INVALID)),
    *(("/audit", FakeProxy(profile(), answer(200, it)), (502, None)) for it in (b"false", b"")),
    *(("/me", FakeProxy(answer(it)), (502, None)) for it in (201, 204, 302, 400, 404, 429, 500)),
    ("/me", FakeProxy(profile(is_authenticated=False)), (401, INVALID)),
    *(
        ("/me", FakeProxy(profile(is_authenticated=it)), (502, None))
        for it in ("false", "true", 0, 1)
    ),
    ("/me", FakeProxy(profile(enabled="yes")), (502, None)),
    *(("/me", FakeProxy(profile(id=it)), (502, None)) for it in (7.0, True, "-7", " 7 ")),
    ("/me", FakeProxy(profile(id="7")), (200, None)),
    ("/me", FakeProxy(profile(score=float("nan"))), (502, None)),
    ("/me", FakeProxy(answer(200, b'{"user_name": "\\ud800"}')), (502, None)),
    ("/me", FakeProxy(profile(blob="x" * 2_000_000)), (502, None)),
    # where this package accepts more
    ("/me", FakeProxy(profile(is_authenticated=None, workspace_roles=None)), (200, None)),
    ("/me", FakeProxy(profile(workspace_roles=[{}], user_workspace={})), (200, None)),
    ("/me", FakeProxy(profile(extra="text")), (200, None)),
]


@pytest.mark.parametrize(("path", "proxy", "expected"), ANSWERS)
async def test_an_answer_of_the_proxy_becomes_what_the_page_says(
    path: str,
    proxy: FakeProxy,
    expected: tuple[int, str | None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with serving(proxy) as server:
        monkeypatch.setenv("OXAIGEN_AUTH_PROXY_URL_OVERRIDE", server.url)
        response = await get(make_app(), path, GOOD)
    assert (response.status_code, response.headers.get("www-authenticate")) == expected


COOKIE = b"OxaigenPlatformAuthAccessToken"
CREDENTIALS: list[tuple[Any, int, str]] = [
    ([], 401, "Not authenticated"),
    (bearer("Basic eA=="), 401, "Not authenticated"),
    (bearer("Bearer "), 401, "Not authenticated"),
    (bearer(f"BEARER {TOKEN}"), 200, "ada"),
    (bearer(f"Bearer   {TOKEN}  "), 200, "ada"),  # where this package accepts more
    (bearer(f"Bearer {TOKEN}") * 2, 401, "More than one Authorization header"),
    (bearer(f"Bearer {TOKEN}, {OTHER}"), 401, "Invalid token"),
    (bearer("Bearer \x01"), 401, "Invalid token"),
    (bearer("Bearer " + "x" * 8193), 401, "Invalid token"),
    (bearer("Bearer \xe9"), 401, "Invalid token"),
    ([(b"cookie", COOKIE + b'="' + TOKEN.encode() + b'"')], 200, "ada"),
    ([(b"cookie", COOKIE + b"=one; " + COOKIE + b"=two")], 401, "More than one access cookie"),
]


@pytest.mark.parametrize(("headers", "status", "text"), CREDENTIALS)
async def test_what_a_request_brings_becomes_what_the_page_says(
    headers: Any, status: int, text: str, proxy: FakeProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(proxy) as server:
        monkeypatch.setenv("OXAIGEN_AUTH_PROXY_URL_OVERRIDE", server.url)
        response = await get(make_app(), "/me", headers)
    assert response.status_code == status
    assert text in response.text
    assert proxy.endpoints == ["get-me"] * (status == 200)


@pytest.mark.parametrize("extra", ["user@{}", "{}/x", "{}?x", "{}#x", "{} x", "{}\\x", "127.1"])
async def test_a_host_with_more_than_name_and_port_is_refused(
    extra: str, proxy: FakeProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OXAIGEN_AUTH_PROXY_SCHEME", "http")
    async with serving(proxy) as server:
        host = extra.format(server.url.removeprefix("http://"))
        response = await get(make_app(), "/me", {**GOOD, "x-forwarded-host": host})
    assert (response.status_code, response.json()) == (400, {"detail": "Invalid host header"})
    assert proxy.endpoints == []


async def test_a_trailing_dot_of_a_host_is_removed(
    proxy: FakeProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OXAIGEN_AUTH_PROXY_SCHEME", "http")
    async with serving(proxy) as server:
        host = server.url.removeprefix("http://").replace(":", ".:")
        assert (await get(make_app(), "/me", {**GOOD, "x-forwarded-host": host})).is_success


async def test_a_verdict_of_one_proxy_does_not_count_for_another(proxy: FakeProxy) -> None:
    other = FakeProxy(user=answer(401))
    async with serving(proxy) as one, serving(other) as two, ProxyAuthClient() as client:
        assert (await client.get_me(TOKEN, proxy_base_url=one.url)).user_name == "ada"
        with pytest.raises(OxaigenAuthUnauthenticatedError):
            await client.get_me(TOKEN, proxy_base_url=two.url)


async def test_the_proxy_sees_no_cookie_of_an_earlier_answer_and_other_headers() -> None:
    async def respond(request: bytes) -> bytes:
        assert b"cookie" not in request.lower()
        assert b"user-agent: oxaigen-auth/" in request.lower()
        assert b"accept-encoding: identity" in request.lower()
        return answer(200, PROFILE, set_cookie="sid=1")

    async with serving(respond) as server, ProxyAuthClient(server.url) as client:
        for token in (TOKEN, OTHER):
            await client.get_me(token)
    assert len(server.requests) == 2


def test_importing_the_package_configures_no_logging_and_old_modules_are_gone() -> None:
    code = (
        "import logging, oxaigen_auth\n"
        "assert not logging.root.handlers\n"
        "from oxaigen_auth import UserWorkspace, WorkspacePermission, WorkspaceRole\n"
        "try: import oxaigen_auth.src.authentication\n"
        "except ImportError: print('gone')"
    )
    run = [sys.executable, "-c", code]
    ended = subprocess.run(run, check=True, capture_output=True, text=True)  # noqa: S603 (our own code)
    assert ended.stdout == "gone\n"
