from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import pytest
from attrs import define, field
from fastapi import APIRouter, Depends, FastAPI
from starlette.requests import HTTPConnection

from oxaigen_auth import (
    OxaigenAuthMiddleware,
    OxaigenAuthSettings,
    User,
    get_current_user,
    require_any_permission,
    require_permission,
)
from oxaigen_auth._request.identity import CLIENT, identify
from tests.support.apps import GOOD, get
from tests.support.fake_proxy import BASE, BROKEN, DENIED, DOWN, GRANTED, REVOKED, FakeProxy
from tests.support.tokens import TOKEN

if TYPE_CHECKING:
    from collections.abc import Callable

    from httpx import Response

    from tests.support.fake_proxy import Call

pytestmark = pytest.mark.anyio


@define(eq=False)
class Permissions(FakeProxy):
    """Answers each permission with a reply of its own."""

    replies: dict[str, Any] = field(factory=dict[str, Any])
    running: int = 0
    most_at_once: int = 0

    async def respond(self, call: Call) -> Any:
        self.calls.append(call)
        name = call.endpoint.removeprefix("test-app-permission/")
        self.running += 1
        self.most_at_once = max(self.most_at_once, self.running)
        try:
            await anyio.lowlevel.checkpoint()
            reply = self.replies.get(name, self.user)
            if reply == "hang":
                await anyio.sleep_forever()
            return reply
        finally:
            self.running -= 1


def protected(proxy: Permissions, dependency: Any, **settings: Any) -> FastAPI:
    app = FastAPI()
    settings = {"proxy_timeout_seconds": 30.0, **settings}
    client = proxy.client(BASE, settings=OxaigenAuthSettings(**settings))
    app.add_middleware(OxaigenAuthMiddleware, client=client)

    @app.get("/")
    async def route(user: User = Depends(dependency)) -> str:
        return str(user.user_name)

    return app


async def ask(dependency: Any, replies: dict[str, Any]) -> tuple[Response, Permissions]:
    proxy = Permissions(replies=replies)
    with anyio.fail_after(60):
        return await get(protected(proxy, dependency), "/", GOOD), proxy


def missing(detail: str, scope: str) -> tuple[int, str, str | None]:
    return 403, detail, f'Bearer error="insufficient_scope", scope="{scope}"'


def answer_of(response: Response) -> tuple[int, str, str | None]:
    headers = response.headers
    return response.status_code, response.json()["detail"], headers.get("www-authenticate")


REJECTED = (401, "Token revoked", 'Bearer error="invalid_token"')
UNAVAILABLE = (502, "Auth service unavailable", None)


async def test_all_permissions_are_checked_side_by_side_after_the_user() -> None:
    replies = {"a": GRANTED, "b": GRANTED, "c": GRANTED}
    response, proxy = await ask(require_permission("a", "b", "c"), replies)
    assert response.json() == "ada"
    assert proxy.endpoints[0] == "get-me"
    assert sorted(proxy.endpoints[1:]) == [f"test-app-permission/{name}" for name in "abc"]
    assert proxy.most_at_once == 3


@pytest.mark.parametrize(
    ("replies", "expected"),
    [
        ([GRANTED, DENIED, GRANTED], missing("Missing permission: b", "a b c")),
        ([DENIED, GRANTED, DENIED], missing("Missing permissions: a, c", "a b c")),
        ([DOWN, DENIED, BROKEN], missing("Missing permission: b", "a b c")),
        ([GRANTED, DOWN, GRANTED], UNAVAILABLE),
        ([DENIED, REVOKED, DOWN], REJECTED),
        (["hang", REVOKED, "hang"], REJECTED),
    ],
)
async def test_all_permissions_a_rejection_then_a_denial_then_an_outage_decides(
    replies: list[Any], expected: object
) -> None:
    dependency = require_permission("a", "b", "c")
    response, _ = await ask(dependency, dict(zip("abc", replies, strict=True)))
    assert answer_of(response) == expected


@pytest.mark.parametrize("replies", [[DENIED, GRANTED], [DOWN, GRANTED], ["hang", GRANTED]])
async def test_any_permission_one_that_is_granted_is_enough(replies: list[Any]) -> None:
    dependency = require_any_permission("a", "b")
    response, _ = await ask(dependency, dict(zip("ab", replies, strict=True)))
    assert response.json() == "ada"


@pytest.mark.parametrize(
    ("replies", "expected"),
    [
        ([DENIED, DENIED], missing("Missing permission: one of a, b", "a b")),
        ([DENIED, DOWN], UNAVAILABLE),
        ([BROKEN, DENIED], UNAVAILABLE),
        (["hang", REVOKED], REJECTED),
    ],
)
async def test_any_permission_without_a_grant_an_outage_is_no_denial(
    replies: list[Any], expected: object
) -> None:
    dependency = require_any_permission("a", "b")
    response, _ = await ask(dependency, dict(zip("ab", replies, strict=True)))
    assert answer_of(response) == expected


async def test_cached_permissions_are_not_asked_for_again() -> None:
    proxy = Permissions(replies={"a": GRANTED, "b": GRANTED, "c": DENIED})
    app = protected(proxy, require_permission("a", "b"))
    for _ in range(2):
        assert (await get(app, "/", GOOD)).status_code == 200
    assert len(proxy.calls) == 3
    app.get("/more", dependencies=[Depends(require_permission("a", "b", "c"))])(lambda: "in")
    app.get("/any", dependencies=[Depends(require_any_permission("d", "b"))])(lambda: "in")
    assert (await get(app, "/more", GOOD)).status_code == 403
    assert proxy.endpoints[3:] == ["test-app-permission/c"]
    assert (await get(app, "/any", GOOD)).status_code == 200
    assert len(proxy.calls) == 4


