"""Parses a body as JSON, and accepts only values that can be serialized again.

The cost is linear in the length of the body.
"""

from __future__ import annotations

import json
from typing import Any, NoReturn

MAX_DEPTH = 32

# The charsets other than Unicode's that `Content-Type` may declare, with Python's names.
_SINGLE_BYTE = {"iso-8859-1": "latin-1", "us-ascii": "ascii", "windows-1252": "cp1252"}


class WireError(ValueError):
    """The answer does not have the documented shape. The message has its location, but no value."""


def parse_json(body: bytes, charset: str = "") -> Any:
    """Decode JSON that can be encoded again: no NaN, no infinity, no lone surrogates, not deep.

    If an object repeats a name, the last value counts (RFC 8259 §4 leaves it open).
    `charset` is the one of the `Content-Type`, in lower case.

    Raises:
        WireError: the body is not such JSON.
    """
    try:
        text = _text(body, charset)
        data = _DECODER.decode(text)
        if "\\u" in text:
            json.dumps(data, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        raise WireError("the body is not valid JSON") from None
    if text.count("[") + text.count("{") > MAX_DEPTH and _depth(data) > MAX_DEPTH:
        raise WireError(f"the body is nested more than {MAX_DEPTH} levels deep")
    return data


def _text(body: bytes, charset: str) -> str:
    """Decode UTF-8, or the encoding of Unicode that the first bytes show.

    A byte order mark is removed (RFC 8259 §8.1). The declared charset counts only if the bytes are
    not Unicode: JSON has no charset, and servers often declare a wrong one.

    Raises:
        UnicodeDecodeError: the bytes are not text.
    """
    try:
        return body.decode(json.detect_encoding(body))
    except UnicodeDecodeError:
        if charset not in _SINGLE_BYTE:
            raise
        return body.decode(_SINGLE_BYTE[charset])


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)


def _finite(digits: str) -> float:
    number = float(digits)
    return number if abs(number) < float("inf") else _refuse(digits)


_DECODER = json.JSONDecoder(parse_constant=_refuse, parse_float=_finite)


def _depth(data: object) -> int:
    """Count levels of nesting, without recursion and no further than needed."""
    level, depth = [data], 0
    while level and depth <= MAX_DEPTH:
        inner = [x for x in level if isinstance(x, list | dict)]
        level = [y for x in inner for y in (x.values() if isinstance(x, dict) else x)]
        depth += bool(inner)
    return depth
