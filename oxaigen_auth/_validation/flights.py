"""The lookups that run in an event loop, and the events that an observer receives."""

from __future__ import annotations

from collections.abc import Container
from typing import Any, cast

from oxaigen_auth._core.flight import Flight, FlightCancelledError, FlightError, FlightTimeoutError
from oxaigen_auth._core.singleflight import SingleFlight
from oxaigen_auth._validation.observer import Observer
from oxaigen_auth._validation.question import FlightKey, Question
from oxaigen_auth._validation.verdict import Unavailable, Verdict
from oxaigen_auth.errors import Reason
from oxaigen_auth.settings import OxaigenAuthSettings


def new_flights(
    settings: OxaigenAuthSettings, observer: Observer, proven: Container[str]
) -> SingleFlight[Verdict[Any]]:
    """Return the flights of an event loop. `proven` are base URLs that accepted a token."""
    return SingleFlight(
        on_start=lambda it, background: observer.on_start(_question(it), it, background=background),
        on_join=lambda it: observer.on_coalesced(_question(it), it),
        on_finish=lambda it: observer.on_end(_question(it), it, _outcome(it)),
        on_timeout=lambda key: observer.on_queue_timeout(key.question),
        capacity=settings.max_connections,
        max_wait=settings.proxy_timeout_seconds,
        share_of=lambda key: key.question.base_url,
        proven=proven,
    )


def unavailable_after(error: FlightError, *, closed: bool) -> Unavailable:
    """Return the verdict for a lookup that ended without one."""
    timed_out = isinstance(error, FlightTimeoutError)
    reason: Reason = "overloaded" if timed_out else "client_closed" if closed else "internal_error"
    return Unavailable(str(error), timed_out=timed_out, reason=reason)


def _question(flight: Flight[Verdict[Any]]) -> Question:
    return cast("FlightKey", flight.key).question


def _outcome(flight: Flight[Verdict[Any]]) -> Verdict[Any] | None:
    """Return the verdict of a finished lookup, or None if it was cancelled."""
    try:
        return flight.result()
    except FlightCancelledError:
        return None
    except FlightError as error:
        return unavailable_after(error, closed=False)
