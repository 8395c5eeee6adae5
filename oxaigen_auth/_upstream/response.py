"""Turns an HTTP answer of the proxy into a verdict. No I/O."""

from __future__ import annotations

import logging
import re
import zlib
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from math import ceil

from attrs import frozen

from oxaigen_auth._upstream.json_body import WireError, parse_json
from oxaigen_auth._upstream.profile import parse_user
from oxaigen_auth._validation.verdict import Accepted, Rejected, Unavailable, Verdict
from oxaigen_auth.models import User

MOCK_HEADER = "X-Oxaigen-Mock"  # on each answer of the mock
MOCKED = Unavailable(
    "a mock answered in production, where its answers are ignored; set the URL of the real proxy",
    log_level=logging.ERROR,
    reason="mock_refused",
)
MAX_BODY = 256 * 1024  # bytes, also after decompression
MAX_DETAIL = 200  # characters
_OUTAGE = {502, 503, 504}  # a gateway or a server cannot answer
MAX_RETRY_AFTER = 24 * 60 * 60  # seconds

_CHARSET = re.compile(r';\s*charset="?([a-z0-9_-]+)')


class AnswerError(Exception):
    """The answer is not usable. The message is for the log."""


@frozen
class Answer:
    """An answer as it was received: its body may be compressed."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def decompress(body: bytes, encoding: str) -> bytes:
    """Decompress a body, although no compression was requested, up to `MAX_BODY`."""
    named = [coding.strip() for coding in encoding.lower().split(",")]
    codings = [coding for coding in named if coding not in {"", "identity"}]
    if not codings:
        return body
    if len(codings) > 1 or codings[0] not in {"gzip", "x-gzip", "deflate"}:
        raise AnswerError("the body has a content encoding that was not asked for")
    stream = zlib.decompressobj(zlib.MAX_WBITS | 32)
    try:
        plain = stream.decompress(body, MAX_BODY)
    except zlib.error:
        raise AnswerError("the compressed body is damaged") from None
    if not stream.eof:
        raise AnswerError(f"the body is incomplete, or larger than {MAX_BODY} bytes")
    return plain


def read_user(answer: Answer, token: str) -> Verdict[User]:
    match answer.status:
        case 200:
            return _read_profile(answer)
        case 401:
            return Rejected(_detail(answer, token, "Invalid token"))
        case 403:
            default = "Not allowed for this application"
            return Rejected(_detail(answer, token, default), forbidden=True, reason="app_forbidden")
        case _:
            return _no_verdict(answer)


def _read_profile(answer: Answer) -> Verdict[User]:
    try:
        user = parse_user(_plain(answer), _charset(answer))
    except AnswerError as error:
        return Unavailable(str(error))
    except WireError as error:
        return Unavailable(f"the profile is not usable: {error}")
    if user.is_authenticated:
        return Accepted(user)
    return Rejected("Not authenticated", reason="not_authenticated")


def read_permission(answer: Answer, token: str) -> Verdict[bool]:
    match answer.status:
        case 200:
            return _read_grant(answer)
        case 401:
            return Rejected(_detail(answer, token, "Invalid token"))
        case 403:
            return Accepted(value=False)
        case _:
            return _no_verdict(answer)


def _read_grant(answer: Answer) -> Verdict[bool]:
    try:
        granted = parse_json(_plain(answer), _charset(answer)) is True
    except AnswerError as error:
        return Unavailable(str(error))
    except WireError:
        granted = False
    return Accepted(value=True) if granted else Unavailable("the body is not the JSON word true")


def _plain(answer: Answer) -> bytes:
    return decompress(answer.body, answer.headers.get("content-encoding", ""))


def _charset(answer: Answer) -> str:
    found = _CHARSET.search(answer.headers.get("content-type", "").lower())
    return found[1] if found else ""


def _no_verdict(answer: Answer) -> Unavailable:
    return Unavailable(
        f"the status was {answer.status}",
        _retry_after(answer.headers),
        is_outage=answer.status in _OUTAGE,
        reason="error_status",
    )


def _detail(answer: Answer, token: str, default: str) -> str:
    """Return the proxy's detail if it is one short line that shows no token."""
    try:
        detail = parse_json(_plain(answer), _charset(answer))["detail"]
    except (AnswerError, WireError, TypeError, KeyError, IndexError):
        return default
    if not isinstance(detail, str) or not 0 < len(detail) <= MAX_DETAIL:
        return default
    safe = detail.isprintable() and not any(x in detail for x in ("<", "://", token))
    return detail if safe else default


def _retry_after(headers: Mapping[str, str]) -> int | None:
    """Return `Retry-After` in seconds, from either of its forms (RFC 9110 §10.2.3)."""
    text = headers.get("retry-after", "")
    if text.isascii() and text.isdigit():
        return min(int(text[:9]), MAX_RETRY_AFTER)
    try:
        seconds = (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds()
    except (ValueError, TypeError, OverflowError):
        return None
    return min(max(ceil(seconds), 0), MAX_RETRY_AFTER)
