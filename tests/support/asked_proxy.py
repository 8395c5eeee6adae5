"""A `Proxy` with a method for each endpoint, called with a URL and a token."""

from __future__ import annotations

from typing import TYPE_CHECKING

from oxaigen_auth._upstream.proxy import Proxy
from oxaigen_auth._validation.question import Secret, user_question

if TYPE_CHECKING:
    from oxaigen_auth import User
    from oxaigen_auth._validation.verdict import Verdict


class AskedProxy(Proxy):
    async def get_me(
        self, base_url: str, token: str, *, since: float | None = None
    ) -> Verdict[User]:
        return await self.ask(user_question(token, base_url), Secret(token), since=since)

    async def test_permission(
        self, base_url: str, token: str, name: str, *, since: float | None = None
    ) -> Verdict[bool]:
        question = user_question(token, base_url).about(name)
        return await self.ask(question, Secret(token), since=since)
