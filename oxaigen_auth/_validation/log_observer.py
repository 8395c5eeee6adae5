"""Logs the events that concern an operator, each with fields for log collectors.

The fields are attributes of the record: `auth_event`, and `auth_reason`, `auth_base_url`,
`auth_permission` and `auth_token` if they are known. `auth_token` is the beginning of a hash with a
key: a random one, so that it identifies a token only within this process, or with a shared store
one of the shared secret, so that it does so in all processes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from math import inf
from typing import Any, get_args

from attrs import define, field

from oxaigen_auth._core.process_cache import process_cache
from oxaigen_auth._validation.observer import Observer
from oxaigen_auth._validation.question import Question
from oxaigen_auth._validation.verdict import Unavailable, Verdict
from oxaigen_auth.errors import Reason, UnavailableReason
from oxaigen_auth.settings import OxaigenAuthSettings

_log = logging.getLogger("oxaigen_auth")

_TOKEN_DIGITS = 12
_LOGGED_BY_LOOKUP = frozenset(get_args(UnavailableReason))  # once for all its callers


@define(eq=False)
class _Limited:
    """Counts an event that is logged once a second at most."""

    clock: Callable[[], float]
    _count: int = field(default=0, init=False)
    _silent_until: float = field(default=-inf, init=False)

    def count(self) -> int:
        """Count the event. Return how many there were if it is to be logged now, otherwise 0."""
        self._count += 1
        now = self.clock()
        if now < self._silent_until:
            return 0
        self._silent_until = now + 1
        return self._count


@define(eq=False)
class LogObserver(Observer):
    """Logs refusals, failures and open circuits.

    Stale verdicts and refused entries of the shared store are logged once a second at most.
    """

    settings: OxaigenAuthSettings
    clock: Callable[[], float]
    _refusal_level: int = field(init=False)
    _stale: _Limited = field(init=False)
    _shared_refused: _Limited = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._stale, self._shared_refused = _Limited(self.clock), _Limited(self.clock)
        self._refusal_level = logging.getLevelNamesMapping()[self.settings.refusal_log_level]

    def on_lookup(self, question: Question, _: object, /) -> None:
        if question.base_url == self.settings.dev_mode_url:
            _warn_of_dev_mode()

    def on_refusal(self, question: Question | None, reason: Reason, /) -> None:
        if _log.isEnabledFor(self._refusal_level) and reason not in _LOGGED_BY_LOOKUP:
            event = "denied" if reason == "permission_denied" else "refused"
            extra = _fields(event, question, reason)
            _log.log(self._refusal_level, "Caller refused: %s", reason, extra=extra)

    def on_verdict(self, question: Question, verdict: Verdict[Any], /) -> None:
        if isinstance(verdict, Unavailable):
            endpoint = "test-app-permission" if question.permission else "get-me"
            message = "Auth proxy unavailable: %s at %s: %s"
            extra = _fields("unavailable", question, verdict.reason)
            subject = (endpoint, question.base_url, verdict.detail)
            _log.log(verdict.log_level, message, *subject, extra=extra)

    def on_ping_failed(self, question: Question, verdict: Unavailable, /) -> None:
        message = "Auth proxy did not answer a ping: %s: %s"
        extra = {
            "auth_event": "ping_failed",
            "auth_reason": verdict.reason,
            "auth_base_url": question.base_url,
        }
        _log.log(verdict.log_level, message, question.base_url, verdict.detail, extra=extra)

    def on_queue_timeout(self, question: Question, /) -> None:
        _log.warning(
            "A lookup at the auth proxy %s got no connection within %g s, because too many others "
            "are running: the proxy or another one is slow, or OXAIGEN_AUTH_MAX_CONNECTIONS is too "
            "low",
            question.base_url,
            self.settings.proxy_timeout_seconds,
            extra=_fields("unavailable", question, "overloaded"),
        )

    def on_circuit_open(self, base_url: str, backoff: float, /) -> None:
        _log.warning(
            "Auth proxy %s failed repeatedly: its circuit is open. Lookups fail at once, and from "
            "%.1f s on single ones probe it",
            base_url,
            backoff,
            extra={"auth_event": "circuit_open", "auth_base_url": base_url},
        )

    def on_circuit_closed(self, base_url: str, /) -> None:
        extra = {"auth_event": "circuit_closed", "auth_base_url": base_url}
        _log.info("Auth proxy %s has answered: its circuit is closed", base_url, extra=extra)

    def on_shared_entry_refused(self, question: Question, /) -> None:
        count = self._shared_refused.count()
        if count:
            _log.info(
                "An entry of the shared store was refused: it is forgotten, damaged or forged "
                "(%d so far). The auth proxy %s is asked instead",
                count,
                question.base_url,
                extra={"auth_event": "shared_entry_refused", "auth_base_url": question.base_url},
            )

    def on_shared_store_failed(self, store: str, operation: str, problem: str, /) -> None:
        _log.error(
            "The shared store %s failed to %s: %s. Until %s, this process asks the auth proxy "
            "itself, and may learn late what other processes forget. `oxaigen-auth doctor` checks "
            "the store",
            store,
            operation,
            problem,
            "it is restarted" if operation == "open" else "the store works again",
            extra={"auth_event": "shared_store_failed"},
        )

    def on_shared_store_recovered(self, store: str, operation: str, /) -> None:
        extra = {"auth_event": "shared_store_recovered"}
        _log.warning("The shared store %s works again (%s)", store, operation, extra=extra)

    def on_stale(self, question: Question, /) -> None:
        count = self._stale.count()
        if count:
            message = "Auth proxy %s unavailable: served a stale verdict (%d so far)"
            extra = _fields("stale", question, "stale")
            _log.warning(message, question.base_url, count, extra=extra)


def _fields(event: str, question: Question | None, reason: Reason) -> dict[str, str]:
    """Return the extra fields of a log record."""
    fields: dict[str, str] = {"auth_event": event, "auth_reason": reason}
    if question is not None:
        fields["auth_base_url"] = question.base_url
        fields["auth_token"] = question.fingerprint.hex()[:_TOKEN_DIGITS]
        if question.permission:
            fields["auth_permission"] = question.permission
    return fields


@process_cache
def _warn_of_dev_mode() -> None:
    _log.warning(
        "OXAIGEN_AUTH_DEV_MODE is on: the auth proxy is the development one at "
        "OXAIGEN_AUTH_DEV_PROXY_URL, where a mock accepts tokens. Never use it in production."
    )