async def test_a_permission_is_asked_for_once_by_app_router_and_route() -> None:
    proxy = Permissions(replies={"a": GRANTED, "b": GRANTED})
    app = FastAPI(dependencies=[Depends(get_current_user), Depends(require_permission("a"))])
    client = proxy.client(BASE, settings=OxaigenAuthSettings(cache_ttl_seconds=30.0))
    app.add_middleware(OxaigenAuthMiddleware, client=client)
    router = APIRouter(dependencies=[Depends(require_permission("a", "b"))])
    router.get("/", dependencies=[Depends(require_any_permission("b", "a"))])(lambda: "in")
    app.include_router(router)
    assert (await get(app, "/", GOOD)).json() == "in"
    assert (await get(app, "/")).status_code == 401
    assert sorted(proxy.endpoints) == [
        "get-me",
        "test-app-permission/a",
        "test-app-permission/b",
    ]


async def test_requests_at_once_share_the_lookups_of_several_permissions() -> None:
    proxy = Permissions(replies={"a": GRANTED, "b": DENIED})
    app = protected(proxy, require_permission("a", "b"), cache_ttl_seconds=0.0)
    client: Any = app.user_middleware[0].kwargs["client"]
    statuses: list[int] = []

    async def one() -> None:
        statuses.append((await get(app, "/", GOOD)).status_code)

    async with client, anyio.create_task_group() as group:
        for _ in range(20):
            group.start_soon(one)
    assert statuses == [403] * 20
    assert len(proxy.calls) < 12


async def test_a_closed_client_is_an_error_of_its_own_and_in_no_group() -> None:
    async with Permissions().client(BASE, settings=OxaigenAuthSettings()) as client:
        headers = [(b"authorization", f"Bearer {TOKEN}".encode())]
        identity = await identify({"type": "http", "headers": headers, CLIENT: client})
    with pytest.raises(RuntimeError, match="closed"):
        await identity.check_permissions(["a", "b"], until=lambda _: False)


async def test_an_override_of_get_current_user_applies_to_several_permissions() -> None:
    proxy = Permissions(replies={"a": GRANTED, "b": GRANTED})
    app = protected(proxy, require_permission("a", "b"))
    app.dependency_overrides[get_current_user] = lambda: User(user_name="eve")
    assert (await get(app, "/", GOOD)).json() == "eve"
    assert (await get(app, "/")).status_code == 401


async def test_several_permissions_can_be_checked_without_fastapi() -> None:
    proxy = Permissions(replies={"a": GRANTED, "b": GRANTED})
    async with proxy.client(BASE, settings=OxaigenAuthSettings()) as client:
        headers = [(b"authorization", f"Bearer {TOKEN}".encode())]
        scope = {"type": "http", "headers": headers, CLIENT: client}
        for dependency in (require_permission("a", "b"), require_any_permission("a", "b")):
            assert (await dependency(HTTPConnection(scope))).user_name == "ada"


def test_equal_sequences_of_names_share_one_dependency() -> None:
    assert require_permission("a", "b") is require_permission("a", "b")
    assert require_permission("a", "b", "a") is require_permission("a", "b")
    assert require_permission("a", "b") is not require_permission("b", "a")
    assert require_permission("a", "a") is require_permission("a")
    assert require_any_permission("a", "b") is require_any_permission("a", "b")
    assert require_any_permission("a") is require_permission("a")
    assert require_any_permission("a", "b") is not require_permission("a", "b")


LIST: Any = ["a", "b"]
PAIR: Any = ("b", 1)
EMPTY: Any = []
NONE: Any = None


@pytest.mark.parametrize(
    ("call", "error", "advice"),
    [
        (require_permission, TypeError, r'write require_permission\("audit"\)'),
        (require_any_permission, TypeError, r'write require_any_permission\("audit"\)'),
        (lambda: require_permission(LIST), ValueError, r'write require_permission\("a", "b"'),
        (lambda: require_permission("a", PAIR), ValueError, r'require_permission\("b", 1\)'),
        (lambda: require_permission("a", "b c"), ValueError, "'b c' is not a permission name"),
        (lambda: require_any_permission("a", NONE), ValueError, "None is not a permission name"),
        (lambda: require_permission(EMPTY), ValueError, r"\[\] is not a permission name"),
    ],
)
def test_bad_names_are_refused_where_the_route_is_declared(
    call: Callable[[], object], error: type[Exception], advice: str
) -> None:
    with pytest.raises(error, match=advice):
        call()


@pytest.mark.parametrize("function", [require_permission, require_any_permission])
def test_a_function_that_makes_a_dependency_is_not_one(function: Any) -> None:
    app = FastAPI()
    with pytest.raises(TypeError, match=rf'write Depends\({function.__name__}\("audit"'):
        app.get("/", dependencies=[Depends(function)])(lambda: "in")


async def test_a_rejection_counts_even_if_another_permission_was_granted_at_once() -> None:
    response, _ = await ask(require_any_permission("a", "b"), {"a": GRANTED, "b": REVOKED})
    assert response.status_code == 401
