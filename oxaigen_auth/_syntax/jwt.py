"""Reads when a JWT expires, without verifying it: the proxy does that."""

from __future__ import annotations

import json
import re
from math import isnan

from oxaigen_auth._syntax.base64url import decode

_FORM = re.compile(r"[A-Za-z0-9_-]+\.([A-Za-z0-9_-]+)\.[A-Za-z0-9_-]*")


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
    decoded = decode(payload)
    try:
        return None if decoded is None else json.loads(decoded.decode(), parse_int=float)
    except (ValueError, RecursionError):
        return None
