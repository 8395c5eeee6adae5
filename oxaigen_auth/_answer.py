"""What an HTTP answer of the proxy means. Pure: knows no HTTP library and no network."""

from __future__ import annotations

import logging
import zlib
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from math import ceil
from typing import TYPE_CHECKING

from attrs import frozen

from oxaigen_auth._wire import WireError, parse_json, parse_user
from oxaigen_auth.verdict import Accepted, Rejected, Unavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from oxaigen_auth.models import User
    from oxaigen_auth.verdict import Verdict

MOCK_HEADER = "X-Oxaigen-Mock"  # with which the mock marks each of its answers
MOCKED = Unavailable(
    "a mock answered in production, where none is believed; make this URL the real proxy's",
    log_level=logging.ERROR,
)
MAX_BODY = 1024 * 1024  # bytes
MAX_DETAIL = 200  # characters
_OUTAGE = {502, 503, 504}  # with which a gateway or a server says that it cannot answer
MAX_RETRY_AFTER = 24 * 60 * 60  # seconds


class AnswerError(Exception):
    """The answer cannot be used. The message is for the log."""


@frozen
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes


def decompress(body: bytes, encoding: str) -> bytes:
    """Undo a compression that was not asked for, without ever holding more than `MAX_BODY`."""
    if encoding == "identity":
        return body
    if encoding not in {"gzip", "x-gzip", "deflate"}:
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
            return _read_profile(answer.body)
        case 401:
            return Rejected(_detail(answer, token, "Invalid token"))
        case 403:
            default = "Not allowed for this application"
            return Rejected(_detail(answer, token, default), forbidden=True)
        case _:
            return _no_verdict(answer)


def _read_profile(body: bytes) -> Verdict[User]:
    try:
        user = parse_user(body)
    except WireError as error:
        return Unavailable(f"the profile is not usable: {error}")
    return Accepted(user) if user.is_authenticated else Rejected("Not authenticated")


def read_permission(answer: Answer, token: str) -> Verdict[bool]:
    match answer.status:
        case 200:
            return _read_grant(answer.body)
        case 401:
            return Rejected(_detail(answer, token, "Invalid token"))
        case 403:
            return Accepted(value=False)
        case _:
            return _no_verdict(answer)


def _read_grant(body: bytes) -> Verdict[bool]:
    try:
        granted = parse_json(body) is True
    except WireError:
        granted = False
    return Accepted(value=True) if granted else Unavailable("the body is not the JSON word true")


def _no_verdict(answer: Answer) -> Unavailable:
    return Unavailable(
        f"the status was {answer.status}",
        _retry_after(answer.headers),
        is_outage=answer.status in _OUTAGE,
    )


def _detail(answer: Answer, token: str, default: str) -> str:
    """Return the proxy's detail if it is one short sentence that gives nothing away."""
    try:
        detail = parse_json(answer.body)["detail"]
    except (WireError, TypeError, KeyError, IndexError):
        return default
    if not isinstance(detail, str) or not 0 < len(detail) <= MAX_DETAIL:
        return default
    safe = detail.isprintable() and not any(x in detail for x in ("<", "://", token))
    return detail if safe else default


def _retry_after(headers: Mapping[str, str]) -> int | None:
    """Return `Retry-After` in seconds, whichever form it has (RFC 9110 §10.2.3)."""
    text = headers.get("retry-after", "")
    if text.isascii() and text.isdigit():
        return min(int(text[:9]), MAX_RETRY_AFTER)
    try:
        seconds = (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds()
    except (ValueError, TypeError, OverflowError):
        return None
    return min(max(ceil(seconds), 0), MAX_RETRY_AFTER)
