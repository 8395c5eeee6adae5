"""FastAPI for many tenants in one process. The proxy at a tenant's host knows its users.

Two mocks can be two tenants. Both have `devuser`, only the first one has `ada`:

    oxaigen-auth-mock --port 8765 --personas personas.toml
    oxaigen-auth-mock --port 8766
    export OXAIGEN_AUTH_PROXY_SCHEME=http OXAIGEN_AUTH_ALLOWED_HOSTS="127.0.0.1:*"
    hypercorn --bind 127.0.0.1:8000 gateway:app

`X-Forwarded-Host: 127.0.0.1:8765` then makes a request one for the first tenant.
"""

from collections import defaultdict
from typing import Annotated

from fastapi import BackgroundTasks, Depends, FastAPI, Response

from oxaigen_auth import (
    AuthClient,
    CurrentUser,
    OxaigenAuthMiddleware,
    OxaigenAuthUnauthenticatedError,
    ProxyAuthClient,
    derive_proxy_base_url,
    extract_bearer_token,
    require_permission,
)

app = FastAPI()
app.add_middleware(OxaigenAuthMiddleware, exclude=("/health", "/ready"))
exports: defaultdict[str, list[str]] = defaultdict(list)  # by tenant


async def bearer_token(token: Annotated[str | None, Depends(extract_bearer_token)]) -> str:
    if token is None:
        raise OxaigenAuthUnauthenticatedError("Not authenticated", "missing_token")
    return token


# The URL of the tenant's proxy. OXAIGEN_AUTH_ALLOWED_HOSTS lists the hosts of all tenants.
Tenant = Annotated[str, Depends(derive_proxy_base_url)]
Token = Annotated[str, Depends(bearer_token)]


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok"}


@app.get("/ready")
async def ready(tenant: Tenant, client: AuthClient, response: Response) -> dict[str, bool]:
    """Ping the proxy of one tenant. An outage of one should not stop the app for the others."""
    answers = await client.ping(proxy_base_url=tenant)
    response.status_code = 200 if answers else 503
    return {"proxy": answers}


@app.get("/v1/exports", dependencies=[Depends(require_permission("audit"))])
async def list_exports(tenant: Tenant, user: CurrentUser) -> dict[str, list[str]]:
    return {f"shown to {user.user_name}": exports[tenant]}


@app.post(
    "/v1/exports/{name}", status_code=202, dependencies=[Depends(require_permission("export"))]
)
async def start_export(
    name: str, tenant: Tenant, token: Token, client: AuthClient, jobs: BackgroundTasks
) -> None:
    jobs.add_task(export, name, tenant, token, client)


async def export(name: str, tenant: str, token: str, client: ProxyAuthClient) -> None:
    """Publish a result, if the user may still have it when the long computation has ended."""
    if await client.test_permission(token, "export", proxy_base_url=tenant):
        exports[tenant].append(name)


@app.post("/v1/sign-out", status_code=204)
async def sign_out(token: Token, client: AuthClient) -> None:
    client.forget(token)  # at all tenants
