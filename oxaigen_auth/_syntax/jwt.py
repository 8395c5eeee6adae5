"""Reads when a JWT expires, without verifying it: the proxy does that."""

from __future__ import annotations

import json
import re
from binascii import a2b_base64
from math import isnan

_FORM = re.compile(r"[A-Za-z0-9_-]+\.([A-Za-z0-9_-]+)\.[A-Za-z0-9_-]*")
_TO_STANDARD = str.maketrans("-_", "+/")  # from the URL-safe alphabet (RFC 4648 §5)


def expiry(token: str) -> float | None:
    """Return `exp` (RFC 7519 §4.1.4) in seconds since the epoch, from minus infinity to infinity.

    None if the token is not a JWT in compact form (RFC 7515 §7.1), or has no numeric `exp`. The
    result is unverified, so it may only shorten the use of a token.
    """
    match = _FORM.fullmatch(token)
    claims = None if match is None else _claims(match[1])
    exp = claims.get("exp") if isinstance(claims, dict) else None
    return exp if isinstance(exp, float) and not isnan(exp) else None


def _claims(payload: str) -> object:
    """Decode a payload. Numbers become floats, because an int of many digits is slow to parse."""
    try:
        padded = payload.translate(_TO_STANDARD) + "=" * (-len(payload) % 4)
        return json.loads(a2b_base64(padded).decode(), parse_int=float)
    except (ValueError, RecursionError):
        return None
