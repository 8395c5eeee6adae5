"""When a token that reads as a JWT expires. Verifies nothing: the proxy does that."""

from __future__ import annotations

import json
import re
from binascii import a2b_base64
from math import isnan

_FORM = re.compile(r"[A-Za-z0-9_-]+\.([A-Za-z0-9_-]+)\.[A-Za-z0-9_-]*")
_TO_STANDARD = str.maketrans("-_", "+/")  # from the URL-safe alphabet (RFC 4648 §5)


def expiry(token: str) -> float | None:
    """Return `exp` (RFC 7519 §4.1.4) in seconds since the epoch, from minus infinity to infinity.

    None if the token is no JWT in compact form (RFC 7515 §7.1), or has no `exp` that is a number.
    What is returned is not to be trusted, except that the token should not be used after it.
    """
    match = _FORM.fullmatch(token)
    claims = None if match is None else _claims(match[1])
    exp = claims.get("exp") if isinstance(claims, dict) else None
    return exp if isinstance(exp, float) and not isnan(exp) else None


def _claims(payload: str) -> object:
    """Decode a payload. Every number becomes a float, which no number of digits makes slow."""
    try:
        padded = payload.translate(_TO_STANDARD) + "=" * (-len(payload) % 4)
        return json.loads(a2b_base64(padded).decode(), parse_int=float)
    except (ValueError, RecursionError):
        return None
