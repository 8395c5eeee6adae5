"""Identifiers, seals and signatures made from the shared secrets. Only this module encrypts.

Of several secrets the first one seals and signs, and all of them are tried for reading, so that a
secret can be replaced while the workers run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import blake2b
from hmac import compare_digest
from os import urandom

from oxaigen_auth._core.fingerprint import keyed_fingerprint
from oxaigen_auth._shared.store import EntryKey
from oxaigen_auth.errors import OxaigenAuthConfigurationError

try:
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
except ImportError as _missing:
    raise OxaigenAuthConfigurationError(
        'OXAIGEN_AUTH_SHARED_STORE needs an extra: pip install "oxaigen-auth[shared]", or '
        '"oxaigen-auth[redis]" for a server'
    ) from _missing

_MAC_BYTES = 16
_NONCE_BYTES = 12  # NIST SP 800-38D §8.2.2: random, so at most 2**32 messages per key
_TAG_BYTES = 16


def _keyed(master: bytes, purpose: bytes, size: int = _MAC_BYTES) -> blake2b:
    """Return a keyed hash, whose outputs differ for each purpose (RFC 7693 §2.9)."""
    return blake2b(key=master, person=purpose, digest_size=size)


def _digest(keyed: blake2b, data: bytes) -> bytes:
    digest = keyed.copy()
    digest.update(data)
    return digest.digest()


def _bytes(text: str) -> bytes:
    return str.encode(text, "utf-8", "surrogatepass")  # whatever a subclass overrides


def _framed(*parts: str) -> bytes:
    """Join texts, each with its length before it, so that different texts differ when joined."""
    encoded = map(_bytes, parts)
    return b"".join(len(part).to_bytes(8) + part for part in encoded)


class _Keys:
    """The keyed hashes of one secret. The secret itself is not kept."""

    __slots__ = ("question", "sealing", "signature", "token_id", "topic", "user")

    def __init__(self, secret: bytes) -> None:
        # A key of BLAKE2b has at most 64 bytes; a secret may be longer.
        master = blake2b(secret, person=b"oxaigen master").digest()
        self.token_id = keyed_fingerprint(master, b"oxaigen token")
        self.question = _keyed(master, b"oxaigen question")
        self.user = _keyed(master, b"oxaigen user")
        self.topic = _keyed(master, b"oxaigen topic")
        self.sealing = _keyed(master, b"oxaigen sealing", 32)  # a key of AES-256
        self.signature = _keyed(master, b"oxaigen signed")

    def seal_of(self, token: str) -> AESGCM:
        return AESGCM(_digest(self.sealing, _bytes(token)))


class Keyring:
    """Makes what the shared store holds, from one secret or, while it is replaced, several.

    Args:
        secrets: at least one, of any length; their lengths are checked by the settings.

    Attributes:
        token_id: returns 16 bytes that identify a token. It is called for each request.
    """

    __slots__ = ("_all", "_first", "token_id")

    def __init__(self, secrets: Sequence[bytes]) -> None:
        self._all = tuple(map(_Keys, secrets))
        self._first = self._all[0]
        self.token_id: Callable[[str], bytes] = self._first.token_id

    def token_ids(self, token: str) -> tuple[bytes, ...]:
        """Return the token's identifier for each secret."""
        return tuple(keys.token_id(token) for keys in self._all)

    def entry_keys(
        self, token: str, base_url: str, permission: str | None = None
    ) -> tuple[EntryKey, ...]:
        """Return, for each secret, the key of an entry about a token's user or permission."""
        kind = ("user",) if permission is None else ("permission", permission)
        question = _framed(base_url, *kind)
        return tuple(
            EntryKey(keys.token_id(token), _digest(keys.question, question)) for keys in self._all
        )

    def user_tags(self, base_url: str, user_id: int) -> tuple[bytes, ...]:
        """Return, for each secret, 16 bytes that identify a user; they are never all zeros."""
        user = _framed(base_url, str(user_id))
        tags = [_digest(keys.user, user) for keys in self._all]
        return tuple(tag[:-1] + bytes([tag[-1] | 1]) for tag in tags)  # never `NO_USER`

    def topic(self, base_url: str) -> bytes:
        """Return 16 bytes that identify a proxy, made from the first secret.

        While the order of the secrets is changed, workers with different first secrets miss each
        other's announcements, as they may miss any announcement.
        """
        return _digest(self._first.topic, _framed(base_url))

    def seal(self, token: str, plaintext: bytes, bound: bytes) -> bytes:
        """Encrypt with a key made from the first secret and the token.

        `bound` is not stored: `open` needs the same bytes (the associated data of AES-GCM).
        """
        nonce = urandom(_NONCE_BYTES)
        return nonce + self._first.seal_of(token).encrypt(nonce, plaintext, bound)

    def open(self, index: int, token: str, sealed: bytes, bound: bytes) -> bytes | None:
        """Decrypt what was sealed with secret number `index`; None if anything about it differs."""
        if len(sealed) < _NONCE_BYTES + _TAG_BYTES:
            return None
        nonce, encrypted = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
        try:
            return self._all[index].seal_of(token).decrypt(nonce, encrypted, bound)
        except InvalidTag:
            return None

    def sign(self, message: bytes) -> bytes:
        """Return a message with its authentication code, made with the first secret.

        A valid message can be sent again, and elsewhere: let it hold what it is for.
        """
        return _digest(self._first.signature, message) + message

    def verify(self, signed: bytes) -> bytes | None:
        """Return the message that any of the secrets has signed, otherwise None."""
        code, message = signed[:_MAC_BYTES], signed[_MAC_BYTES:]
        codes = [_digest(keys.signature, message) for keys in self._all]
        is_valid = any([compare_digest(code, expected) for expected in codes])  # noqa: C419 (all are compared)
        return message if is_valid else None
