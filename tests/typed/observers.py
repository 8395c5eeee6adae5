"""User code that observes a client; only type checkers read it."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, assert_never, assert_type

from oxaigen_auth import ProxyAuthClient, User
from oxaigen_auth.observers import (
    Accepted,
    Observer,
    Question,
    Reason,
    Rejected,
    Stale,
    Unavailable,
    Verdict,
)


class AuditTrail(Observer):
    def on_hit(self, question: Question, verdict: Verdict[Any], /) -> None:
        assert_type(question.base_url, str)
        assert_type(question.permission, str)
        assert_type(question.fingerprint, bytes)
        if isinstance(verdict, Accepted):
            return
        if isinstance(verdict, Rejected):
            assert_type(verdict.forbidden, bool)
        assert_type(verdict.detail, str)
        assert_type(verdict.reason, Reason)

    def on_miss(self, question: Question, /) -> None: ...

    def on_retry(self, question: Question, /) -> None: ...

    def on_coalesced(self, question: Question, lookup: Hashable, /) -> None: ...

    def on_result(self, question: Question, verdict: Verdict[Any] | None, /) -> None: ...

    def on_refusal(self, question: Question | None, reason: Reason, /) -> None:
        assert_type(question.base_url if question else None, str | None)
        assert_type(reason, Reason)

    def on_start(self, question: Question, lookup: Hashable, /, *, background: bool) -> None: ...

    def on_queue_timeout(self, question: Question, /) -> None: ...

    def on_lookup(self, question: Question, lookup: Hashable, /) -> None: ...

    def on_short_circuited(self, question: Question, /) -> None: ...

    def on_upstream_call(self) -> None: ...

    def on_upstream_response(self, status: int, /) -> None: ...

    def on_verdict(self, question: Question, verdict: Verdict[Any], /) -> None: ...

    def on_end(
        self, question: Question, lookup: Hashable, verdict: Verdict[Any] | None, /
    ) -> None: ...

    def on_circuit_open(self, base_url: str, backoff: float, /) -> None: ...

    def on_circuit_closed(self, base_url: str, /) -> None: ...

    def on_stale(self, question: Question, /) -> None: ...

    def on_shared_hit(self, question: Question, verdict: Verdict[Any], /) -> None: ...

    def on_shared_miss(self, question: Question, /) -> None: ...

    def on_shared_entry_refused(self, question: Question, /) -> None: ...

    def on_shared_store_failed(self, store: str, operation: str, problem: str, /) -> None: ...

    def on_shared_store_recovered(self, store: str, operation: str, /) -> None: ...

    def on_ping_failed(self, question: Question, verdict: Unavailable, /) -> None:
        assert_type(question.base_url, str)
        assert_type(verdict.retry_after, int | None)

    def on_forget(self) -> None: ...


class OtherNames(Observer):
    """The arguments are positional, so that an override may name them as it likes."""

    def on_hit(self, _: Question, __: Verdict[Any], /) -> None: ...


ProxyAuthClient(observers=[AuditTrail(), OtherNames()])


def name_of(verdict: Verdict[User]) -> str | None:
    match verdict:
        case Stale():
            return None  # known, but outdated
        case Accepted(user):
            return user.user_name
        case Rejected(detail) | Unavailable(detail):
            return detail
        case _:
            assert_never(verdict)
