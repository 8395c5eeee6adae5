"""A keyed hash that identifies a secret without holding it (RFC 7693 §2.9)."""

from __future__ import annotations

from hashlib import blake2b
from secrets import token_bytes

# The random key makes a fingerprint useless outside this process, and prevents planned collisions.
_KEYED = blake2b(key=token_bytes(32), digest_size=16)


def fingerprint(secret: str) -> bytes:
    """Return 16 bytes that are equal, within this process, only for equal secrets."""
    digest = _KEYED.copy()
    digest.update(str.encode(secret, "utf-8", "surrogatepass"))  # whatever a subclass overrides
    return digest.digest()
