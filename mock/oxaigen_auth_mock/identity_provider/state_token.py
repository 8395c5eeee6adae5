"""The signed `state`: what a sign-in has to remember, kept by the browser instead of the mock.

Readable by anybody, but made by this mock alone. Knows neither HTTP nor time.
"""

import hmac
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import sha256
from secrets import token_bytes
from typing import Final

from attrs import field, frozen

KEY_BYTES: Final = 32
SIGNATURE_LENGTH: Final = 43  # of 32 bytes in base64url without padding


class StateError(Exception):
    """A `state` that this mock has not signed."""

    def __str__(self) -> str:
        return "Invalid state"


@frozen
class SignIn:
    """Where a sign-in leads back to: a path, on the origin whose page began it.

    `origin` is None where no other origin did. `ticket` is the identity provider's.
    """

    return_to: str
    origin: str | None
    ticket: str


@frozen
class Signer:
    """Signs with a key of its own, so that no other mock's `state` is good here.

    >>> signer = Signer()
    >>> signer.read(signer.sign(SignIn("/reports", None, ""))).return_to
    '/reports'
    """

    _key: bytes = field(factory=lambda: token_bytes(KEY_BYTES), repr=False)

    def sign(self, sign_in: SignIn) -> str:
        content = [sign_in.return_to, sign_in.origin, sign_in.ticket]
        text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
        body = _base64url(text.encode())
        return self._signature(body) + body

    def read(self, state: str) -> SignIn:
        """Find what was signed.

        Raises:
            StateError: it is not as this signer wrote it.
        """
        signature, body = state[:SIGNATURE_LENGTH], state[SIGNATURE_LENGTH:]
        if not state.isascii() or not hmac.compare_digest(self._signature(body), signature):
            raise StateError
        return SignIn(*json.loads(urlsafe_b64decode(body + "==")))

    def _signature(self, body: str) -> str:
        """Sign the text itself: no two spellings of one content are good."""
        return _base64url(hmac.digest(self._key, body.encode(), sha256))


def _base64url(value: bytes) -> str:
    return urlsafe_b64encode(value).rstrip(b"=").decode()
