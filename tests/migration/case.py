"""A request to both packages, and how their results may differ."""

from __future__ import annotations

import json
from typing import Any

from attrs import field, frozen

from tests.support.raw_server import answer

PROFILE: dict[str, Any] = {
    "is_authenticated": True,
    "id": 7,
    "user_name": "ada",
    "email": "ada@example.com",
    "account_type": "internal",
    "enabled": True,
    "first_name": "Ada",
    "last_name": None,
    "user_workspace": {"id": "w", "name": "W"},
    "workspace_roles": [{"id": 1, "name": "owner", "description": None}],
    "workspace_permissions": [{"id": 1, "name": "audit", "description": None}],
}


def profile(**changes: Any) -> bytes:
    return answer(200, json.dumps(PROFILE | changes).encode())


def refusal(status: int, detail: object, **headers: str) -> bytes:
    return answer(status, json.dumps({"detail": detail}).encode(), **headers)


ADA = profile()
GRANTED = answer(200, b"true")
BEARER = ("Authorization: Bearer {token}",)


@frozen
class Differs:
    """A difference that `docs/migration.md` describes.

    Attributes:
        row: the first words of the row, as many as make it unique.
        ours: what this package does, for exactly those parts of the result that differ.
    """

    row: str
    ours: dict[str, Any]


def differs(row: str, **ours: Any) -> Differs:
    return Differs(row, ours)


@frozen(kw_only=True)
class Case:
    """A request, the proxy's answers to its token, and the difference between the packages.

    `{token}` and `{proxy}` in its headers stand for the token and the proxy's URL.
    """

    name: str = field(kw_only=False)
    path: str = field(default="/me", kw_only=False)
    method: str = "GET"
    headers: tuple[str, ...] = BEARER
    host: str = "app.example.com"
    body: bytes = b""
    user: bytes | None = ADA
    permission: bytes | None = GRANTED
    delay: float = 0.0  # seconds
    times: int = 1
    difference: Differs | None = None

    def head(self) -> list[str]:
        host = [f"Host: {self.host}"] if self.host else []
        length = [f"Content-Length: {len(self.body)}"] if self.body else []
        return [*host, *self.headers, *length]

    def fill(self, text: str, *, token: str, proxy: str) -> str:
        filled = text.replace("{token}", token).replace("{proxy}", proxy)
        return filled.replace("{proxy-host}", proxy.removeprefix("http://"))
