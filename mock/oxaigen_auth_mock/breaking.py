"""Placeholder until the faults land."""

from collections.abc import Sequence

from starlette.types import ASGIApp, Receive, Scope, Send

from oxaigen_auth_mock.faults import Fault


async def until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def answer_with(
    faults: Sequence[Fault], app: ASGIApp, scope: Scope, receive: Receive, send: Send
) -> None:
    await app(scope, receive, send)
