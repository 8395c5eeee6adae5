"""A keyed hash that identifies a secret without holding it (RFC 7693 §2.9)."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from secrets import token_bytes


def keyed_fingerprint(key: bytes, purpose: bytes = b"") -> Callable[[str], bytes]:
    """Return a function that returns 16 bytes, which are equal only for equal secrets.

    Without the key, a fingerprint is useless, and collisions cannot be planned. With another
    purpose, of at most 16 bytes, the fingerprints are others.
    """
    keyed = blake2b(key=key, person=purpose, digest_size=16)

    def fingerprint(secret: str) -> bytes:
        digest = keyed.copy()
        digest.update(str.encode(secret, "utf-8", "surrogatepass"))  # whatever a subclass overrides
        return digest.digest()

    return fingerprint


fingerprint = keyed_fingerprint(token_bytes(32))  # useless outside this process
