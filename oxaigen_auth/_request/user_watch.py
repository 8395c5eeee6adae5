"""Validates the token of a connection again and again while a block runs.

Three tasks share a watch: the body of the block, one that validates the token when its verdict
expires, and one that waits until the token is forgotten or the client closed. The first of the
latter two that finds a refusal stores it and cancels the scope of the body. So the body is never
cancelled by the watch without a refusal, and the watch reads `refusal` only after the two tasks
have ended.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Generator
from contextlib import asynccontextmanager, contextmanager
from math import inf
from random import uniform
from typing import Any, Self, cast

from anyio import CancelScope, current_time, move_on_after
from attrs import define, field
from fastapi import HTTPException

from oxaigen_auth._core.task_groups import collapsing_task_group
from oxaigen_auth._request.http_errors import missing, refusal_of_verdict
from oxaigen_auth._request.identity import Identity
from oxaigen_auth._validation.question import Question
from oxaigen_auth._validation.token_watches import TokenWatch
from oxaigen_auth._validation.verdict import Accepted, Rejected, Unavailable, Verdict
from oxaigen_auth.models import User

MIN_INTERVAL = 1.0  # seconds between two validations, however short the TTL is
MIN_PAUSE = 0.1  # seconds, if the token is about to expire
RETRY_INTERVAL = 5.0  # seconds, while the proxy is unavailable
JITTER = 0.1  # of an interval, so that WebSockets opened at once are not validated at once
_BAD_GATEWAY = 502
_FORGOTTEN = Rejected("Token no longer valid")
_CLOSED = Unavailable("the client was closed", reason="client_closed")
_ONLY_STALE = Unavailable("only stale verdicts for too long", reason="stale")


@define(eq=False)
class UserWatch:
    """The validation of one connection, whose caller has been accepted.

    Attributes:
        user: the caller, by the last validation.
        refusal: why the body of the block was cancelled; None if it was not.
    """

    identity: Identity
    permissions: tuple[str, ...]
    max_outage: float  # seconds
    token_watch: TokenWatch
    user: User = field(init=False)
    refusal: HTTPException | None = field(default=None, init=False)
    _body: CancelScope = field(factory=CancelScope, init=False)
    _due: float = field(default=-inf, init=False)  # when the verdict expires, by the client's clock
    _expires_at: float = field(default=inf, init=False)  # the token, by the wall clock
    _outage_since: float = field(default=inf, init=False)  # by the event loop's clock

    @classmethod
    @contextmanager
    def open(
        cls, identity: Identity, permissions: tuple[str, ...], max_outage: float
    ) -> Generator[Self]:
        """Watch for events of the token. `validate` must follow, because one may be missed."""
        fingerprint = cast("Question", identity.question).fingerprint
        with identity.client.validator.store.watches.watching(fingerprint) as token_watch:
            yield cls(identity, permissions, max_outage, token_watch)

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Cancel the block when a validation finds a refusal, which is then in `refusal`."""
        async with collapsing_task_group() as group:
            group.start_soon(self._keep_validating)
            group.start_soon(self._end_with_token)
            with self._body:
                yield

    async def validate(self) -> HTTPException | None:
        """Return why the caller is refused now, by cached verdicts or by lookups."""
        self._due, asked = -inf, inf
        for name in ("", *self.permissions):
            if self.identity.client.validator.loops.closed:
                return refusal_of_verdict(_CLOSED)
            verdict = await self._ask(name)
            if not isinstance(verdict, Accepted):
                return refusal_of_verdict(verdict)
            if verdict.value is False:
                self._report_denied(name)
                return missing([name], of=self.permissions)
            if not name:
                self.user = verdict.value
            asked = min(asked, verdict.asked)
        if asked == -inf and self._is_outage_over():
            return refusal_of_verdict(_ONLY_STALE)
        self._accept(asked)
        return None

    def _ask(self, permission: str) -> Awaitable[Verdict[Any]]:
        identity = self.identity
        return identity.check_permission(permission) if permission else identity.check_user()

    def _report_denied(self, permission: str) -> None:
        question = cast("Question", self.identity.question).about(permission)
        self.identity.client.validator.report_refusal(question, Accepted(value=False))

    def _accept(self, asked: float) -> None:
        """Note when the proxy accepted the token; at minus infinity if a verdict is stale.

        If it accepted an expired token, this machine's clock is wrong, so its `exp` is ignored.
        """
        store = self.identity.client.validator.store
        self._due = asked + store.settings.cache_ttl_seconds
        self._expires_at = self.identity.token_expiry()
        if asked > -inf:
            self._outage_since = inf
            if self._expires_at <= store.wall_clock():
                self._expires_at = inf

    def _pause(self) -> float:
        """Return the time until the next validation, in seconds."""
        store = self.identity.client.validator.store
        left = RETRY_INTERVAL if self._due == -inf else max(self._due - store.clock(), MIN_INTERVAL)
        if store.checks is not None and self._due > -inf:
            left = MIN_INTERVAL  # other processes forget tokens without an event
        return min(
            left * uniform(1, 1 + JITTER),  # noqa: S311 (no secret)
            max(self._expires_at - store.wall_clock(), MIN_PAUSE),
            self._outage_since + self.max_outage - current_time(),
        )

    async def _keep_validating(self) -> None:
        while self.refusal is None:
            with move_on_after(self._pause()):
                await self.token_watch.wait_until_rejected()
            refusal = await self.validate()
            if refusal is not None and self._is_final(refusal):
                self._end(refusal)

    def _is_final(self, refusal: HTTPException) -> bool:
        """Return whether the block must end. It need not for an outage."""
        validator = self.identity.client.validator
        if refusal.status_code != _BAD_GATEWAY or validator.loops.closed:
            return True
        return self._is_outage_over() or self._expires_at <= validator.store.wall_clock()

    def _is_outage_over(self) -> bool:
        """Note that no new verdict came. Return whether that has lasted too long."""
        self._outage_since = min(self._outage_since, current_time())
        return self._outage_since + self.max_outage <= current_time()

    async def _end_with_token(self) -> None:
        await self.token_watch.ended.wait()
        validator = self.identity.client.validator
        verdict = _CLOSED if validator.loops.closed else _FORGOTTEN
        validator.report_refusal(cast("Question", self.identity.question), verdict)
        self._end(refusal_of_verdict(verdict))

    def _end(self, refusal: HTTPException) -> None:
        self.refusal = self.refusal or refusal
        self._body.cancel()
