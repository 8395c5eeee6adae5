from __future__ import annotations

from typing import Any

import pytest
from fastapi import APIRouter, Depends, FastAPI, Security
from fastapi.openapi.utils import get_openapi
from fastapi.security import APIKeyHeader, SecurityScopes

from oxaigen_auth import (
    AuthClient,
    CurrentUser,
    OptionalUser,
    OxaigenAuthMiddleware,
    OxaigenAuthSettings,
    ProxyAuthClient,
    User,
    get_current_user,
    install_openapi,
    require_any_permission,
    require_permission,
    require_role,
)

BOTH: list[dict[str, list[str]]] = [{"OxaigenBearer": []}, {"OxaigenCookie": []}]
REFUSALS = {
    "400": "OxaigenInvalidHost",
    "401": "OxaigenUnauthenticated",
    "403": "OxaigenForbidden",
    "429": "OxaigenTooManyRequests",
    "502": "OxaigenUnavailable",
}


def scoped(*scopes: str) -> list[Any]:
    return [{"OxaigenBearer": list(scopes)}, {"OxaigenCookie": list(scopes)}]


def operation(document: dict[str, Any], path: str = "/", method: str = "get") -> dict[str, Any]:
    found: dict[str, Any] = document["paths"][path][method]
    return found


def document_of(*dependencies: Any, **options: Any) -> dict[str, Any]:
    app = FastAPI()
    app.get("/", dependencies=[Depends(it) for it in dependencies], **options)(lambda: "in")
    return app.openapi()


def test_a_protected_operation_shows_both_schemes_and_the_refusals() -> None:
    app = FastAPI()

    @app.get("/", response_model=User, description="Return the caller.")
    async def me(user: CurrentUser) -> None: ...

    document = app.openapi()
    shown = operation(document)
    assert shown["security"] == BOTH
    assert shown["description"] == "Return the caller."
    assert shown["responses"].pop("200")
    assert shown["responses"] == {
        status: {"$ref": f"#/components/responses/{name}"} for status, name in REFUSALS.items()
    }
    components = document["components"]
    assert components["securitySchemes"] == {
        "OxaigenBearer": {
            "type": "http",
            "scheme": "bearer",
            "description": "An Oxaigen access token.",
        },
        "OxaigenCookie": {
            "type": "apiKey",
            "in": "cookie",
            "name": "OxaigenPlatformAuthAccessToken",
            "description": "The cookie that the Oxaigen sign-in sets, with an access token.",
        },
    }
    assert set(components["responses"]) == set(REFUSALS.values())
    for name, response in components["responses"].items():
        schema = response["content"]["application/json"]["schema"]
        assert schema == {"$ref": "#/components/schemas/OxaigenAuthRefusal"}
        challenged = name in {"OxaigenUnauthenticated", "OxaigenForbidden"}
        assert ("WWW-Authenticate" in response.get("headers", {})) is challenged
        later = name in {"OxaigenTooManyRequests", "OxaigenUnavailable"}
        assert ("Retry-After" in response.get("headers", {})) is later
    assert components["schemas"]["OxaigenAuthRefusal"]["required"] == ["detail"]
    user = components["schemas"]["User"]
    assert user["required"] == list(user["properties"])


def test_an_optional_operation_needs_no_scheme_and_refuses_only_outages() -> None:
    app = FastAPI()

    @app.get("/")
    async def greet(user: OptionalUser) -> None: ...

    shown = operation(app.openapi())
    assert shown["security"] == [{}, *BOTH]
    assert sorted(shown["responses"]) == ["200", "400", "429", "502"]


def test_an_operation_that_also_needs_a_user_is_not_optional() -> None:
    app = FastAPI(dependencies=[Depends(get_current_user)])

    @app.get("/")
    async def greet(user: OptionalUser) -> None: ...

    assert operation(app.openapi())["security"] == BOTH


def test_a_public_operation_and_an_app_without_dependencies_show_nothing() -> None:
    app = FastAPI()

    @app.get("/")
    async def stats(client: AuthClient) -> None: ...

    document = app.openapi()
    assert "security" not in operation(document)
    assert sorted(operation(document)["responses"]) == ["200"]
    assert "components" not in document


def test_permissions_are_scopes_and_in_the_description() -> None:
    shown = operation(document_of(require_permission("audit", "write")))
    assert shown["security"] == scoped("audit", "write")
    assert shown["description"] == "Requires the permissions `audit`, `write`."


