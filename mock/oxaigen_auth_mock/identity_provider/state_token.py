"""The signed `state` parameter, in which the browser carries the data of a sign-in.

Anybody can read it, but only this mock can make it.
"""

from hashlib import sha256
from secrets import token_bytes
from typing import Final

from attrs import Factory, astuple, field, frozen
from itsdangerous import BadData, URLSafeSerializer

KEY_BYTES: Final = 32


class InvalidStateError(Exception):
    """This mock has not signed the `state`."""

    def __str__(self) -> str:
        return "Invalid state"


@frozen
class SignIn:
    """The data of a sign-in.

    Attributes:
        return_to: the path to return to.
        origin: the origin of the page that started the sign-in; None for the mock's own.
        ticket: the identity provider's name for the sign-in.
        warning: what is wrong with its cookies, if anything is.
    """

    return_to: str
    origin: str | None
    ticket: str
    warning: str = ""


def _serializer(signer: "StateSigner") -> URLSafeSerializer:
    options = {"digest_method": sha256, "key_derivation": "hmac"}
    return URLSafeSerializer(signer._key, signer_kwargs=options)  # noqa: SLF001 - of this module


@frozen
class StateSigner:
    """Sign with a random key, so that a `state` of another mock is not valid.

    >>> signer = StateSigner()
    >>> signer.read(signer.sign(SignIn("/reports", None, ""))).return_to
    '/reports'
    """

    _key: bytes = field(factory=lambda: token_bytes(KEY_BYTES), repr=False)
    _serializer: URLSafeSerializer = field(
        init=False, repr=False, default=Factory(_serializer, takes_self=True)
    )

    def sign(self, sign_in: SignIn) -> str:
        return self._serializer.dumps(astuple(sign_in))

    def read(self, state: str) -> SignIn:
        """Return the data in a `state`.

        Raises:
            InvalidStateError: it differs from what this signer wrote.
        """
        try:
            sign_in = SignIn(*self._serializer.loads(state))
        except (BadData, UnicodeEncodeError) as error:
            raise InvalidStateError from error
        if self.sign(sign_in) != state:  # base64 can spell the same bytes differently
            raise InvalidStateError
        return sign_in
