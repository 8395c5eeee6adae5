"""User code of workers and scripts; only type checkers read it."""

from __future__ import annotations

import os
import ssl
from typing import assert_type

import attrs
import httpx2

from oxaigen_auth import (
    BlockingProxyAuthClient,
    ClientStats,
    OxaigenAuthConfigurationError,
    OxaigenAuthError,
    OxaigenAuthPermissionDeniedError,
    OxaigenAuthSettings,
    OxaigenAuthUnauthenticatedError,
    OxaigenAuthUntrustedHostError,
    OxaigenAuthUpstreamError,
    ProxyAuthClient,
    User,
)
from oxaigen_auth.observers import Observer

settings = OxaigenAuthSettings(
    proxy_url_override="https://app.example.com",
    proxy_timeout_seconds=1.0,
    allowed_hosts=("*.example.com",),
    breaker=False,
)
assert_type(settings.proxy_url_override, str | None)
assert_type(settings.proxy_scheme, str)
assert_type(settings.cache_ttl_seconds, float)
assert_type(settings.cache_max_entries, int)
assert_type(settings.dev_mode, bool)
assert_type(settings.environment, str | None)
assert_type(settings.allowed_hosts, tuple[str, ...])
assert_type(settings.trusted_origins, tuple[str, ...])
assert_type(settings.shared_store, str | None)
assert_type(settings.shared_secret, tuple[str, ...])
assert_type(settings.shared_max_skew_seconds, float)
assert_type(settings.is_production, bool)
assert_type(settings.fixed_proxy_url, str | None)
assert_type(attrs.evolve(settings, max_connections=5), OxaigenAuthSettings)
assert_type(OxaigenAuthSettings.from_env(), OxaigenAuthSettings)
assert_type(OxaigenAuthSettings.from_env(os.environ), OxaigenAuthSettings)


async def work(token: str, user_id: int) -> bool:
    tls = ssl.create_default_context()
    async with ProxyAuthClient(settings=settings, ssl_context=tls) as client:
        assert_type(client, ProxyAuthClient)
        assert_type(client.settings, OxaigenAuthSettings)
        assert_type(client.base_url, str | None)
        assert_type(await client.get_me(token), User)
        assert_type(await client.get_me(bearer_token=token, fresh=True), User)
        assert_type(client.forget(token), None)
        assert_type(client.forget_user(user_id, proxy_base_url="https://b.example.com"), None)
        assert_type(client.forget_all(), None)
        stats = client.stats()
        assert_type(stats, ClientStats)
        assert_type(stats.hits, int)
        return await client.test_permission(token, "audit", proxy_base_url="https://b.example.com")


async def handle(client: ProxyAuthClient, token: str) -> str | int | None:
    try:
        await client.get_me(token)
    except OxaigenAuthUnauthenticatedError as error:
        assert_type(error.message, str)
    except OxaigenAuthPermissionDeniedError as error:
        return error.permission
    except OxaigenAuthUpstreamError as error:
        return error.retry_after
    except (OxaigenAuthConfigurationError, OxaigenAuthUntrustedHostError) as error:
        return error.message
    except OxaigenAuthError as error:
        return str(error)
    await client.aclose()
    return None


async def probe(transport: httpx2.AsyncBaseTransport, audit_trail: Observer) -> bool:
    client = ProxyAuthClient(settings=settings, transport=transport, observers=[audit_trail])
    ProxyAuthClient(transport=httpx2.MockTransport(lambda _: httpx2.Response(200)))
    ProxyAuthClient(observers=(audit_trail,), transport=None)
    assert_type(await client.ping(proxy_base_url="https://b.example.com"), bool)
    return await client.ping()


def work_in_threads(token: str, user_id: int) -> bool:
    with BlockingProxyAuthClient("https://app.example.com", settings=settings) as client:
        assert_type(client, BlockingProxyAuthClient)
        assert_type(client.get_me(token), User)
        assert_type(client.get_me(bearer_token=token, fresh=True), User)
        assert_type(client.ping(), bool)
        assert_type(client.forget(token), None)
        assert_type(client.forget_user(user_id), None)
        assert_type(client.forget_all(), None)
        assert_type(client.stats(), ClientStats)
        assert_type(client.close(), None)
        return client.test_permission(token, "audit", proxy_base_url="https://b.example.com")