def test_one_of_several_permissions_is_an_alternative_for_each() -> None:
    dependencies = (require_permission("a"), require_any_permission("b", "c"))
    shown = operation(document_of(*dependencies, description="Do it."))
    assert shown["security"] == [*scoped("a", "b"), *scoped("a", "c")]
    assert shown["description"] == (
        "Do it.\n\nRequires the permission `a`.\n\nRequires one of the permissions `b`, `c`."
    )
    implied = (require_permission("b"), require_any_permission("b", "c"))
    assert operation(document_of(*implied))["security"] == scoped("b")


def test_roles_are_in_the_description_and_no_scopes() -> None:
    shown = operation(document_of(require_role("owner")))
    assert shown["security"] == BOTH
    assert shown["description"] == "Requires the role `owner`."


def test_the_requirements_of_app_router_and_route_are_joined() -> None:
    app = FastAPI(dependencies=[Depends(require_permission("a"))])
    router = APIRouter(prefix="/r", dependencies=[Depends(require_permission("b"))])

    def nested(_: User = Depends(require_permission("c"))) -> None: ...

    @router.put("/{name}", dependencies=[Depends(nested)])
    @router.post("/{name}")
    async def change(name: str) -> None: ...

    app.include_router(router, prefix="/v1")
    document = app.openapi()
    assert operation(document, "/v1/r/{name}", "put")["security"] == scoped("a", "b", "c")
    assert operation(document, "/v1/r/{name}", "post")["security"] == scoped("a", "b")


def test_a_mounted_app_has_a_document_of_its_own() -> None:
    outer, inner = FastAPI(), FastAPI()
    inner.get("/", dependencies=[Depends(get_current_user)])(lambda: "in")
    outer.get("/")(lambda: "in")
    outer.mount("/inner", inner)
    assert "security" not in operation(outer.openapi())
    assert operation(inner.openapi())["security"] == BOTH


def test_what_the_author_has_written_stays() -> None:
    own = {401: {"description": "Sign in first."}, "4XX": {"description": "Refused."}}
    extra = {"security": [{"Other": []}], "description": "Mine."}
    shown = operation(document_of(get_current_user, responses=own, openapi_extra=extra))
    assert shown["responses"]["401"] == {"description": "Sign in first."}
    assert shown["responses"]["4XX"] == {"description": "Refused."}
    assert shown["security"] == [*BOTH, {"Other": []}]
    assert shown["description"] == "Mine."


def test_scopes_and_schemes_of_the_app_are_kept() -> None:
    app = FastAPI()

    def checks(_: SecurityScopes, __: str = Security(APIKeyHeader(name="X-Key"))) -> None: ...

    @app.get("/", dependencies=[Security(checks, scopes=["own"])])
    async def route(_: User = Security(get_current_user, scopes=["own"])) -> None: ...

    security = operation(app.openapi())["security"]
    assert security[:2] in (scoped("own"), BOTH)  # as FastAPI shows them; early ones do not
    assert [list(entry) for entry in security[2:]] == [["APIKeyHeader"]]


def test_openapi_3_0_has_no_scopes_for_these_schemes() -> None:
    app = FastAPI()
    app.openapi_version = "3.0.3"
    dependency = require_any_permission("a", "b")
    app.get("/", dependencies=[Depends(dependency)])(lambda: "in")
    shown = operation(app.openapi())
    assert shown["security"] == BOTH
    assert shown["description"] == "Requires one of the permissions `a`, `b`."


def test_hidden_routes_websockets_and_overrides_do_not_matter() -> None:
    app = FastAPI()
    protected: Any = {"dependencies": [Depends(require_permission("audit"))]}
    app.get("/", **protected)(lambda: "in")
    app.get("/hidden", include_in_schema=False, **protected)(lambda: "in")
    app.websocket("/ws", **protected)(lambda websocket: websocket.close())
    app.dependency_overrides[require_permission("audit")] = lambda: None
    document = app.openapi()
    assert list(document["paths"]) == ["/"]
    assert operation(document)["security"] == scoped("audit")


def test_the_document_is_made_once_and_again_for_a_new_route() -> None:
    app = FastAPI()
    app.get("/", dependencies=[Depends(require_permission("audit"))])(lambda: "in")
    document = app.openapi()
    before = repr(document)
    assert app.openapi() is document
    assert repr(document) == before
    app.openapi_schema = None
    app.get("/more", dependencies=[Depends(get_current_user)])(lambda: "in")
    assert operation(app.openapi(), "/more")["security"] == BOTH


