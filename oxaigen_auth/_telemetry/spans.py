"""The span of a lookup, after the semantic conventions for HTTP clients (1.23 and later)."""

from __future__ import annotations

from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from opentelemetry.context import (
    _SUPPRESS_HTTP_INSTRUMENTATION_KEY,  # has no public name; instrumentations use it
    Context,
    attach,
    set_value,
)
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanKind,
    StatusCode,
    Tracer,
    get_current_span,
    set_span_in_context,
)

from oxaigen_auth._telemetry.metrics import verdict_name
from oxaigen_auth._validation.question import Question
from oxaigen_auth._validation.verdict import Unavailable, Verdict, refusal_reason

MAX_PROXIES = 256  # whose attributes are kept


def url_template(question: Question) -> str:
    name = "test-app-permission/{name}" if question.permission else "get-me"
    return f"/_oxa_auth/{name}"


def start_span(tracer: Tracer, question: Question, *, background: bool) -> Span:
    """Start the span of a lookup, as a child of the caller's span.

    Of the caller's context, only the identity of its span is used. A lookup in the background is
    not part of the caller's work, so its span is a root, with a link to the caller's.
    """
    caller = get_current_span().get_span_context()
    context = Context()
    if not background:
        context = set_span_in_context(NonRecordingSpan(caller), context)
    template = url_template(question)
    method = "POST" if question.permission else "GET"
    path = template.format(name=question.permission)
    attributes = {
        "http.request.method": method,
        **_server(question.base_url),
        "url.full": question.base_url + path,
        "url.template": template,
    }
    if question.permission:
        attributes["oxaigen_auth.permission"] = question.permission
    links = [Link(caller)] if background and caller.is_valid else []
    name = f"{method} {template}"
    return tracer.start_span(name, context, SpanKind.CLIENT, attributes, links)


def enter(span: Span) -> None:
    """Make the span the current one in the task of its lookup, and silence HTTP instrumentations.

    The span is that of the HTTP request, so an instrumentation of the HTTP library would count the
    request twice. The context is the task's own and ends with it: nothing has to be detached.
    """
    context = set_span_in_context(span, Context())
    attach(set_value(_SUPPRESS_HTTP_INSTRUMENTATION_KEY, True, context))  # noqa: FBT003


def end_span(span: Span, verdict: Verdict[Any] | None) -> None:
    """End the span of a lookup with its verdict; None if the lookup was cancelled.

    Only *unavailable* is an error. The conventions make a 401 an error of the client, but here it
    is an answer like any other: whoever sends invalid tokens must not cause alerts.
    """
    span.set_attribute("oxaigen_auth.verdict", verdict_name(verdict))
    reason = None if verdict is None else refusal_reason(verdict)
    if reason is not None:
        span.set_attribute("oxaigen_auth.reason", reason)
    if isinstance(verdict, Unavailable):
        span.set_attribute("error.type", verdict.reason)
        span.set_status(StatusCode.ERROR, verdict.detail)
    span.end()


@lru_cache(maxsize=MAX_PROXIES)
def _server(base_url: str) -> dict[str, str | int]:
    url = urlsplit(base_url)
    port = url.port or (443 if url.scheme == "https" else 80)
    return {"server.address": url.hostname or "", "server.port": port}
