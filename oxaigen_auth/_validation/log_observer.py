"""Logs the events that concern an operator."""

from __future__ import annotations

import logging
from collections.abc import Callable
from math import inf
from typing import Any

from attrs import define, field

from oxaigen_auth._core.process_cache import process_cache
from oxaigen_auth._validation.observer import Observer
from oxaigen_auth._validation.question import Question
from oxaigen_auth._validation.verdict import Unavailable, Verdict
from oxaigen_auth.settings import OxaigenAuthSettings

_log = logging.getLogger("oxaigen_auth")


@define(eq=False)
class LogObserver(Observer):
    """Logs failures, open circuits, and stale verdicts; the latter at most once a second."""

    settings: OxaigenAuthSettings
    clock: Callable[[], float]
    _stale: int = field(default=0, init=False)
    _silent_until: float = field(default=-inf, init=False)

    def on_lookup(self, question: Question, /) -> None:
        if question.base_url == self.settings.dev_mode_url:
            _warn_of_dev_mode()

    def on_verdict(self, question: Question, verdict: Verdict[Any], /) -> None:
        if isinstance(verdict, Unavailable):
            endpoint = "test-app-permission" if question.permission else "get-me"
            message = "Auth proxy unavailable: %s at %s: %s"
            _log.log(verdict.log_level, message, endpoint, question.base_url, verdict.reason)

    def on_queue_timeout(self, question: Question, /) -> None:
        _log.warning(
            "A lookup at the auth proxy %s got no connection within %g s, because too many others "
            "are running: the proxy or another one is slow, or OXAIGEN_AUTH_MAX_CONNECTIONS is too "
            "low",
            question.base_url,
            self.settings.proxy_timeout_seconds,
        )

    def on_circuit_open(self, base_url: str, backoff: float, /) -> None:
        _log.warning(
            "Auth proxy %s failed repeatedly: its circuit is open. Lookups fail at once, and from "
            "%.1f s on single ones probe it",
            base_url,
            backoff,
        )

    def on_stale(self, question: Question, /) -> None:
        self._stale += 1
        now = self.clock()
        if now >= self._silent_until:
            self._silent_until = now + 1
            message = "Auth proxy %s unavailable: served a stale verdict (%d so far)"
            _log.warning(message, question.base_url, self._stale)


@process_cache
def _warn_of_dev_mode() -> None:
    _log.warning(
        "OXAIGEN_AUTH_DEV_MODE is on: the auth proxy is the development one at "
        "OXAIGEN_AUTH_DEV_PROXY_URL, where a mock accepts tokens. Never use it in production."
    )