@pytest.mark.parametrize("twice", [False, True])
def test_a_function_of_the_app_is_extended_on_request(*, twice: bool) -> None:
    app = FastAPI()
    app.get("/", dependencies=[Depends(require_permission("audit"))])(lambda: "in")

    def custom() -> dict[str, Any]:
        return {**get_openapi(title="Mine", version="3", routes=app.routes), "x-mine": True}

    setattr(app, "openapi", custom)  # noqa: B010 (as apps do)
    assert operation(app.openapi())["security"] == [{"OxaigenBearer": []}]
    install_openapi(app)
    if twice:
        install_openapi(app)
    document = app.openapi()
    assert document["x-mine"] is True
    assert operation(document)["security"] == scoped("audit")
    assert operation(document)["description"] == "Requires the permission `audit`."


def test_a_subclass_that_changes_the_document_has_the_last_word() -> None:
    class App(FastAPI):
        def openapi(self) -> dict[str, Any]:
            document = super().openapi()
            operation(document)["security"] = []
            return document

    app = App()
    app.get("/", dependencies=[Depends(get_current_user)])(lambda: "in")
    assert operation(app.openapi())["security"] == []
    assert "401" in operation(app.openapi())["responses"]


def test_the_cookie_has_the_name_in_the_settings_which_are_not_fixed_by_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("one", "two"):
        monkeypatch.setenv("OXAIGEN_AUTH_ACCESS_TOKEN_COOKIE_NAME", name)
        schemes = document_of(get_current_user)["components"]["securitySchemes"]
        assert schemes["OxaigenCookie"]["name"] == name


def test_the_cookie_is_that_of_the_client_of_the_middleware() -> None:
    app = FastAPI()
    settings = OxaigenAuthSettings(access_token_cookie_name="mine")
    app.add_middleware(OxaigenAuthMiddleware, client=ProxyAuthClient(settings=settings))
    app.get("/", dependencies=[Depends(get_current_user)])(lambda: "in")
    assert app.openapi()["components"]["securitySchemes"]["OxaigenCookie"]["name"] == "mine"


ANY = require_any_permission("a", "b")
EITHER = [*scoped("a"), *scoped("b")]


def test_a_document_that_is_extended_already_stays_as_it_is() -> None:
    app = FastAPI()
    app.get("/", dependencies=[Depends(ANY)])(lambda: None)
    generate = app.openapi

    def custom() -> dict[str, Any]:
        return generate()

    app.openapi = custom  # type: ignore[method-assign]  # as FastAPI documents it
    install_openapi(app)
    for _ in range(2):
        assert operation(app.openapi())["security"] == EITHER
        app.openapi_schema = None


def test_a_function_that_keeps_its_document_is_extended_once() -> None:
    app = FastAPI()
    app.get("/", dependencies=[Depends(ANY)])(lambda: None)
    kept = get_openapi(title="Kept", version="1", routes=app.routes)
    app.openapi = lambda: kept  # type: ignore[method-assign]
    install_openapi(app)
    for _ in range(2):
        assert operation(app.openapi())["security"] == EITHER


def test_many_combinations_are_only_in_the_description() -> None:
    several = [require_any_permission(f"a{n}", f"b{n}") for n in range(6)]
    assert len(operation(document_of(*several))["security"]) == 128
    shown = operation(document_of(*several, require_any_permission("a", "b")))
    assert shown["security"] == BOTH
    assert "Requires one of the permissions `a5`, `b5`." in shown["description"]


def test_the_document_of_an_app_with_its_own_settings_ignores_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app = FastAPI()
    app.get("/", dependencies=[Depends(get_current_user)])(lambda: None)
    client = ProxyAuthClient(settings=OxaigenAuthSettings(access_token_cookie_name="own"))
    app.add_middleware(OxaigenAuthMiddleware, client=client)
    monkeypatch.setenv("OXAIGEN_AUTH_MAX_CONNECTIONS", "many")
    assert app.openapi()["components"]["securitySchemes"]["OxaigenCookie"]["name"] == "own"


def test_a_route_that_only_uses_the_client_is_shown_as_public() -> None:
    app = FastAPI()

    @app.get("/")
    async def stats(client: AuthClient) -> None: ...

    assert "security" not in operation(app.openapi())
