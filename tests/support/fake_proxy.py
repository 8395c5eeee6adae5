"""A proxy in place of the SDK's own, and a clock, both set by the test; no sockets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import pytest
from attrs import define, field

from oxaigen_auth import User, _composition
from oxaigen_auth._validation.verdict import Accepted

if TYPE_CHECKING:
    from collections.abc import Callable

    from oxaigen_auth._validation.question import Question, Secret
    from oxaigen_auth._validation.verdict import Verdict

BASE = "https://app.example.com"


@define(eq=False)
class FakeProxy:
    """Takes a second for each call, and answers what the test says at that moment.

    One instance stands for the proxies of every event loop.
    """

    user: Verdict[User] = field(factory=lambda: Accepted(User(user_name="ada")))
    grant: Verdict[bool] = field(factory=lambda: Accepted(value=True))
    calls: list[str] = field(factory=list, repr=False)  # they hold tokens
    closed: int = 0
    on_request: Callable[[], None] = lambda: None
    delay: float = 1.0

    def __call__(self, *args: Any, **_: Any) -> FakeProxy:
        """Open the connections of an event loop, as the class `Proxy` does."""
        self.on_request = args[2]
        return self

    async def ask(
        self, question: Question, secret: Secret, *, since: float | None = None
    ) -> Verdict[Any]:
        del since
        endpoint = question.permission or "get-me"
        self.calls.append(f"{endpoint} {question.base_url} {secret!s}")
        self.on_request()
        answer: Verdict[Any] = self.grant if question.permission else self.user
        await anyio.sleep(self.delay)
        return answer

    def prepare(self) -> None:
        pass

    async def aclose(self) -> None:
        self.closed += 1


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> FakeProxy:
    """Put a fake in the place of the class `Proxy`."""
    proxy = FakeProxy()
    monkeypatch.setattr(_composition, "Proxy", proxy)
    return proxy
