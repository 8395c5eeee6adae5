"""The events of validation, for counts, logs, metrics and spans."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from oxaigen_auth._validation.question import Question
from oxaigen_auth._validation.verdict import Verdict


class Observer:
    """Receives each event. An override must not raise."""

    def on_hit(self, question: Question, /) -> None:
        """A question was answered from the cache."""

    def on_miss(self, question: Question, /) -> None:
        """A caller needs a lookup."""

    def on_coalesced(self) -> None:
        """A caller joined the lookup of another one."""

    def on_queue_timeout(self, question: Question, /) -> None:
        """A lookup got no slot in time, because too many others were running."""

    def on_lookup(self, question: Question, /) -> None:
        """A lookup is about to ask the proxy."""

    def on_upstream_call(self) -> None:
        """A request is sent to the proxy. A lookup may send a second one on a new connection."""

    def on_short_circuited(self, question: Question, /) -> None:
        """A lookup did not ask the proxy, because its circuit is open."""

    def on_verdict(self, question: Question, verdict: Verdict[Any], /) -> None:
        """A lookup asked the proxy and got this verdict."""

    def on_circuit_open(self, base_url: str, backoff: float, /) -> None:
        """The circuit of a proxy opened. The first probe is due in `backoff` seconds."""

    def on_stale(self, question: Question, /) -> None:
        """A caller got a verdict past its TTL, because the proxy is unavailable."""

    def on_refresh(self, question: Question, /) -> None:
        """A lookup was started before the TTL of a cached verdict ends."""

    def on_rate_limited(self) -> None:
        """A caller was refused because its address sent too many rejected tokens."""

    def on_forget(self) -> None:
        """A token was forgotten."""


class Observers(Observer):
    """Passes each event on to several observers, in their order."""

    def __init__(self, *observers: Observer) -> None:
        for name, default in vars(Observer).items():
            if name.startswith("on_"):
                listening = [it for it in observers if getattr(type(it), name) is not default]
                # An event with one listener, such as a hit, costs one call.
                handlers = [getattr(it, name) for it in listening]
                setattr(self, name, handlers[0] if len(handlers) == 1 else _notifier(handlers))


def _notifier(handlers: list[Callable[..., None]]) -> Callable[..., None]:
    def notify(*event: Any) -> None:
        for handler in handlers:
            handler(*event)

    return notify
