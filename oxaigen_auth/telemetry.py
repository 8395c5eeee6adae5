"""OpenTelemetry: a span for each lookup, and metrics. Needs the extra `otel`.

Neither holds a token or its fingerprint, and no attribute of a metric comes from a request.
docs/telemetry.md lists the spans and metrics.
"""

from __future__ import annotations

import logging
from collections.abc import Hashable
from time import perf_counter
from typing import Any

from attrs import define

try:
    from opentelemetry.context import Context
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import (
        Span,
        TracerProvider,
        get_current_span,
        get_tracer,
        set_span_in_context,
    )
except ImportError as _missing:
    raise ImportError(
        'oxaigen_auth.telemetry needs an extra: pip install "oxaigen-auth[otel]"'
    ) from _missing

from oxaigen_auth._default_client import default_client
from oxaigen_auth._telemetry.metrics import metrics_of, verdict_name
from oxaigen_auth._telemetry.spans import end_span, enter, start_span, url_template
from oxaigen_auth._validation.observer import process_observers
from oxaigen_auth._version import __version__
from oxaigen_auth.observers import (
    Accepted,
    Observer,
    Question,
    Reason,
    Rejected,
    Unavailable,
    Verdict,
)

_log = logging.getLogger("oxaigen_auth")

__all__ = ["OxaigenAuthInstrumentor", "TelemetryObserver", "instrument", "uninstrument"]


@define(eq=False)
class _Running:
    """A lookup that has not ended. `started_at` is in seconds, on the clock `perf_counter`."""

    span: Span
    started_at: float
    coalesced: int = 0
    has_asked: bool = False


class TelemetryObserver(Observer):
    """Reports the lookups of a client as spans, and what happens to its callers as metrics.

    Several clients may share an observer. `instrument` adds one to all clients.

    Args:
        tracer_provider: Default: the global one, which may be set later.
        meter_provider: Default: the global one, which may be set later.

    Raises:
        TypeError: an argument is not a provider.

    >>> from oxaigen_auth import ProxyAuthClient
    >>> client = ProxyAuthClient("https://app.example.com", observers=[TelemetryObserver()])
    """

    def __init__(
        self,
        *,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
    ) -> None:
        _check("tracer_provider", tracer_provider, TracerProvider)
        _check("meter_provider", meter_provider, MeterProvider)
        self._tracer = get_tracer("oxaigen_auth", __version__, tracer_provider)
        self._metrics = metrics_of(meter_provider)
        self._running: dict[Hashable, _Running] = {}

    def on_hit(self, _: Question, verdict: Verdict[Any], /) -> None:
        self._metrics.verdicts.add("hit", verdict)

    def on_miss(self, _: Question, /) -> None:
        self._metrics.waiting.add(1)

    def on_coalesced(self, _: Question, lookup: Hashable, /) -> None:
        self._metrics.coalesced.add(1)
        running = self._running[lookup]
        running.coalesced += 1
        caller = get_current_span()
        if caller.is_recording():
            caller.add_link(running.span.get_span_context())

    def on_result(self, _: Question, verdict: Verdict[Any] | None, /) -> None:
        self._metrics.waiting.add(-1)
        self._metrics.verdicts.add("miss", verdict)

    def on_refusal(self, _: Question | None, reason: Reason, /) -> None:
        self._metrics.refused.add(1, {"oxaigen_auth.reason": reason})

    def on_start(self, question: Question, lookup: Hashable, /, *, background: bool) -> None:
        self._metrics.in_flight.add(1)
        span = start_span(self._tracer, question, background=background)
        self._running[lookup] = _Running(span, perf_counter())

    def on_lookup(self, _: Question, lookup: Hashable, /) -> None:
        running = self._running[lookup]
        running.has_asked = True
        enter(running.span)

    def on_upstream_response(self, status: int, /) -> None:
        get_current_span().set_attribute("http.response.status_code", status)

    def on_short_circuited(self, question: Question, /) -> None:
        self._metrics.circuits.add(question.base_url)

    def on_end(self, question: Question, lookup: Hashable, verdict: Verdict[Any] | None, /) -> None:
        self._metrics.in_flight.add(-1)
        running = self._running.pop(lookup)
        attributes = {
            "oxaigen_auth.verdict": verdict_name(verdict),
            "url.template": url_template(question),
        }
        if isinstance(verdict, Unavailable):
            attributes["error.type"] = verdict.reason
        # An exemplar refers to the span in this context, which may be that of any caller otherwise.
        context = set_span_in_context(running.span, Context())
        self._metrics.duration.record(perf_counter() - running.started_at, attributes, context)
        running.span.set_attribute("oxaigen_auth.callers.coalesced", running.coalesced)
        if isinstance(verdict, Accepted | Rejected) and not running.has_asked:
            running.span.set_attribute("oxaigen_auth.shared", True)  # noqa: FBT003
        end_span(running.span, verdict)

    def on_circuit_open(self, base_url: str, _: float, /) -> None:
        self._metrics.circuits.add(base_url)

    def on_circuit_closed(self, base_url: str, /) -> None:
        self._metrics.circuits.remove(base_url)

    def on_shared_hit(self, _: Question, __: Verdict[Any], /) -> None:
        self._metrics.shared.add(1, {"oxaigen_auth.outcome": "hit"})

    def on_shared_miss(self, _: Question, /) -> None:
        self._metrics.shared.add(1, {"oxaigen_auth.outcome": "miss"})

    def on_shared_entry_refused(self, _: Question, /) -> None:
        self._metrics.shared.add(1, {"oxaigen_auth.outcome": "refused"})

    def on_shared_store_failed(self, store: str, operation: str, _: str, /) -> None:
        self._metrics.failing_stores.add(store, operation)

    def on_shared_store_recovered(self, store: str, operation: str, /) -> None:
        self._metrics.failing_stores.remove(store, operation)


def instrument(
    *,
    tracer_provider: TracerProvider | None = None,
    meter_provider: MeterProvider | None = None,
) -> None:
    """Add a `TelemetryObserver` to all clients that are made from now on in this process.

    This includes the client of the dependencies, so call it when the app is imported. A client that
    was given a `TelemetryObserver` keeps that one only. Another call replaces the providers.

    Raises:
        TypeError: an argument is not a provider.

    >>> instrument()
    >>> uninstrument()
    """
    observer = TelemetryObserver(tracer_provider=tracer_provider, meter_provider=meter_provider)
    uninstrument()
    process_observers.append(observer)
    if default_client.cache_info().currsize:
        _log.warning(
            "instrument() was called too late: it does not observe the client of the dependencies, "
            "which was made before. Call it when the app is imported, not in its lifespan"
        )


def uninstrument() -> None:
    """End what `instrument` began, for all clients that are made from now on."""
    process_observers[:] = [it for it in process_observers if not isinstance(it, TelemetryObserver)]


class OxaigenAuthInstrumentor:
    """Calls `instrument` for the command `opentelemetry-instrument`, which finds this class."""

    def instrument(self, **options: Any) -> None:
        """Call `instrument`, with the providers if they are among the options."""
        names = ("tracer_provider", "meter_provider")
        instrument(**{name: options.get(name) for name in names})

    def uninstrument(self, **_: Any) -> None:
        uninstrument()


def _check(name: str, value: object, kind: type) -> None:
    if not isinstance(value, kind | None):
        raise TypeError(
            f"{name} must be a {kind.__name__}, not {type(value).__name__}: write "
            f"{name}={'trace' if kind is TracerProvider else 'metrics'}.get_{name}()"
        )
