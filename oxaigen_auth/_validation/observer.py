"""The events of validation, for counts, logs, audit trails, metrics and spans."""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Iterable
from inspect import iscoroutinefunction
from typing import Any

from oxaigen_auth._hints.variables import suggest
from oxaigen_auth._validation.question import Question
from oxaigen_auth._validation.verdict import Unavailable, Verdict
from oxaigen_auth.errors import Reason

_log = logging.getLogger("oxaigen_auth")


class Observer:
    """Receives the events of a client. Derive from it, and override the methods that you need.

    The methods are called in the thread of the event loop, and delay what they observe. They must
    be safe to call from several threads if the client serves several event loops. An exception is
    logged and changes nothing else.

    For each question of a caller, `on_hit` is called, or `on_miss` and later `on_result`;
    `on_refusal` follows if the caller is refused. These, `on_coalesced` and `on_start` run with the
    context variables of the caller. For each lookup, `on_start` is called, and later `on_end`. The
    events in between run in a task of the lookup, which has no context variables of any caller.

    `lookup` is an object that identifies a lookup from its start to its end.

    >>> class AuditTrail(Observer):
    ...     def on_refusal(self, question: Question | None, reason: Reason, /) -> None:
    ...         print("refused:", reason)
    """

    def on_hit(self, question: Question, verdict: Verdict[Any], /) -> None:
        """A question was answered from the cache."""

    def on_miss(self, question: Question, /) -> None:
        """A caller needs a lookup."""

    def on_retry(self, question: Question, /) -> None:
        """The caller of `on_miss` needs another lookup, as the first one does not count for it.

        Its token was forgotten meanwhile, or it had joined a lookup that timed out.
        """

    def on_coalesced(self, question: Question, lookup: Hashable, /) -> None:
        """A caller joined the lookup of another one."""

    def on_result(self, question: Question, verdict: Verdict[Any] | None, /) -> None:
        """The caller of `on_miss` got its verdict; None if the caller was cancelled."""

    def on_refusal(self, question: Question | None, reason: Reason, /) -> None:
        """A caller does not get what it asked for.

        Its token, its host or its address is refused, or it lacks a permission or a role. The
        question is None if there is none, as for an invalid host. If a route needs several
        permissions, their names are separated by spaces. A request without a token is not reported,
        as its route may be public.
        """

    def on_start(self, question: Question, lookup: Hashable, /, *, background: bool) -> None:
        """A lookup started. With `background`, it refreshes a cached verdict before its TTL ends.

        It does not ask the proxy yet, as it may have to wait for other lookups.
        """

    def on_queue_timeout(self, question: Question, /) -> None:
        """A lookup was not asked in time, because too many others were running."""

    def on_lookup(self, question: Question, lookup: Hashable, /) -> None:
        """A lookup is about to ask the proxy."""

    def on_short_circuited(self, question: Question, /) -> None:
        """A lookup did not ask the proxy, because its circuit is open."""

    def on_upstream_call(self) -> None:
        """A request is sent to the proxy. A lookup may send a second one on a new connection."""

    def on_upstream_response(self, status: int, /) -> None:
        """The proxy answered the request with this status."""

    def on_verdict(self, question: Question, verdict: Verdict[Any], /) -> None:
        """A lookup asked the proxy and got this verdict."""

    def on_end(self, question: Question, lookup: Hashable, verdict: Verdict[Any] | None, /) -> None:
        """A lookup ended with this verdict.

        None if it was cancelled, because no caller waits any more or the client was closed.
        """

    def on_circuit_open(self, base_url: str, backoff: float, /) -> None:
        """The circuit of a proxy opened. The first probe is due in `backoff` seconds."""

    def on_circuit_closed(self, base_url: str, /) -> None:
        """A proxy whose circuit was open has answered."""

    def on_stale(self, question: Question, /) -> None:
        """A caller got a verdict past its TTL, because the proxy is unavailable."""

    def on_shared_hit(self, question: Question, verdict: Verdict[Any], /) -> None:
        """A lookup used the verdict of another process, from the shared store."""

    def on_shared_miss(self, question: Question, /) -> None:
        """A lookup found no verdict in the shared store, and asks the proxy."""

    def on_shared_entry_refused(self, question: Question, /) -> None:
        """An entry of the shared store was not used: forgotten, forged, moved or damaged."""

    def on_shared_store_failed(self, store: str, operation: str, problem: str, /) -> None:
        """The shared store failed repeatedly. Lookups go on without it, and try it now and then.

        The operation is "read" or "write"; or "open", if the client goes on without it for good.
        """

    def on_shared_store_recovered(self, store: str, operation: str, /) -> None:
        """The shared store works again."""

    def on_ping_failed(self, question: Question, verdict: Unavailable, /) -> None:
        """The proxy did not answer a ping. The question is one about an empty token."""

    def on_forget(self) -> None:
        """The app forgot a token, a user or all tokens."""


# Observers of all clients that are made from now on; see `oxaigen_auth.telemetry.instrument`.
process_observers: list[Observer] = []


class Observers(Observer):
    """Passes each event on to several observers: first to our own, then to those of the app."""

    def __init__(self, *observers: Observer, app_observers: Iterable[Observer] = ()) -> None:
        for name, default in vars(Observer).items():
            if name.startswith("on_"):
                own = [getattr(it, name) for it in observers if _overrides(it, name, default)]
                others = [
                    _guarded(f"{type(it).__name__}.{name}", getattr(it, name))
                    for it in app_observers
                    if _overrides(it, name, default)
                ]
                # An event with one listener, such as a hit, costs one call.
                handlers = [*own, *others]
                setattr(self, name, handlers[0] if len(handlers) == 1 else _notifier(handlers))


def check_observers(observers: Iterable[Observer]) -> tuple[Observer, ...]:
    """Return the observers that an app passes to a client.

    Raises:
        TypeError: one of them is no observer, or has a method that would never be called.
    """
    checked = tuple(observers)
    for observer in checked:
        if not isinstance(observer, Observer):
            raise TypeError(
                f"an observer must be an instance of a subclass of Observer, not {observer!r}: "
                "write observers=[AuditTrail()]"
            )
        for name in dir(observer):
            if name.startswith("on_"):
                _check_handler(observer, name)
    return checked


def _check_handler(observer: Observer, name: str) -> None:
    where = f"{type(observer).__name__}.{name}"
    if name not in vars(Observer):
        events = [event for event in vars(Observer) if event.startswith("on_")]
        hint = suggest(name, events) or f"the events are {', '.join(events)}"
        raise TypeError(f"{where} would never be called: {hint}")
    if iscoroutinefunction(getattr(observer, name)):
        raise TypeError(f"{where} would never run: events are not awaited; write def {name}(…)")


def _overrides(observer: Observer, name: str, default: object) -> bool:
    return getattr(getattr(observer, name), "__func__", None) is not default


def _notifier(handlers: list[Callable[..., None]]) -> Callable[..., None]:
    def notify(*event: Any, **options: Any) -> None:
        for handler in handlers:
            handler(*event, **options)

    return notify


def _guarded(name: str, handler: Callable[..., None]) -> Callable[..., None]:
    """Log what a handler of the app raises: it must neither refuse nor admit a caller."""

    def handle(*event: Any, **options: Any) -> None:
        try:
            handler(*event, **options)
        except Exception:  # noqa: BLE001 (whatever the app's code raises)
            _log.exception("An observer failed in %s", name)

    return handle
