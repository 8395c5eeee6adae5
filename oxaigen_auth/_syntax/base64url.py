"""Base64 in its URL-safe form without padding (RFC 4648 §5, RFC 7515 §2)."""

from __future__ import annotations

import re
from binascii import a2b_base64

_ALPHABET = re.compile(r"[A-Za-z0-9_-]*")
_TO_STANDARD = str.maketrans("-_", "+/")


def decode(text: str) -> bytes | None:
    """Return the encoded bytes; None if the text is not base64url, or has padding."""
    if _ALPHABET.fullmatch(text) is None or len(text) % 4 == 1:
        return None
    return a2b_base64(text.translate(_TO_STANDARD) + "=" * (-len(text) % 4))
