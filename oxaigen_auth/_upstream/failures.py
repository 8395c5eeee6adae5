"""Describes why a call failed, for the log: by types and codes of exceptions, never by data."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Iterator


def why_it_failed(error: BaseException) -> str:
    """Return why a call failed, from the exception and its causes.

    The text contains names of types, and the operating system's or OpenSSL's text for a code. It
    contains no message of an exception, which could repeat the request.
    """
    name = type(error).__name__
    reasons = filter(None, map(_reason, _causes(error)))
    reason = next(reasons, None)
    return f"the call failed with {name}" + (f": {reason}" if reason else "")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an exception and its causes and contexts, each once, up to 32."""
    seen: set[int] = set()
    pending = [error]
    while pending and len(seen) < 32:  # noqa: PLR2004 (a bound against endless chains)
        one = pending.pop(0)
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        pending += [one.__cause__, one.__context__]
        if isinstance(one, BaseExceptionGroup):
            pending += one.exceptions


def _reason(error: BaseException) -> str | None:
    match error:
        case ssl.SSLCertVerificationError():
            return "the certificate is not trusted" + _library_text(error, "verify_message")
        case ssl.SSLError():
            return "TLS failed" + _library_text(error, "reason")
        case socket.gaierror():
            return "the host name was not found" + _library_text(error, "strerror")
        case ConnectionRefusedError():
            return "the connection was refused"
        case OSError(errno=int(code)) if code > 0:
            return os.strerror(code).lower()
        case _:
            return None


def _library_text(error: Exception, attribute: str) -> str:
    """Return a library's text in parentheses, such as " (Temporary failure in name resolution)"."""
    text = getattr(error, attribute, None)
    return f" ({text})" if text else ""
