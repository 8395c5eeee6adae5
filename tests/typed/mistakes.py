"""Mistakes of users: mypy reports an unused ignore, so each line must be an error."""

from __future__ import annotations

from oxaigen_auth import OxaigenAuthSettings, ProxyAuthClient, User, require_permission

user = User(email=1)  # type: ignore[arg-type]
user = User(department="R&D")  # type: ignore[call-arg]
user.email = "x"  # type: ignore[misc]
user.dict()  # type: ignore[attr-defined]
user.model_dump(exclude_non=True)  # type: ignore[call-arg]
User.model_validate({})  # type: ignore[attr-defined]
User.from_dict("{}")  # type: ignore[arg-type]
require_permission(5)  # type: ignore[arg-type]
OxaigenAuthSettings(cache_ttl=5)  # type: ignore[call-arg]
OxaigenAuthSettings().cache_ttl  # type: ignore[attr-defined]  # noqa: B018
ProxyAuthClient(timeout=5)  # type: ignore[call-arg]


async def work(token: str) -> None:
    await ProxyAuthClient.get_me(token)  # type: ignore[call-arg, arg-type]
    await ProxyAuthClient().get_me(token, "https://app.example.com")  # type: ignore[call-arg]
