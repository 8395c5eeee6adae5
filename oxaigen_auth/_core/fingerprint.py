"""Keys that stand for a secret without holding it."""

from __future__ import annotations

from hashlib import blake2b
from secrets import token_bytes

# The random key makes a fingerprint worthless outside this process, and collisions unplannable.
_KEYED = blake2b(key=token_bytes(32), digest_size=16)


def fingerprint(*parts: str) -> bytes:
    """Return 16 bytes that are the same, in this process, only for the same parts in this order.

    Each part is preceded by its length, so that ("ab", "c") and ("a", "bc") differ.
    """
    digest = _KEYED.copy()
    digest.update("".join([f"{len(part)}:{part}" for part in parts]).encode(errors="surrogatepass"))
    return digest.digest()
